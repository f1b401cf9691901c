"""docs/architecture.md names what is there, in the order that import-linter keeps."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PACKAGE = ROOT / "sb3_integral"


def test_every_file_that_is_named_is_there():
    # given paths from the root or the package, and names that follow the folder they are in
    named = re.findall(r"`([\w/]+\.(?:py|yml))`", PAGE)
    assert len(named) > 20
    everywhere = {path.name for path in PACKAGE.rglob("*")}
    for name in named:
        found = (
            any((folder / name).exists() for folder in (ROOT, PACKAGE, PACKAGE / "experiments"))
            if "/" in name
            else name in everywhere
        )
        assert found, name


def test_the_drawing_has_every_package_in_the_order_that_is_checked():
    layers = re.search(r"^layers = \[(.*?)\]", (ROOT / "pyproject.toml").read_text("utf-8"), re.M | re.S)
    order = re.findall(r'"(\w+)"', layers.group(1))
    assert f"{' --> '.join(order)}\n" in PAGE
    assert set(order) == {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
