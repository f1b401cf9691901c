"""The options by which a file says more of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from sb3_integral.cli.options import option

if TYPE_CHECKING:
    from sb3_integral.actor import Notes

ObservationNames = Annotated[
    str | None, option("Names of the numbers that are observed, such as angle,speed.")
]
ActionNames = Annotated[
    str | None, option("Names of an action's numbers, or of a single action's choices.")
]
Meta = Annotated[
    list[str] | None, option("Something the file says besides, as key=value. Can be repeated.")
]


def notes_of(
    env_id: str | None, observation_names: str | None, action_names: str | None, meta: list[str] | None
) -> Notes:
    """Return what these options say.

    Raises:
        ValueError: If something is no ``key=value``, or a key is given twice.
    """
    from sb3_integral.actor import Notes

    found: dict[str, str] = {}
    for text in meta or ():
        key, equals, value = text.partition("=")
        if not equals or not key or key in found:
            raise ValueError(f"expected --meta key=value with another key each, got {text!r}")
        found[key] = value
    return Notes(env_id, _names(observation_names), _names(action_names), found)


def _names(text: str | None) -> tuple[str, ...]:
    return () if text is None else tuple(name.strip() for name in text.split(","))
