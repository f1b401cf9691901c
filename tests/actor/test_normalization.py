"""VecNormalize's statistics in every back end: clipping, large means, and numbers that are refused."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from stable_baselines3 import PPO

from sb3_integral.actor import (
    DrawbackWarning,
    NumpyActor,
    Statistics,
    actor_spec,
    fold_normalization,
)
from sb3_integral.actor.c_header import export_c
from sb3_integral.actor.c_text import inward, literal
from sb3_integral.actor.onnx_export import export_onnx
from sb3_integral.actor.onnx_policy import OnnxPolicy
from sb3_integral.actor.torch_module import TorchActor, export_torch

VECTOR = spaces.Box(-np.inf, np.inf, (4,))
WIDE = spaces.Box(-99.0, 99.0, (2,))


@pytest.mark.parametrize("clip", [0.5, 3.4e38, 3.5e38, 1e300, np.inf])
@pytest.mark.parametrize("mean", [0.0, 1e6])
def test_back_ends_normalise_as_vecnormalize_does(
    clip: float, mean: float, make_model: Any, make_normalize: Any, act_in_c: Any, tmp_path: Path
) -> None:
    # given statistics whose mean may be large beside their deviation
    model = make_model(PPO, observation_space=VECTOR, action_space=WIDE)
    normalize = make_normalize(VECTOR, clip_obs=clip)
    normalize.obs_rms.mean = normalize.obs_rms.mean + mean
    seen = np.float32(mean + np.random.default_rng(0).normal(size=(6, 4)) * 2.0)
    wanted = model.predict(normalize.normalize_obs(seen), deterministic=True)[0]
    # when
    spec = actor_spec(model, normalize=normalize)
    header = export_c(model, tmp_path / "policy.h", normalize=normalize)
    # then
    for got in (
        NumpyActor(spec)(seen),
        NumpyActor(spec)(seen[0]),
        TorchActor(spec)(torch.from_numpy(seen)).numpy(),
        act_in_c(header, seen, WIDE),
    ):
        np.testing.assert_allclose(got, wanted if got.ndim > 1 else wanted[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, np.int16])
@pytest.mark.parametrize("mean", [0.0, 30.0, 3e3, 1e9])
@pytest.mark.parametrize("clip", [2.0, np.inf])
def test_no_back_end_loses_a_digit_that_the_normalisation_needs(
    dtype: Any,
    mean: float,
    clip: float,
    make_model: Any,
    make_normalize: Any,
    act_in_c: Any,
    tmp_path: Path,
) -> None:
    # given observations that differ little beside what they are, as far as their type can tell
    limit = np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else np.inf
    space = spaces.Box(-limit, limit, (4,), dtype)
    model = make_model(PPO, observation_space=space, action_space=WIDE)
    normalize = make_normalize(space, clip_obs=clip)
    normalize.obs_rms.mean = normalize.obs_rms.mean + min(mean, limit / 2)
    seen = normalize.obs_rms.mean + np.random.default_rng(0).normal(size=(6, 4)) * 2.0
    seen = seen.astype(dtype)
    wanted = model.predict(normalize.normalize_obs(seen), deterministic=True)[0]
    # when
    spec = actor_spec(model, normalize=normalize)
    header = export_c(model, tmp_path / "policy.h", normalize=normalize)
    onnx = OnnxPolicy(export_onnx(model, tmp_path / "policy.onnx", normalize=normalize))
    export_torch(model, tmp_path / "policy.pt2", normalize=normalize)
    program = torch.export.load(tmp_path / "policy.pt2").module()
    # then
    given_to_torch = torch.from_numpy(seen.astype(spec.observation_dtype()))
    for got in (
        NumpyActor(spec)(seen),
        TorchActor(spec)(given_to_torch).numpy(),
        program(given_to_torch).numpy(),
        onnx.predict(seen)[0],
        np.stack([onnx.act(one).copy() for one in seen]),
        act_in_c(header, seen, WIDE),
    ):
        np.testing.assert_allclose(got, wanted, rtol=3e-5, atol=3e-5)
    # and twice the digits are only asked for where they are needed
    needs_double = mean >= 3e3 and dtype in (np.float64, np.int64)
    assert spec.observation_dtype() is (np.float64 if needs_double else np.float32)


def test_a_policy_that_cannot_hold_the_digits_of_the_normalisation_says_so(
    make_model: Any, make_normalize: Any
) -> None:
    model = make_model(PPO, observation_space=VECTOR, action_space=WIDE)
    normalize = make_normalize(VECTOR)
    fold_normalization(model.policy, normalize)  # without a warning
    normalize.obs_rms.mean[1] = 1e9
    with pytest.warns(DrawbackWarning, match=r"rounded to \d+ standard deviations; ONNX, torch"):
        fold_normalization(model.policy, normalize)


@pytest.mark.parametrize(
    ("mean", "variance", "clip", "said"),
    [
        (np.nan, 1.0, 10.0, "has nan as its mean"),
        (1e300, 1.0, 10.0, r"has 1e\+300 as its mean"),
        (np.inf, 1.0, 10.0, "has inf as its mean"),
        (0.0, np.nan, 10.0, "has nan as its standard deviation"),
        (0.0, 1e300, 10.0, r"has 1e\+150 as its standard deviation"),
        (0.0, -1e-8, 10.0, "a standard deviation of 0.0"),
        (0.0, 1.0, np.nan, "clips to nan"),
        (0.0, 1.0, -1.0, "clips to -1.0"),
    ],
)
def test_statistics_that_no_file_can_hold_are_refused(
    mean: float, variance: float, clip: float, said: str, student: Any, make_normalize: Any
) -> None:
    normalize = make_normalize(student.observation_space, clip_obs=clip)
    normalize.obs_rms.mean[1], normalize.obs_rms.var[1] = mean, variance
    for refuse in (actor_spec, lambda policy, normalize: fold_normalization(policy, normalize)):
        with pytest.raises(ValueError, match=said):
            refuse(student.discretize(), normalize=normalize)


@given(st.floats(allow_nan=False))
def test_a_literal_reads_as_the_nearest_float32(value: float) -> None:
    text = literal(value)
    with warnings.catch_warnings(), np.errstate(over="ignore"):
        wanted = np.float32(value)
    if np.isinf(wanted):
        assert text == ("INFINITY" if value > 0 else "-INFINITY")
    else:
        assert text.endswith("f")
        assert np.float32(text[:-1]) == wanted


@given(st.floats(allow_nan=False), st.booleans())
def test_a_bound_is_rounded_into_the_space(bound: float, up: bool) -> None:
    (rounded,) = inward(np.array([bound]), up=up)
    assert rounded.dtype == np.float32
    assert float(rounded) >= bound if up else float(rounded) <= bound
    if np.isfinite(bound) and abs(bound) < 3e38:
        assert abs(float(rounded) - bound) <= max(2e-7 * abs(bound), 2e-45)


def test_statistics_hold_a_mean_to_more_digits_than_float32() -> None:
    high, low, _ = Statistics(np.array([1e6 + 0.3]), np.array([1.0]), 10.0).parts(np.float32)
    assert abs(float(high[0]) + float(low[0]) - (1e6 + 0.3)) < 1e-8
