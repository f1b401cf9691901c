"""Text from users made safe for where it is shown: one function for each format.

Labels, ids of environments, names of files and messages of errors may hold any character. HTML is
escaped by its templates, and configurations by PyYAML.
"""

from __future__ import annotations

import json
import re
from typing import Any


def one_line(text: object) -> str:
    r"""Return text for a terminal, or for any place that expects one line.

    Line ends, escape sequences and all else that cannot be printed become visible: ``\n``, ``\x1b``.
    """
    return "".join(
        character
        if character.isprintable()
        else character.encode("unicode_escape", "backslashreplace").decode()
        for character in str(text)
    )


def lines(text: object) -> str:
    """Return text of several lines for a terminal; see :func:`one_line`."""
    return "\n".join(map(one_line, str(text).splitlines()))


def markdown(text: object) -> str:
    """Return text for a cell, a heading or a paragraph of Markdown, which shows it as it is."""
    marked = re.sub(r"([\\`*|\[\]$~])", r"\\\1", one_line(text))
    return marked.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def csv(text: object) -> str:
    """Return text for a cell of a CSV file, which spreadsheets then do not take for a formula."""
    return f"'{text}" if re.match(r"'*\s*[=+\-@＝＋－＠\t\r]", str(text)) else str(text)


def from_csv(text: object) -> str:
    """Return the text that :func:`csv` was given."""
    cell = str(text)
    return cell[1:] if cell.startswith("'") and csv(cell[1:]) == cell else cell


def matplotlib(text: object) -> str:
    r"""Return text for a plot: without formulas between ``$``, and never hidden from the legend."""
    shown = one_line(text).replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown


def c_comment(text: object) -> str:
    """Return text for a comment in C, which it can neither leave nor continue on another line.

    It is quoted as in JSON, in ASCII. Spaces separate what would open or close a comment, or begin a
    trigraph.
    """
    shown = json.dumps(one_line(text))
    return re.sub(r"\*(?=/)|/(?=\*)|\?(?=\?)", r"\g<0> ", shown)


def script(content: Any) -> str:
    """Return JSON for a script element of HTML; what JSON cannot hold is an error.

    Raises:
        ValueError: If a number is not finite.
    """
    return (
        json.dumps(content, allow_nan=False)
        .replace("<", "\\u003c")
        .replace(">", "\\u003e")
        .replace("&", "\\u0026")
    )
