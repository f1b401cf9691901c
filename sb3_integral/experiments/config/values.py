"""What any value in a configuration may be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^\w[\w.-]*$")]
"""What can be the name of a folder."""

Count = Annotated[int, Field(strict=True, gt=0)]
"""A positive integer; unlike pydantic's, not a bool, nor text that looks like one."""


class Section(BaseModel):
    """A part of the configuration; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def one_of(known: Mapping[str, Any], what: str) -> AfterValidator:
    """Return the check that a value is among known names."""

    def check(name: str) -> str:
        if name not in known:
            raise ValueError(f"unknown {what} {name!r}; known are {', '.join(sorted(known))}")
        return name

    return AfterValidator(check)
