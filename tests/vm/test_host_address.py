"""This machine's loopback as the guest sees it."""

from __future__ import annotations

import pytest

from boinc2docker.vm.host_address import url_in_guest


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("http://127.0.0.1:5000/v2/a/b/blobs", "http://10.0.2.2:5000/v2/a/b/blobs"),
        ("http://localhost/v2/a/blobs", "http://10.0.2.2/v2/a/blobs"),
        ("https://LOCALHOST:5001/x", "https://10.0.2.2:5001/x"),
        ("http://[::1]:5000/x", "http://10.0.2.2:5000/x"),
        (
            "http://127.0.0.1:5001/token?service=127.0.0.1:5000&scope=repository:a/b:pull",
            "http://10.0.2.2:5001/token?service=127.0.0.1:5000&scope=repository:a/b:pull",
        ),
        (
            "https://registry-1.docker.io/v2/library/python/blobs",
            "https://registry-1.docker.io/v2/library/python/blobs",
        ),
        ("https://localhost.example.org/x", "https://localhost.example.org/x"),
        ("http://10.0.2.2:5000/x", "http://10.0.2.2:5000/x"),
        ("http://128.0.0.1/127.0.0.1", "http://128.0.0.1/127.0.0.1"),
    ],
)
def test_only_the_loopback_has_another_name(url: str, seen: str) -> None:
    assert url_in_guest(url) == seen
