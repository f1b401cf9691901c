"""Presets: one file that describes the same experiment at several scales."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

import yaml

PRESETS = "presets"  # the key of a file's presets: by name, the keys that each replaces
DEFAULT_PRESET = "default_preset"  # the key that names the preset, or presets, where the user names none

Content = dict[str, Any]


def default_presets(content: Mapping[str, Any]) -> list[str]:
    """Return the presets of a file that are run where the user names none.

    Raises:
        ValueError: If the file says something else than a name, or a list of names that differ.
    """
    given = content.get(DEFAULT_PRESET) or "standard"
    names = given if isinstance(given, list) else [given]
    if not all(isinstance(name, str) for name in names) or len(set(names)) != len(names):
        raise ValueError(
            f"`{DEFAULT_PRESET}` must be a preset's name, or a list of names that differ, got {given!r}"
        )
    return names


def apply_preset(content: Mapping[str, Any], preset: str) -> Content:
    """Return the whole configuration that a file describes at one scale.

    What the file leaves out comes from the package's defaults, which have presets too. The order,
    each over the one before: the defaults, their preset, the file, its preset.

    Raises:
        ValueError: If there is no such preset, or if the presets are not mappings.
    """
    presets, defaults = _presets(content), _defaults()
    known = [*defaults[PRESETS], *(name for name in presets if name not in defaults[PRESETS])]
    if preset not in known:
        raise ValueError(f"unknown preset {preset!r}; known are {', '.join(map(str, known))}")
    if "preset" in content:
        raise ValueError(f"`preset` is chosen when a file is used; `{DEFAULT_PRESET}` can be in it")
    given = _without_presets(content)
    result = merge(_without_presets(defaults), defaults[PRESETS].get(preset, {}))
    if "students" in given:  # a file's students are all students, not more of them
        result.pop("students")
    if "name" not in given and isinstance(given.get("env"), str):
        result["name"] = given["env"].replace("/", "-").lower()
    result = merge(merge(result, given), presets.get(preset, {}))
    return {**result, "preset": preset}


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> Content:
    """Return ``base`` with ``over`` laid over it.

    Mappings are merged key by key; anything else, lists included, is replaced; null removes a key.
    """
    result = dict(base)
    for key, value in over.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            below = result.get(key)
            result[key] = merge(below if isinstance(below, Mapping) else {}, value)
        else:
            result[key] = value
    return result


def _defaults() -> Content:
    path = resources.files("sb3_integral.experiments.config") / "defaults.yml"
    return dict(yaml.safe_load(path.read_text(encoding="utf-8")))


def _presets(content: Mapping[str, Any]) -> Content:
    presets = content.get(PRESETS) or {}
    if isinstance(presets, Mapping) and all(isinstance(preset, Mapping) for preset in presets.values()):
        return dict(presets)
    raise ValueError(f"`{PRESETS}` must map names to partial configurations, got {presets!r}")


def _without_presets(content: Mapping[str, Any]) -> Content:
    return {key: value for key, value in content.items() if key not in (PRESETS, DEFAULT_PRESET)}
