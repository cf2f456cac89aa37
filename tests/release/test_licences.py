"""Debian's licence names as SPDX expressions: known ones by table, anything at all as something SPDX' grammar takes."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from license_expression import get_spdx_licensing

from boinc2docker.release import licences

SPDX = get_spdx_licensing()


@pytest.mark.parametrize(
    ("synopsis", "expected"),
    [
        ("Expat", "MIT"),
        ("GPL-2+", "GPL-2.0-or-later"),
        ("GPL-2", "GPL-2.0-only"),
        ("LGPL-2.1+", "LGPL-2.1-or-later"),
        ("GPL-2.0+", "GPL-2.0-or-later"),
        ("BSD-3-clause or GPL-2", "BSD-3-Clause OR GPL-2.0-only"),
        ("GPL-2 with Linux-syscall-note exception", "GPL-2.0-only WITH Linux-syscall-note"),
        ("MPL-1.1 or GPL-2+ or LGPL-2.1+", "MPL-1.1 OR GPL-2.0-or-later OR LGPL-2.1-or-later"),
        ("ISC and LGPL-2.1+ or Zlib", "(ISC AND LGPL-2.1-or-later) OR Zlib"),
        ("ISC or Zlib, and Expat", "(ISC OR Zlib) AND MIT"),
        ("MIT", "LicenseRef-Debian-src-MIT"),  # of several texts of that name, nobody knows which
        ("public-domain", "LicenseRef-Debian-src-public-domain"),
        ("GPL-2+ with Autoconf exception", "LicenseRef-Debian-src-GPL-2-or-later-with-Autoconf-exception"),
    ],
)
def test_names(synopsis: str, expected: str) -> None:
    assert licences.of_synopsis(synopsis, "src").expression == expected


def test_a_copyright_file_is_the_conjunction_of_its_licences() -> None:
    text = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n"
    for files, name in (("*", "GPL-2+"), ("a", "ISC or Zlib"), ("b", "GPL-2+"), ("c", "odd")):
        text += f"\nFiles: {files}\nCopyright: somebody\nLicense: {name}\n text\n"
    found = licences.of_copyright(text, "src")
    assert found.expression == "GPL-2.0-or-later AND (ISC OR Zlib) AND LicenseRef-Debian-src-odd"
    assert found.references == (("LicenseRef-Debian-src-odd", "odd"),)


def test_a_text_for_people_is_referred_to() -> None:
    assert licences.of_copyright("This is busybox, under the GPL.", "busybox").expression == (
        "LicenseRef-Debian-busybox-copyright"
    )


WORDS = st.sampled_from(
    ["GPL-2+", "Expat", "and", "or", ",", "with", "x exception", "BSD-3-clause", "ÄÖ", "(", ")", "+"]
)


@given(st.lists(WORDS, max_size=9).map(" ".join) | st.text(max_size=60))
def test_whatever_it_says_the_grammar_of_spdx_takes_it(synopsis: str) -> None:
    found = licences.of_synopsis(synopsis, "some-source")
    keys = set(SPDX.license_keys(SPDX.parse(found.expression)))
    for name in re.findall(r"[A-Za-z0-9.+-]+", found.expression):
        assert name in {"AND", "OR", "WITH"} or name in keys or "WITH" in found.expression
    references = {name for name in keys if name.startswith("LicenseRef-")}
    assert references == {name for name, _ in found.references}
    assert all(re.fullmatch(r"LicenseRef-[A-Za-z0-9.-]+", name) for name in references)
    unknown = SPDX.unknown_license_keys(SPDX.parse(found.expression), unique=True)
    assert set(unknown) <= references
