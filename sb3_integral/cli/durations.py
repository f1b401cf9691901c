"""Durations as people say them."""

from __future__ import annotations

UNITS = (("day", 86400.0), ("hour", 3600.0), ("minute", 60.0), ("second", 1.0))


def about(seconds: float) -> str:
    """Return a duration in its largest fitting unit: ``3 days``, ``1.5 hours``, ``40 seconds``."""
    name, length = next((unit for unit in UNITS if seconds >= unit[1]), UNITS[-1])
    number = seconds / length
    text = f"{number:.0f}" if number >= 10 or name == "second" else f"{number:.2g}"
    return f"{text} {name}{'' if text == '1' else 's'}"
