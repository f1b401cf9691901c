"""Sentences with names in them read well whatever the name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "sb3_integral"


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_no_article_stands_before_the_name_of_a_class(path: Path) -> None:
    # "a IntegralActorCriticPolicy": which article is right depends on the name
    assert re.findall(r"\ban? \{type\(.*?\}", path.read_text(encoding="utf-8")) == []
