"""C with whole numbers for weights computes what NumPy does, number by number."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import example, given, settings
from hypothesis import strategies as st
from stable_baselines3 import DQN, PPO
from torch import nn

from sb3_integral.actor import NumpyActor, actor_spec
from sb3_integral.actor.quantized import rounded_inputs, rounded_weights
from sb3_integral.deploy import export_c
from sb3_integral.imitation import StudentArchitecture

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
LIMITS = {"int8": 127, "int4": 7, "q15": 32767}


@pytest.mark.parametrize("weights", list(LIMITS))
@given(row=st.lists(FLOATS, min_size=1, max_size=9))
@example([0.0])
@example([1e-45, -1e-45])
@example([3.4028234663852886e38, -1.0])
@settings(max_examples=60)
def test_weights_are_rounded_to_the_nearest(weights: Any, row: list[float]) -> None:
    weight = np.float32([row])
    values, scale = rounded_weights(weight, weights)
    assert np.abs(values.astype(int)).max() <= LIMITS[weights]
    back = values * scale.astype(np.float64)
    half = max(0.5 * float(scale[0]), 0.0) * (1.0 + 1e-4)
    tiny = float(np.finfo(np.float32).tiny) * LIMITS[weights]
    assert np.abs(back - weight).max() <= (half if np.abs(weight).max() >= tiny else tiny)


@given(x=st.lists(FLOATS, min_size=1, max_size=9))
@example([0.0, -0.0])
@example([0.99999994, -0.99999994])
@example([1.0, -1.0])
@example([1e-45])
@example([3.4028234663852886e38])
@settings(max_examples=100)
def test_inputs_fit_16_bits_and_are_off_by_a_unit_at_most(x: list[float]) -> None:
    values = np.float32(x)
    rounded, unit = rounded_inputs(values)
    assert rounded.min() >= -32768
    assert rounded.max() <= 32767
    assert np.abs(rounded * float(unit[0]) - values.astype(float)).max() <= float(unit[0])
    assert not values.any() or float(unit[0]) <= max(float(np.abs(values).max()) * 2.0**-14, 2.0**-115)


def by_hand(policy: Any, weights: str, observation: np.ndarray) -> np.ndarray:
    """Compute a ReLU actor as C does: one addition after the other, or whole numbers."""
    x = observation
    layers = actor_spec(policy).perceptron().layers
    for index, layer in enumerate(layers):
        values, scale = rounded_weights(layer.weight, weights)  # type: ignore[arg-type]
        if weights == "q15":
            rounded, unit = rounded_inputs(x)
            sums = [sum(int(a) * int(b) for a, b in zip(row, rounded, strict=True)) for row in values]
            x = np.float32(sums) * unit * scale + layer.bias
        else:
            total = np.zeros(len(values), np.float32)
            for column, number in zip(values.T.astype(np.float32), x, strict=True):
                total += column * number
            x = total * scale + layer.bias
        if index + 1 < len(layers):
            x = np.maximum(x, np.float32(0.0))
    return np.clip(x, policy.action_space.low, policy.action_space.high)


@pytest.mark.parametrize("weights", list(LIMITS))
@given(data=st.data())
@settings(max_examples=8)
def test_c_is_equal_to_the_reference(
    weights: Any,
    data: st.DataObject,
    make_policy_of: Callable[..., Any],
    act_in_c: Callable[..., Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    # given networks with fewer and more outputs than a block, of small and large numbers
    arch = data.draw(st.lists(st.integers(1, 70), min_size=0, max_size=2), label="net_arch")
    scale = data.draw(st.sampled_from([1e-20, 1e-3, 1.0, 1e4]), label="scale")
    policy = make_policy_of(arch, scale, data.draw(st.integers(0, 9), label="seed"))
    rng = np.random.default_rng(data.draw(st.integers(0, 9), label="observations"))
    seen = (rng.normal(size=(6, 5)) * 10.0 ** rng.integers(-4, 5, (6, 1))).astype(np.float32)
    seen[0] = 0.0
    # when
    header = export_c(policy, tmp_path_factory.mktemp("h") / "policy.h", weights=weights)
    got = act_in_c(header, seen, policy.action_space)
    # then
    wanted = np.stack([by_hand(policy, weights, row) for row in seen])
    np.testing.assert_array_equal(got, wanted)
    by_numpy = NumpyActor(actor_spec(policy), weights)(seen)
    np.testing.assert_allclose(by_numpy, wanted, rtol=1e-4, atol=1e-4 * max(1.0, np.abs(wanted).max()))


@pytest.fixture(scope="module")
def make_policy_of() -> Callable[..., Any]:
    def make(arch: list[int], scale: float, seed: int) -> Any:
        from stable_baselines3.common.policies import ActorCriticPolicy

        space, action = spaces.Box(-np.inf, np.inf, (5,)), spaces.Box(-np.inf, np.inf, (3,))
        policy = ActorCriticPolicy(space, action, lambda _: 0.0, net_arch=arch, activation_fn=nn.ReLU)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in policy.parameters():
                parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))
        return policy

    return make


@pytest.mark.parametrize(("weights", "off"), [("int8", 0.03), ("int4", 0.5), ("q15", 1e-3)])
def test_little_is_lost(
    weights: Any, off: float, make_model: Any, observe: Any, act_in_c: Any, tmp_path: Path
) -> None:
    model = make_model(PPO, action_space=spaces.Box(-99.0, 99.0, (2,)))
    seen = observe(model.observation_space)
    wanted = model.predict(seen, deterministic=True)[0]
    got = act_in_c(export_c(model, tmp_path / "p.h", weights=weights), seen, model.action_space)
    assert 0.0 < np.abs(got - wanted).max() < off * np.abs(wanted).max()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_nan_and_the_first_choice(
    bad: float, make_policy_of: Any, make_model: Any, act_in_c: Any, tmp_path: Path
) -> None:
    seen = np.zeros((5, 5), np.float32)
    np.fill_diagonal(seen, bad)
    policy = make_policy_of([4], 1.0, 0)
    header = export_c(policy, tmp_path / "policy.h", weights="q15")
    assert np.isnan(act_in_c(header, seen, policy.action_space)).all()
    assert np.isnan(NumpyActor(actor_spec(policy), "q15")(seen)).all()
    model = make_model(DQN)
    header = export_c(model, tmp_path / "policy.h", weights="q15")
    assert not act_in_c(header, seen[:4, :4], model.action_space).any()


def test_a_quarter_and_half_of_the_memory(student: Any, tmp_path: Path) -> None:
    flash = {}
    for weights in ("float32", "int8", "int4", "q15"):
        text = export_c(student, tmp_path / "a.h", weights=weights).read_text()  # type: ignore[arg-type]
        flash[weights] = int(text.split(" bytes of constants")[0].split()[-1])
    products, outputs = 4 * 12 + 12 * 10 + 10 * 3, 12 + 10 + 3
    bounds = 2 * 3 * 4
    assert flash["float32"] == 4 * (products + outputs) + bounds
    standardisation = 2 * 4 * 4  # which floats have in their first layer
    assert flash["int8"] == products + 8 * outputs + bounds + standardisation
    # the third of three weights for an input has a byte for itself
    packed = (4 * 12 + 12 * 10) // 2 + 2 * 10
    assert flash["int4"] == packed + 8 * outputs + bounds + standardisation
    assert flash["q15"] == 2 * products + 8 * outputs + bounds + standardisation


def test_unknown_weights_are_refused(student: Any, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match="expected weights of float32 or int8 or int4 or q15, got 'int2'"
    ):
        export_c(student, tmp_path / "a.h", weights="int2")  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


@pytest.fixture
def standardizing_student() -> Any:
    """A student whose observations differ by four orders of magnitude, and lie far from 0."""
    space, action = spaces.Box(-np.inf, np.inf, (5,)), spaces.Box(-np.inf, np.inf, (3,))
    student = StudentArchitecture("integral", hidden_sizes=(24, 24)).build(space, action, seed=0)
    seen = np.random.default_rng(0).normal(size=(2000, 5)) * [0.01, 0.1, 1.0, 10.0, 100.0]
    seen += [1.0, -2.0, 3.0, 0.0, 1000.0]
    extractor: Any = student.features_extractor
    extractor.fit(torch.as_tensor(seen, dtype=torch.float32))
    return student, seen[:200].astype(np.float32)


@pytest.mark.parametrize("size", [24, 7])
@pytest.mark.parametrize("weights", list(LIMITS))
def test_standardisation_is_not_rounded_with_the_weights(
    weights: Any, size: int, standardizing_student: Any, act_in_c: Any, tmp_path: Path
) -> None:
    # given a student that standardises, and its ordinary policy, which has that in its first layer
    student, seen = standardizing_student
    plain = student.discretize(size)
    exact = NumpyActor(actor_spec(plain))(seen)
    # when both are written with rounded weights
    own, folded = (
        act_in_c(
            export_c(source, tmp_path / f"{i}.h", weights=weights, size=of), seen, plain.action_space
        )
        for i, (source, of) in enumerate([(student, size), (plain, None)])
    )
    # then the header is what NumPy computes, and loses a fraction of what the other one does
    by_numpy = NumpyActor(actor_spec(student, size, folded=False), weights)(seen)
    np.testing.assert_allclose(own, by_numpy, rtol=1e-3, atol=1e-4)
    assert np.abs(own - exact).mean() < 0.2 * np.abs(folded - exact).mean()


def test_floats_have_standardisation_folded_as_before(
    standardizing_student: Any, act_in_c: Any, tmp_path: Path
) -> None:
    # given a student that standardises
    student, seen = standardizing_student
    # when
    header = export_c(student, tmp_path / "policy.h", size=7)
    # then nothing is computed for it, and actions are those of its ordinary policy
    assert "policy_mean" not in header.read_text()
    wanted = NumpyActor(actor_spec(student.discretize(7)))(seen)
    np.testing.assert_allclose(
        act_in_c(header, seen, student.action_space), wanted, rtol=1e-3, atol=1e-3
    )


def test_a_dictionary_of_observations_is_folded_with_rounded_weights_too(
    act_in_c: Any, tmp_path: Path
) -> None:
    # given a student whose observations are a dictionary
    part = spaces.Box(-1.0, 1.0, (2,))
    space = spaces.Dict({"a": part, "b": part})
    student = StudentArchitecture("integral", hidden_sizes=(6,)).build(space, part, seed=0)
    seen = {name: np.random.default_rng(1).uniform(-1, 1, (20, 2)).astype(np.float32) for name in "ab"}
    # when
    header = export_c(student, tmp_path / "policy.h", weights="int8")
    # then it is what NumPy computes
    flat = np.concatenate([seen["a"], seen["b"]], axis=1)
    wanted = NumpyActor(actor_spec(student, folded=False), "int8")(seen)
    np.testing.assert_allclose(act_in_c(header, flat, part), wanted, rtol=1e-4, atol=1e-5)
