"""The types of values in a configuration."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^\w[\w.-]*$")]
"""A name that a folder can have."""

Count = Annotated[int, Field(strict=True, gt=0)]
"""A positive integer; unlike pydantic's, not a bool, nor text that looks like one."""


class Section(BaseModel):
    """A part of the configuration; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def one_of(known: Collection[str], what: str) -> AfterValidator:
    """Return the check that a value is among known names."""

    def check(name: str) -> str:
        if name not in known:
            similar = get_close_matches(name, known, n=1)
            hint = f" (did you mean {similar[0]}?)" if similar else ""
            raise ValueError(f"unknown {what} {name!r}; known are {', '.join(sorted(known))}{hint}")
        return name

    return AfterValidator(check)
