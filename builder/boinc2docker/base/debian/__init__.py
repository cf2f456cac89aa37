"""The debian base: a boot2docker-like ISO assembled from Debian packages, without root, Docker or chroot."""

from boinc2docker.base.debian.assembly import assemble

__all__ = ["assemble"]
