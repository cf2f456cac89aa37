"""``verify-release``."""

from __future__ import annotations

from boinc2docker import extras
from boinc2docker.cli.command import Command, Example, Given
from boinc2docker.cli.option import Option, values
from boinc2docker.cli.readers import existing
from boinc2docker.errors import UsageError

OPTIONS = (
    Option(
        "directory",
        "Directory of a release, such as dist/2.0.0.",
        "argument",
        read=existing,
        noun="DIR",
        required=True,
        group="Arguments",
    ),
    Option(
        "key",
        "Public key of minisign, or its file, that must have signed (default: minisign.pub of this checkout).",
        noun="KEY",
    ),
    Option("unsigned", "Expect no signature: the release is not signed yet.", kind="flag"),
    Option("rebuild", "Build the release again from this checkout and compare.", kind="flag"),
    Option("previous", "With --rebuild: what `release --previous` was given.", read=existing, noun="PATH"),
)


def verify_release(given: Given) -> int:
    """Judges a release; 1 if something is wrong. Raises BuilderErrors."""
    typed = values(OPTIONS, given)
    if typed["key"] and typed["unsigned"]:
        raise UsageError("key-and-unsigned", "expected --key or --unsigned, found both")
    extras.bring("release")
    extras.need("release", "verify-release")
    from boinc2docker.cli.release_verdict import verify  # only here: its libraries are not there before

    names = ("key", "rebuild", "previous", "unsigned")
    return verify(typed["directory"], **{name: typed[name] for name in names})


COMMAND = Command(
    "verify-release",
    verify_release,
    OPTIONS,
    (
        Example("verify-release dist/2.0.0", "Check every byte, the documents and the signature."),
        Example("verify-release --rebuild dist/2.0.0", "Also build it again, in a checkout of the release's commit."),
    ),
    "Checks every file, the documents against the ISO, and the signature, and names what was changed. Ends with 1 if "
    "something was.",
)
