"""A job: image, command and inputs, independent of who runs it."""
