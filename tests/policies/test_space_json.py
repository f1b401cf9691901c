from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sb3_integral.policies.space_json import space_from_json, space_to_json

FLOATS = st.sampled_from([np.float32, np.float64])


@st.composite
def boxes(draw: st.DrawFn) -> spaces.Box:
    dtype = draw(FLOATS)
    shape = draw(hnp.array_shapes(max_dims=3, max_side=3))
    width = 32 if dtype is np.float32 else 64
    ends = st.floats(width=width, allow_nan=False)
    both = draw(hnp.arrays(dtype, (2, *shape), elements=ends))
    return spaces.Box(both.min(axis=0), both.max(axis=0), shape, dtype)


SIMPLE = st.one_of(
    boxes(),
    st.builds(lambda n, start: spaces.Discrete(n, start=start), st.integers(1, 99), st.integers(-9, 9)),
    st.lists(st.integers(1, 9), min_size=1, max_size=4).map(spaces.MultiDiscrete),
    st.lists(st.integers(1, 4), min_size=1, max_size=3).map(spaces.MultiBinary),
    st.just(spaces.Box(0, 255, (36, 36, 3), np.uint8)),
)
SPACES = st.one_of(SIMPLE, st.dictionaries(st.text(min_size=1), SIMPLE, min_size=1).map(spaces.Dict))


@given(SPACES)
def test_a_space_comes_back_from_text(space: spaces.Space[Any]) -> None:
    # when
    text = json.dumps(space_to_json(space), allow_nan=False)
    again = space_from_json(json.loads(text))
    # then
    assert again == space
    assert type(again) is type(space)
    assert again.dtype == space.dtype
    if isinstance(space, spaces.Dict):
        assert list(again) == list(space)


def test_a_space_that_sb3_does_not_know_is_refused() -> None:
    with pytest.raises(ValueError, match="a space of class Text cannot be written"):
        space_to_json(spaces.Text(3))


BOX = space_to_json(spaces.Box(-1.0, 1.0, (2,)))


@pytest.mark.parametrize(
    "content",
    [
        None,
        "Box(-1.0, 1.0, (2,), float32)",
        {},
        {"type": "os.system"},
        {**BOX, "more": 1},
        {**BOX, "dtype": "object"},
        {**BOX, "shape": [2**40]},
        {**BOX, "shape": [4096, 8192]},
        {**BOX, "shape": "2"},
        {**BOX, "shape": [-2]},
        {**BOX, "low": "nan"},
        {**BOX, "low": float("nan")},
        {**BOX, "low": [0.0]},
        {**BOX, "low": [[0.0], [0.0, 1.0]]},
        {**BOX, "low": True},
        {**BOX, "low": 2.0},
        {"type": "Discrete", "n": 0, "start": 0},
        {"type": "Discrete", "n": 2.5, "start": 0},
        {"type": "Discrete", "n": 10**12, "start": 0},
        {"type": "MultiDiscrete", "nvec": [], "start": []},
        {"type": "MultiDiscrete", "nvec": [2, -1], "start": [0, 0]},
        {"type": "MultiDiscrete", "nvec": [2, "3"], "start": [0, 0]},
        {"type": "MultiBinary", "n": 0},
        {"type": "MultiBinary", "n": [2, 0]},
        {"type": "Dict", "spaces": {"a": BOX}},
        {"type": "Dict", "spaces": [["a", {"type": "Dict"}]]},
    ],
    ids=str,
)
def test_what_is_no_space_is_refused(content: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each says something else
        space_from_json(content)
