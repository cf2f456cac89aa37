"""The pure rules of resumption."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from boinc2docker.fetch.transfer import Patience, continues, resume_headers, retry_after, shown

URL = "https://mirror.example.org/a"


def test_nothing_yet_asks_for_everything() -> None:
    assert "Range" not in resume_headers(0, {"url": URL, "etag": '"x"'}, URL, verified=True)


def test_etag_counts_on_its_own_server_only() -> None:
    origin = {"url": URL, "etag": '"x"', "modified": "Sat, 12 Sep 2026 07:55:41 GMT"}
    assert resume_headers(5, origin, URL, verified=True)["If-Range"] == '"x"'
    other = resume_headers(5, origin, "https://other.example.org/a", verified=True)
    assert other["If-Range"] == "Sat, 12 Sep 2026 07:55:41 GMT"
    assert other["Range"] == "bytes=5-"


def test_weak_etag_does_not_count() -> None:
    assert "If-Range" not in resume_headers(5, {"url": URL, "etag": 'W/"x"'}, URL, verified=True)


def test_without_validator_and_digest_nothing_is_joined() -> None:
    assert "Range" not in resume_headers(5, {"url": URL}, URL, verified=False)
    assert resume_headers(5, {"url": URL}, URL, verified=True)["Range"] == "bytes=5-"


@given(st.integers(0, 9), st.integers(0, 9), st.integers(1, 10), st.integers(0, 9), st.sampled_from([200, 206]))
def test_continues_only_with_exactly_the_rest(first: int, last: int, total: int, offset: int, status: int) -> None:
    found = continues(status, f"bytes {first}-{last}/{total}", offset, 10)
    body = list(range(10))[first : last + 1]
    assert found == (status == 206 and total == 10 and bool(body) and body == list(range(10))[offset:])


def test_continues_refuses_what_it_cannot_read() -> None:
    for text in (None, "", "bytes */10", "items 0-9/10", "bytes 5-9", "bytes 5-9/x", f"bytes 5-{'9' * 5000}/*"):
        assert not continues(206, text, 5, 10)
    assert continues(206, "bytes 5-9/*", 5, 10)


def test_retry_after_in_both_forms() -> None:
    assert retry_after("7", 0) == 7
    assert retry_after("Thu, 01 Jan 1970 00:01:00 GMT", 10) == 50
    assert retry_after("Thu, 01 Jan 1970 00:01:00 GMT", 100) == 0
    for text in ("soon", "\u00b2", "9" * 5000, "Mon, 01 Jan 99999999999 00:00:00 GMT"):
        assert retry_after(text, 0) in (None, 0)
    assert retry_after(None, 0) is None


def test_waiting_is_bounded() -> None:
    patience = Patience(first_wait=1, longest_wait=30)
    assert [patience.wait(attempt, None) for attempt in (1, 2, 3, 10)] == [1, 2, 4, 30]
    assert patience.wait(1, 5) == 5
    assert patience.wait(1, 86400) == 30


def test_passwords_are_not_shown() -> None:
    assert shown("https://user:secret@mirror.example.org:8443/a?b") == "https://mirror.example.org:8443/a?b"
