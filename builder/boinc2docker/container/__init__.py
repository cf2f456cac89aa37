"""The same job in a container that BOINC's docker_wrapper makes, on hosts with Docker or Podman."""
