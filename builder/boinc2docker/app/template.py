"""The texts of ``app_template/`` with values filled in."""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from boinc2docker.errors import InputError
from boinc2docker.places import APP_TEMPLATE

DIRECTORY = APP_TEMPLATE


@dataclass(frozen=True)
class Templates:
    """A directory of templates and the values they may name."""

    directory: Path
    values: Mapping[str, str]

    def render(self, name: str, **more: str) -> str:
        """A template's text; values are escaped for XML. Raises InputError for a missing file or an unknown ``$name``.

        BOINC's strange tags such as ``<OUTFILE_0/>`` are the template's own and stay as they are.
        """
        path = self.directory / name
        values = {key: escape(value) for key, value in {**self.values, **more}.items()}
        try:
            return string.Template(path.read_text(encoding="utf-8")).substitute(values)
        except (OSError, UnicodeDecodeError) as error:
            raise InputError("bad-template", f"cannot read {path}: {error}") from error
        except KeyError as error:
            raise InputError("bad-template", f"{path} names ${error.args[0]}, which is no setting") from error
        except ValueError as error:
            raise InputError("bad-template", f"{path}: {error}; write $$ for a dollar sign") from error
