"""The command line, ``sb3-integral``."""

from __future__ import annotations

import codecs
import io
import sys

ASCII_FORMS = {"±": "+-", "–": "-", "─": "-", "×": "x", "…": "...", "λ": "lambda"}
"""How characters of tables are written where the terminal cannot show them."""


def main() -> None:
    """Run the command line; say how to install what it needs if that is not there."""
    from sb3_integral.requirements import INSTALLED_BY, require

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            codecs.register_error("ascii-forms", _ascii_form)
            stream.reconfigure(errors="ascii-forms")
    try:
        require("deploy", "typer", "rich")
        from sb3_integral.cli.app import app

        app()
    except ImportError as error:
        if INSTALLED_BY not in str(error):
            raise
        sys.exit(f"sb3-integral: {error}")


def _ascii_form(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(ASCII_FORMS.get(character, "?") for character in text), error.end
