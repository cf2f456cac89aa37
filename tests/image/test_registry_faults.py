"""What registries, token servers and networks do wrong: bounded time, one clear error, nothing bad kept."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from werkzeug import Request, Response

from boinc2docker.digest import Digest
from boinc2docker.errors import BuilderError, InputError, NetworkError, VerificationError
from boinc2docker.fetch import Cache
from boinc2docker.image.delivery import Delivery, obtain
from boinc2docker.image.reference import parse as parse_reference
from boinc2docker.image.registry import Access
from tests.equipment import answers
from tests.equipment.archives import sha
from tests.equipment.scripted_registry import Answer, ScriptedRegistry, fails, stage, words_only


def broken_off(request: Request) -> Response:
    """Says there is another length than there is."""
    return Response(b"x", headers={"Content-Length": "1000"})


@pytest.mark.parametrize(
    ("answer", "kind", "code", "words"),
    [
        (answers.status(401), NetworkError, "registry-denied", "401"),
        (answers.status(403), NetworkError, "registry-denied", "403"),
        (answers.status(404), InputError, "no-such-image", "404"),
        (answers.status(410), InputError, "no-such-image", "410"),
        (answers.status(418), NetworkError, "registry-failed", "418"),
        (answers.status(429, Retry_After="0"), NetworkError, "registry-limit", "429"),
        (answers.status(500), NetworkError, "registry-failed", "500"),
        (answers.status(503), NetworkError, "registry-failed", "503"),
    ],
    ids=words_only,
)
def test_a_tag_that_is_refused(
    answer: Answer,
    kind: type[BuilderError],
    code: str,
    words: str,
    scripted: ScriptedRegistry,
    access: Access,
    tmp_path: Path,
) -> None:
    scripted.answers[scripted.tag] = [answer]
    assert words in fails(scripted, access, tmp_path, kind, code)
    assert len(scripted.asked(scripted.tag)) <= access.patience.attempts


def test_a_registry_that_is_down(scripted: ScriptedRegistry, access: Access, tmp_path: Path) -> None:
    with pytest.raises(NetworkError) as caught:
        obtain(parse_reference("127.0.0.1:1/a/b:1"), tmp_path / "image", Delivery(access=access))
    assert (caught.value.code, "refused" in caught.value.message) == ("registry-failed", True)


@pytest.mark.parametrize("what", ["tag", "by_digest", "config", "layer"])
@pytest.mark.parametrize(
    "trouble",
    [
        [answers.status(500), answers.status(502)],
        [answers.status(429, Retry_After="0"), answers.status(503, Retry_After="soon")],
        [],
    ],
    ids=["5xx", "busy", "cut"],
)
def test_trouble_that_passes(
    what: str, trouble: list[Answer], scripted: ScriptedRegistry, access: Access, tmp_path: Path
) -> None:
    path = scripted.layers[1] if what == "layer" else getattr(scripted, what)
    data = scripted.manifest if "/manifests/" in path else scripted.blobs[path.rpartition("/")[2]]
    trouble = trouble or [answers.cut_off(data, 20)]
    scripted.answers[path] = [*trouble, scripted.honest]
    image = stage(scripted, access, tmp_path)
    assert image.config == scripted.sample.config_bytes
    # A HEAD has no body that could be cut; but this one does not tell the digest, and the manifest is asked for.
    assert len(scripted.asked(path)) == len(trouble) + 1


def test_retry_after_is_respected(scripted: ScriptedRegistry, access: Access, tmp_path: Path) -> None:
    patient = replace(access, patience=replace(access.patience, longest_wait=5))
    scripted.answers[scripted.tag] = [answers.status(429, Retry_After="1"), scripted.honest]
    scripted.answers[scripted.layers[0]] = [answers.status(429, Retry_After="1"), scripted.honest]
    began = time.monotonic()
    stage(scripted, patient, tmp_path)
    assert time.monotonic() - began >= 2


@pytest.mark.parametrize(
    ("answer", "kind", "code", "words"),
    [
        (answers.status(401), NetworkError, "download-failed", "401"),
        (answers.status(403), NetworkError, "download-failed", "403"),
        (answers.status(404), InputError, "no-such-image", "404"),
        (answers.status(429, Retry_After="0"), NetworkError, "download-failed", "429"),
        (answers.status(500), NetworkError, "download-failed", "500"),
        (broken_off, NetworkError, "download-failed", ""),
    ],
    ids=words_only,
)
def test_a_layer_that_cannot_be_had(
    answer: Answer,
    kind: type[BuilderError],
    code: str,
    words: str,
    scripted: ScriptedRegistry,
    access: Access,
    tmp_path: Path,
) -> None:
    scripted.answers[scripted.layers[1]] = [answer]
    message = fails(scripted, access, tmp_path, kind, code)
    assert words in message
    assert "layer 2 of 3" in message
    assert len(scripted.asked(scripted.layers[1])) <= access.patience.attempts


def test_a_cut_layer_goes_on_where_it_stopped(scripted: ScriptedRegistry, access: Access, tmp_path: Path) -> None:
    path = scripted.layers[0]
    data = scripted.blobs[path.rpartition("/")[2]]
    scripted.answers[path] = [answers.cut_off(data, 40), answers.cut_off(data, 30), scripted.honest]
    image = stage(scripted, access, tmp_path)
    assert [one.headers.get("Range") for one in scripted.asked(path)] == [None, "bytes=40-", "bytes=70-"]
    assert (tmp_path / "image" / image.layers[0].digest.hex).read_bytes() == data


def test_another_run_goes_on_where_one_gave_up(scripted: ScriptedRegistry, access: Access, tmp_path: Path) -> None:
    path = scripted.layers[0]
    data = scripted.blobs[path.rpartition("/")[2]]
    scripted.answers[path] = [answers.cut_off(data, 50), answers.status(500)]
    fails(scripted, access, tmp_path, NetworkError, "download-failed")
    scripted.answers.clear()
    scripted.requests.clear()
    stage(scripted, access, tmp_path / "again")
    assert [one.headers.get("Range") for one in scripted.asked(path)] == ["bytes=50-"]


@pytest.mark.parametrize("what", ["by_digest", "config", "layer"])
@pytest.mark.parametrize("wrong", [lambda d: d[:-1] + b"!", lambda d: d[:-1], lambda d: d + b"x", lambda d: b""])
def test_wrong_bytes(
    what: str, wrong: Callable[[bytes], bytes], scripted: ScriptedRegistry, access: Access, tmp_path: Path
) -> None:
    path = scripted.layers[2] if what == "layer" else getattr(scripted, what)
    data = scripted.manifest if what == "by_digest" else scripted.blobs[path.rpartition("/")[2]]
    scripted.answers[path] = [answers.whole(wrong(data))]
    with pytest.raises((VerificationError, NetworkError)) as caught:
        stage(scripted, access, tmp_path)
    assert caught.value.message.startswith(f"image {scripted.name}: ")
    assert caught.value.code in ("wrong-digest", "download-failed")
    assert access.cache.look_up(Digest.of(data)) is None
    if wrong(data)[:-1] == data[:-1] and len(wrong(data)) == len(data):
        assert caught.value.code == "wrong-digest"
    # A mirror with the right bytes is as good as new.
    scripted.answers.clear()
    assert stage(scripted, access, tmp_path / "again").config == scripted.sample.config_bytes


@pytest.mark.parametrize("what", ["tag", "config", "layer"])
def test_a_hang_is_no_wait_for_ever(
    what: str, scripted: ScriptedRegistry, access: Access, tmp_path: Path, released: threading.Event
) -> None:
    quick = replace(access, patience=replace(access.patience, read=0.3, attempts=2))
    path = scripted.layers[1] if what == "layer" else getattr(scripted, what)
    scripted.answers[path] = [answers.silent(released, b"" if what == "tag" else b"x")]
    code = "registry-failed" if what == "tag" else "download-failed"
    fails(scripted, quick, tmp_path, NetworkError, code, within=8)


def test_a_cache_that_rots_is_fetched_anew(scripted: ScriptedRegistry, access: Access, tmp_path: Path) -> None:
    image = stage(scripted, access, tmp_path)
    access.cache.path(image.layers[0].digest).write_bytes(b"rotten")
    stage(scripted, access, tmp_path / "again")
    assert sha((tmp_path / "again" / "image" / image.layers[0].digest.hex).read_bytes()) == image.layers[0].digest.hex
    assert len(scripted.asked(scripted.layers[0])) == 2


@pytest.mark.parametrize("code", [405, 400, 501])
def test_registries_without_head(code: int, scripted: ScriptedRegistry, access: Access, tmp_path: Path) -> None:
    def no_head(request: Request) -> Response:
        return Response(status=code) if request.method == "HEAD" else scripted.honest(request)

    scripted.answers[scripted.tag] = [no_head]
    assert stage(scripted, access, tmp_path).pinned.endswith(sha(scripted.manifest))


def test_a_digest_that_makes_no_sense_is_not_believed(
    scripted: ScriptedRegistry, access: Access, tmp_path: Path
) -> None:
    def odd(request: Request) -> Response:
        return Response(scripted.manifest, headers={"Docker-Content-Digest": "sha256:../../x"})

    scripted.answers[scripted.tag] = [odd]
    assert stage(scripted, access, tmp_path).pinned.endswith(sha(scripted.manifest))


def test_schema_1_is_refused_in_words(scripted: ScriptedRegistry, access: Access, tmp_path: Path) -> None:
    old = json.dumps({"schemaVersion": 1, "name": "x", "tag": "1", "fsLayers": [], "history": []}).encode()
    scripted.answers[scripted.tag] = [answers.whole(old, Docker_Content_Digest="sha256:" + sha(old))]
    scripted.answers[f"/v2/{scripted.path}/manifests/sha256:{sha(old)}"] = [answers.whole(old)]
    with pytest.raises(InputError) as caught:
        stage(scripted, access, tmp_path)
    assert caught.value.code == "old-manifest"
    assert "schema 1" in caught.value.message


def test_a_cache_of_another_user_is_one_clear_error(scripted: ScriptedRegistry, access: Access, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BuilderError):
        stage(scripted, replace(access, cache=Cache(tmp_path / "file")), tmp_path)
