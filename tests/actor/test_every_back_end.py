"""Back ends, algorithms, kinds of policy and action spaces: all act as SB3's ``predict`` does."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.spaces import flatten
from sb3_contrib import ARS, QRDQN, TQC, TRPO, CrossQ, MaskablePPO
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3

from sb3_integral import ResizablePolicy
from sb3_integral.actor import actor_spec, quickest_actor
from sb3_integral.actor.c_header import export_c
from sb3_integral.actor.flattening import is_flat
from sb3_integral.actor.onnx_export import export_onnx
from sb3_integral.actor.onnx_policy import OnnxPolicy
from sb3_integral.actor.torch_module import TorchActor, export_torch
from sb3_integral.evaluation.actors import ROWS, make_actor

VECTOR = spaces.Box(-1.0, 1.0, (4,))
IMAGE, FRAMES = (spaces.Box(0, 255, (channels, 36, 36), np.uint8) for channels in (3, 12))
OBSERVATIONS: dict[str, spaces.Space[Any]] = {
    "Mlp": VECTOR,
    "Mlp of float64": spaces.Box(-np.inf, np.inf, (2, 3), np.float64),
    "Mlp of bits": spaces.MultiBinary(6),
    "Mlp of choices": spaces.MultiDiscrete([3, 2]),
    "Mlp of stacked vectors": spaces.Box(-1.0, 1.0, (12,)),
    "Cnn": IMAGE,
    "Cnn of stacked frames": FRAMES,
    "MultiInput": spaces.Dict({"action": VECTOR, "linear": spaces.Discrete(3), "x y": VECTOR}),
    "MultiInput of images": spaces.Dict({"image": IMAGE, "action_masks": spaces.MultiBinary(2)}),
}
"""What policies observe, by their kind and what is special about it."""

NOT_IN_C = ("Cnn", "Cnn of stacked frames", "MultiInput of images")
BOX = spaces.Box(np.float32([-2.0, -0.1, 0.0]), np.float32([0.5, 0.1, 3.0]))
MATRIX = spaces.Box(-3.0, 5.0, (2, 2), np.float64)
NUMBER = spaces.Box(-0.1, 0.1, (), np.float64)
ONE, SEVERAL, BITS = spaces.Discrete(5), spaces.MultiDiscrete([2, 4]), spaces.MultiBinary(3)
CASES: list[tuple[Any, ...]] = [
    *((algorithm, "Mlp", space, {}) for algorithm in (PPO, A2C) for space in (BOX, ONE, SEVERAL, BITS)),
    *((PPO, "Mlp", space, {}) for space in (MATRIX, NUMBER)),
    *((MaskablePPO, "Mlp", space, {}) for space in (ONE, SEVERAL, BITS)),
    *((algorithm, "Mlp", ONE, {}) for algorithm in (DQN, QRDQN, ARS, TRPO)),
    *((algorithm, "Mlp", MATRIX, {}) for algorithm in (SAC, TD3, TQC, CrossQ, ARS, DDPG)),
    *((algorithm, "Mlp", NUMBER, {}) for algorithm in (SAC, TD3)),
    *((algorithm, "Mlp", BOX, {"net_arch": []}) for algorithm in (PPO, SAC, TD3)),
    *((algorithm, "Mlp", ONE, {"net_arch": []}) for algorithm in (DQN, QRDQN)),
    *((algorithm, "Mlp", BOX, {"use_sde": True}) for algorithm in (PPO, SAC, TQC)),
    (PPO, "Mlp", BOX, {"use_sde": True, "squash_output": True}),
    *((algorithm, "Cnn", ONE, {}) for algorithm in (PPO, DQN, QRDQN, MaskablePPO)),
    *((algorithm, "Cnn", BOX, {}) for algorithm in (SAC,)),
    *((algorithm, "MultiInput", BOX, {}) for algorithm in (PPO, TD3, TQC)),
    *((algorithm, "MultiInput", BITS, {}) for algorithm in (MaskablePPO, A2C)),
    (DQN, "MultiInput", ONE, {}),
    *((PPO, kind, BOX, {}) for kind in OBSERVATIONS if " of " in kind),
    *((MaskablePPO, "MultiInput of images", space, {}) for space in (ONE, SEVERAL, BITS)),
    *((algorithm, "Mlp of float64", MATRIX, {}) for algorithm in (SAC, TD3, CrossQ)),
    (DQN, "Cnn of stacked frames", ONE, {}),
    (SAC, "MultiInput of images", BOX, {}),
]
FILES = [
    *((algorithm, "Mlp", BITS, {}) for algorithm in (PPO, MaskablePPO)),
    (PPO, "Mlp", SEVERAL, {}),
    (PPO, "Mlp", NUMBER, {}),
    (QRDQN, "Mlp", ONE, {}),
    *((algorithm, "Mlp", MATRIX, {}) for algorithm in (SAC, CrossQ, ARS)),
    (TD3, "Mlp", BOX, {"net_arch": []}),
    (TQC, "Mlp", BOX, {"use_sde": True}),
    (DQN, "Cnn", ONE, {}),
    (TQC, "MultiInput", BOX, {}),
    (PPO, "Mlp of float64", BOX, {}),
    (PPO, "Mlp of choices", BOX, {}),
    (MaskablePPO, "MultiInput of images", SEVERAL, {}),
]
"""The cases that are written to ONNX and torch.export too, which takes seconds each."""

FEATURES = {"Mlp": {}, "Cnn": {"features_dim": 16}, "MultiInput": {"cnn_output_dim": 8}}
SIZES = [None, 6]
Act = Callable[[Any], np.ndarray[Any, Any]]


def name_of(case: tuple[Any, ...]) -> str:
    algorithm, kind, space, arguments = case
    return "-".join((algorithm.__name__, kind, str(space), *arguments))


def tensors(observations: Any, space: spaces.Space[Any]) -> Any:
    if isinstance(space, spaces.Dict):
        return {name: tensors(observations[name], inner) for name, inner in space.items()}
    is_number = isinstance(space, spaces.Box) and space.dtype != np.uint8
    dtype = np.float32 if is_number else space.dtype if space.dtype == np.uint8 else np.int64
    return torch.from_numpy(np.ascontiguousarray(observations, dtype))


@pytest.fixture(scope="module")
def policy_of(make_model: Callable[..., Any]) -> Callable[[Any, Any], tuple[Any, Any]]:
    """Return the policy of a case and its plain twin at a size; models are made once."""
    made = functools.lru_cache(maxsize=None)(
        lambda number: _model(make_model, CASES[number]).policy  # type: ignore[misc]
    )

    def at_size(case: Any, size: int | None) -> tuple[Any, Any]:
        policy = made(CASES.index(case))
        if not hasattr(policy, "resize"):
            return policy, policy
        return policy, policy.discretize(policy.max_sizes if size is None else size)

    return at_size


def _model(make_model: Callable[..., Any], case: tuple[Any, ...]) -> Any:
    algorithm, kind, space, given = case
    policy_kwargs = {name: value for name, value in given.items() if name != "use_sde"}
    alias = kind.split()[0]
    if FEATURES[alias]:
        policy_kwargs["features_extractor_kwargs"] = FEATURES[alias]
    arguments = {"use_sde": True} if "use_sde" in given else {}
    # Without hidden layers there is nothing to resize.
    name = f"{alias}Policy" if policy_kwargs.get("net_arch") == [] else f"Integral{alias}Policy"
    return make_model(algorithm, name, OBSERVATIONS[kind], space, arguments, **policy_kwargs)


def expected(plain: Any, seen: Any) -> np.ndarray[Any, Any]:
    return plain.predict(seen, deterministic=True)[0]  # type: ignore[no-any-return]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_quick_actors_and_torch(
    case: Any, size: int | None, policy_of: Any, observe: Any, agree: Any
) -> None:
    # given
    policy, plain = policy_of(case, size)
    seen = observe(policy.observation_space)
    wanted = expected(plain, seen)
    assert np.ptp(wanted) > 0 or not isinstance(plain.action_space, spaces.Box)
    # when / then
    got = quickest_actor(plain)(seen)
    agree(got, wanted)
    assert got.dtype == wanted.dtype
    at_size = size if policy is not plain else None
    got = TorchActor(actor_spec(policy, at_size))(tensors(seen, policy.observation_space)).numpy()
    agree(got, wanted)
    assert got.dtype == wanted.dtype
    actor = make_actor(plain)
    with actor.playing(range(4)):
        for row in range(4):
            actor.observe(row, _row(seen, row))
        got = actor.act()
    assert len(got) == ROWS
    agree(got[:4], wanted)


def _row(seen: Any, row: int) -> Any:
    return {name: own[row] for name, own in seen.items()} if isinstance(seen, dict) else seen[row]


@pytest.mark.parametrize("case", FILES, ids=name_of)
def test_files_of_onnx_and_torch(
    case: Any, policy_of: Any, observe: Any, agree: Any, tmp_path: Path
) -> None:
    # given
    policy, plain = policy_of(case, 6)
    size, space = 6 if policy is not plain else None, policy.action_space
    seen = observe(policy.observation_space)
    wanted = expected(plain, seen)
    masks = [torch.ones(4, count_of(space), dtype=torch.bool)] if case[0] is MaskablePPO else []
    # when
    onnx = OnnxPolicy(export_onnx(policy, tmp_path / "actor.onnx", size))
    program = export_torch(policy, tmp_path / "actor.pt2", size).module()
    # then
    by_torch = program(tensors(seen, policy.observation_space), *masks).numpy()
    for got in (onnx.predict(seen)[0], by_torch):
        agree(got, wanted)
        assert got.dtype == wanted.dtype


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_c(
    case: Any, size: int | None, policy_of: Any, observe: Any, act_in_c: Any, tmp_path: Path
) -> None:
    policy, plain = policy_of(case, size)
    at_size = size if policy is not plain else None
    if case[1] in NOT_IN_C:
        with pytest.raises(ValueError, match="vectors that dense layers read"):
            export_c(policy, tmp_path / "policy.h", size=at_size)
        return
    header = export_c(policy, tmp_path / "policy.h", size=at_size)
    seen = observe(policy.observation_space)
    space = policy.observation_space
    # what users of C do in Python to see the same
    flat = seen if is_flat(space) else [flatten(space, _row(seen, row)) for row in range(4)]
    got = act_in_c(header, flat, policy.action_space)
    np.testing.assert_allclose(got, expected(plain, seen), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("space", [ONE, SEVERAL, BITS], ids=str)
def test_masks(
    space: spaces.Space[Any], policy_of: Any, observe: Any, act_in_c: Any, tmp_path: Path
) -> None:
    # given masks that forbid what each observation would choose
    policy, plain = policy_of((MaskablePPO, "Mlp", space, {}), 6)
    seen = observe(VECTOR)
    count = plain.action_net.out_features
    assert count == count_of(space)
    masks = np.random.default_rng(0).random((4, count)) < 0.6
    masks |= ~np.maximum.reduceat(masks, _starts(space), axis=1).repeat(_choices(space), axis=1)
    wanted = plain.predict(seen, deterministic=True, action_masks=masks)[0]
    assert (wanted != expected(plain, seen)).any()
    # when / then
    actor = quickest_actor(plain)
    np.testing.assert_array_equal(actor(seen, masks), wanted)
    np.testing.assert_array_equal(actor(seen[1], masks[1]), wanted[1])
    rows = make_actor(plain)
    with rows.playing(range(4)):
        for row in range(4):
            rows.observe(row, seen[row])
        all_masks = np.ones((ROWS, count), bool)
        all_masks[:4] = masks
        np.testing.assert_array_equal(rows.act(all_masks)[:4], wanted)
    # and files take them as an input of their own
    onnx = OnnxPolicy(export_onnx(policy, tmp_path / "actor.onnx", 6))
    np.testing.assert_array_equal(onnx.predict(seen, action_masks=masks)[0], wanted)
    np.testing.assert_array_equal(onnx.predict(seen[1], action_masks=masks[1])[0], wanted[1])
    np.testing.assert_array_equal(onnx.act(seen[1]), expected(plain, seen)[1])
    program = export_torch(policy, tmp_path / "actor.pt2", 6).module()
    got = program(tensors(seen, VECTOR), torch.from_numpy(masks)).numpy()
    np.testing.assert_array_equal(got, wanted)
    header = export_c(policy, tmp_path / "policy.h", size=6)
    np.testing.assert_array_equal(act_in_c(header, seen, space, masks), wanted)
    np.testing.assert_array_equal(act_in_c(header, seen, space), expected(plain, seen))


def test_masks_are_refused_where_the_policy_takes_none(make_model: Any, tmp_path: Path) -> None:
    onnx = OnnxPolicy(export_onnx(make_model(DQN), tmp_path / "actor.onnx"))
    with pytest.raises(ValueError, match="takes no action masks"):
        onnx.predict(np.zeros(4, np.float32), action_masks=np.ones(5, bool))


def count_of(space: spaces.Space[Any]) -> int:
    return sum(_choices(space))


def _choices(space: spaces.Space[Any]) -> list[int]:
    if isinstance(space, spaces.Discrete):
        return [int(space.n)]
    return list(space.nvec) if isinstance(space, spaces.MultiDiscrete) else [2] * 3


def _starts(space: spaces.Space[Any]) -> list[int]:
    return [0, *np.cumsum(_choices(space))[:-1]]


@pytest.mark.parametrize("algorithm", [PPO, SAC, DQN])
def test_a_plain_policy_is_exported_and_stays_as_it_is(
    algorithm: Any, make_model: Any, observe: Any, agree: Any
) -> None:
    # given a plain policy that trains
    model = make_model(algorithm, "MlpPolicy")
    model.policy.set_training_mode(True)
    seen = observe(VECTOR)
    # when
    actor = TorchActor(actor_spec(model))
    small = TorchActor(actor_spec(ResizablePolicy(model.policy, "nearest"), 5))
    # then it is neither frozen nor put into another mode, and shares nothing
    assert all(parameter.requires_grad for parameter in _trained(model.policy).parameters())
    assert model.policy.training
    own = {id(parameter) for parameter in model.policy.parameters()}
    assert not any(id(parameter) in own for parameter in actor.parameters())
    agree(actor(torch.from_numpy(seen)).numpy(), expected(model.policy, seen))
    resized = ResizablePolicy(model.policy, "nearest").discretize(5)
    agree(small(torch.from_numpy(seen)).numpy(), expected(resized, seen))


def _trained(policy: Any) -> Any:
    return getattr(policy, "actor", getattr(policy, "q_net", policy))
