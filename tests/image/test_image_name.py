"""Names of images: the published examples of Docker's grammar, and properties over all names that it can make."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from boinc2docker.digest import Digest
from boinc2docker.errors import InputError
from boinc2docker.image import reference
from boinc2docker.image.image_name import ImageName, parse_name

HEX = "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"


# Input, and domain, path, tag of what it means: distribution/reference, normalize_test.go and reference_test.go.
@pytest.mark.parametrize(
    ("text", "domain", "path", "tag"),
    [
        ("redis", "docker.io", "library/redis", None),
        ("docker/docker", "docker.io", "docker/docker", None),
        ("library/debian", "docker.io", "library/debian", None),
        ("debian", "docker.io", "library/debian", None),
        ("docker.io/docker/docker", "docker.io", "docker/docker", None),
        ("docker.io/library/debian", "docker.io", "library/debian", None),
        ("docker.io/debian", "docker.io", "library/debian", None),
        ("index.docker.io/docker/docker", "docker.io", "docker/docker", None),
        ("index.docker.io/library/debian", "docker.io", "library/debian", None),
        ("index.docker.io/debian", "docker.io", "library/debian", None),
        ("127.0.0.1:5000/docker/docker", "127.0.0.1:5000", "docker/docker", None),
        ("127.0.0.1:5000/library/debian", "127.0.0.1:5000", "library/debian", None),
        ("127.0.0.1:5000/debian", "127.0.0.1:5000", "debian", None),
        ("thisisthesongthatneverendsitgoesonandonandonthisisthesongthatnev", "docker.io", None, None),
        ("docker.io/1a3f5e7d9c1b3a5f7e9d1c3b5a7f9e1d3c5b7a9f1e3d5d7c9b1a3f5e7d9c1b3a", "docker.io", None, None),
        ("localhost:8000/gitlab-org/x", "localhost:8000", "gitlab-org/x", None),
        ("localhost/library/x", "localhost", "library/x", None),
        ("test.com/foo:tag", "test.com", "foo", "tag"),
        ("test:5000/repo:5000", "test:5000", "repo", "5000"),
        ("lowercase:Uppercase", "docker.io", "library/lowercase", "Uppercase"),
        ("sub-dom1.foo.com/bar/baz/quux:some-long-tag", "sub-dom1.foo.com", "bar/baz/quux", "some-long-tag"),
        (
            "b.gcr.io/test.example.com/my-app:test.example.com",
            "b.gcr.io",
            "test.example.com/my-app",
            "test.example.com",
        ),
        ("xn--n3h.com/myimage:xn--n3h.com", "xn--n3h.com", "myimage", "xn--n3h.com"),
        ("foo_bar.com:8080", "docker.io", "library/foo_bar.com", "8080"),
        ("foo/foo_bar.com:8080", "docker.io", "foo/foo_bar.com", "8080"),
        ("[2001:db8::1]:5000/repo", "[2001:db8::1]:5000", "repo", None),
        ("a__b/c--d/e.f", "docker.io", "a__b/c--d/e.f", None),
        ("ABC.org/x", "ABC.org", "x", None),
    ],
)
def test_published_examples(text: str, domain: str, path: str | None, tag: str | None) -> None:
    found = parse_name(text)
    assert (found.domain, found.tag, found.digest) == (domain, tag, None)
    if path is not None:
        assert found.path == path
    pinned = parse_name(f"{text}@sha256:{HEX}")
    assert (pinned.domain, pinned.path, pinned.tag) == (found.domain, found.path, tag)
    assert pinned.digest == Digest(HEX)
    assert pinned.wanted == f"sha256:{HEX}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":justtag",
        f"@sha256:{HEX}",
        "repo@sha256:ffffffffffffffffffffffffffffffffff",
        "validname@invaliddigest:" + HEX * 2,
        "validname@sha512:" + HEX * 2,
        "Uppercase:tag",
        "test:5000/Uppercase/lowercase:tag",
        "a/" * 128 + "a:tag",
        "aa/asdf$$^/aa",
        "https://github.com/docker/docker",
        "docker///docker",
        "docker.io/docker///docker",
        "-docker/docker",
        "_docker/_docker",
        "docker/docker-",
        "-docker.io/docker/docker",
        "docker/d..ocker",
        "d__________o__________c/k-",
        "1a3f5e7d9c1b3a5f7e9d1c3b5a7f9e1d3c5b7a9f1e3d5d7c9b1a3f5e7d9c1b3a",
        "x:" + "t" * 129,
        "x:.tag",
        "x\n",
        "x y",
        "x:tag\x00",
        "naïve",
        "name:tag@",
        "../etc/passwd",
    ],
)
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_name(text)
    assert caught.value.code == "bad-reference"
    assert caught.value.message.isprintable()
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Python:3", "lower case"),
        ("ghcr.io/Owner/image", "lower case"),
        ("https://ghcr.io/a/b", "does not begin with http"),
        (HEX, "ID"),
        ("a@sha512:" + HEX * 2, "expected a digest sha256"),
    ],
)
def test_mistakes_are_told_in_words(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        parse_name(text)


# The grammar of distribution/reference, written down again from its documentation (reference.go, package comment).
COMPONENT = st.from_regex(r"[a-z0-9]{1,6}((\.|_|__|-{1,3})[a-z0-9]{1,4}){0,2}", fullmatch=True)
LABEL = st.from_regex(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,5}[a-zA-Z0-9])?", fullmatch=True)
DOMAIN = st.one_of(
    st.builds(lambda labels: ".".join(labels), st.lists(LABEL, min_size=2, max_size=3)),
    st.builds(lambda label, port: f"{label}:{port}", LABEL, st.integers(0, 99999)),
    st.just("localhost"),
)
TAG = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)
PATH = st.lists(COMPONENT, min_size=1, max_size=4).map("/".join)


@given(domain=DOMAIN, path=PATH, tag=st.none() | TAG, digest=st.none() | st.from_regex("[0-9a-f]{64}", fullmatch=True))
@example(domain="docker.io", path="library/x", tag=None, digest=None)
def test_every_full_name_is_read_as_it_was_made(domain: str, path: str, tag: str | None, digest: str | None) -> None:
    text = f"{domain}/{path}" + (f":{tag}" if tag else "") + (f"@sha256:{digest}" if digest else "")
    if domain in ("docker.io", "index.docker.io"):
        return
    expected = ImageName(domain, path, tag, Digest(digest) if digest else None)
    assert parse_name(text) == expected
    assert parse_name(expected.familiar) == (expected if tag or digest else ImageName(domain, path, "latest"))


@given(path=st.lists(COMPONENT, min_size=1, max_size=3), tag=TAG)
def test_short_names_are_docker_hubs(path: list[str], tag: str) -> None:
    if re.search(r"[.:]", path[0]) and len(path) > 1:
        return
    if path[0] == "localhost" and len(path) > 1:
        return
    if len(path) == 1 and re.fullmatch("[0-9a-f]{64}", path[0]):
        return
    found = parse_name("/".join(path) + f":{tag}")
    assert found == ImageName("docker.io", "/".join(path if len(path) > 1 else ["library", *path]), tag)
    assert parse_name(found.familiar) == found


@given(st.text(max_size=60))
def test_any_text_is_a_name_or_one_clear_error(text: str) -> None:
    try:
        found = parse_name(text)
    except InputError as error:
        said = error.message
    else:
        said = found.familiar
        assert parse_name(said).path == found.path
    assert said.isprintable()


def test_a_path_goes_before_a_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "python").mkdir()
    assert reference.parse("python:3") == reference.InRegistry(parse_name("python:3"))
    assert reference.parse("./python") == reference.Archive(Path("./python"))
    (tmp_path / "python" / "index.json").touch()
    assert reference.parse("python:3") == reference.Archive(Path("python"), "3")
    assert reference.parse("docker://python:3") == reference.InRegistry(parse_name("python:3"))
