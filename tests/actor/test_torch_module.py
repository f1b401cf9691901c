from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from sb3_contrib import ARS, QRDQN, TQC, CrossQ, MaskablePPO
from stable_baselines3 import DQN, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_integral.actor import actor_spec
from sb3_integral.actor.torch_module import TorchActor
from sb3_integral.deploy import export_torch

VECTOR = spaces.Box(-1.0, 1.0, (4,))
IMAGE = spaces.Box(0, 255, (3, 36, 36), np.uint8)
BOTH = spaces.Dict({"vector": VECTOR, "image": IMAGE, "one": spaces.Discrete(3)})
CASES: list[tuple[Any, ...]] = [
    (PPO, VECTOR, spaces.MultiDiscrete([2, 3])),
    (MaskablePPO, VECTOR, spaces.Discrete(4)),
    (MaskablePPO, VECTOR, spaces.MultiBinary(3)),
    (DQN, VECTOR, None),
    (QRDQN, VECTOR, None),
    (SAC, VECTOR, spaces.Box(-3.0, 5.0, (2, 2))),
    (TD3, VECTOR, None),
    (TQC, VECTOR, None),
    (CrossQ, VECTOR, None),
    (ARS, VECTOR, None),
    (ARS, VECTOR, spaces.Discrete(4)),
    (PPO, spaces.Discrete(4), None),
    (PPO, spaces.MultiDiscrete([2, 3]), None),
    (PPO, IMAGE, None),
    (PPO, BOTH, None),
    (SAC, BOTH, None),
    (DQN, IMAGE, None),
]


def tensors(observations: Any, space: spaces.Space[Any]) -> Any:
    if isinstance(space, spaces.Dict):
        return {name: tensors(observations[name], inner) for name, inner in space.items()}
    is_number = isinstance(space, spaces.Box) and space.dtype != np.uint8
    dtype = np.float32 if is_number else space.dtype if space.dtype == np.uint8 else np.int64
    return torch.from_numpy(np.ascontiguousarray(observations, dtype))


@given(data=st.data())
def test_it_acts_as_predict_does(
    data: st.DataObject,
    draw_policy: Callable[..., Any],
    observe: Callable[..., Any],
    agree: Callable[..., None],
) -> None:
    policy = draw_policy(data)
    seen = observe(policy.observation_space)
    got = TorchActor(actor_spec(policy))(tensors(seen, policy.observation_space)).numpy()
    wanted = policy.predict(seen, deterministic=True)[0]
    agree(got, wanted)
    assert got.dtype == wanted.dtype


@pytest.mark.parametrize(("algorithm", "space", "actions"), CASES, ids=str)
def test_it_acts_as_predict_does_for_any_algorithm(
    algorithm: type[BaseAlgorithm],
    space: spaces.Space[Any],
    actions: spaces.Space[Any] | None,
    make_model: Callable[..., Any],
    observe: Callable[..., Any],
    agree: Callable[..., None],
) -> None:
    # given
    kind, kwargs = "IntegralMlpPolicy", {}
    if space is IMAGE:
        kind, kwargs = "IntegralCnnPolicy", {"features_extractor_kwargs": {"features_dim": 16}}
    if space is BOTH:
        kind, kwargs = "IntegralMultiInputPolicy", {"features_extractor_kwargs": {"cnn_output_dim": 8}}
    policy = make_model(algorithm, kind, space, actions, **kwargs).policy.resize(6)
    # when
    seen = observe(space)
    got = TorchActor(actor_spec(policy))(tensors(seen, space)).numpy()
    # then
    agree(got, policy.predict(seen, deterministic=True)[0])


def test_normalisation_and_its_clipping_are_kept(
    student: Any,
    make_normalize: Callable[..., Any],
    observe: Callable[..., Any],
    agree: Callable[..., None],
) -> None:
    # given
    normalize = make_normalize(student.observation_space, clip_obs=0.5)
    seen = observe(student.observation_space)
    normalized = normalize.normalize_obs(seen)
    assert (np.abs(normalized) == 0.5).any(), "nothing is clipped"
    # when
    got = TorchActor(actor_spec(student, 6, normalize))(tensors(seen, student.observation_space))
    # then
    agree(got.numpy(), student.discretize(6).predict(normalized, deterministic=True)[0])


def test_gsde_and_squashing_are_kept(
    make_model: Callable[..., Any], observe: Callable[..., Any], agree: Callable[..., None]
) -> None:
    space = spaces.Box(-1.0, 1.0, (4,))
    policy = make_model(PPO, arguments={"use_sde": True}, squash_output=True).policy.resize(6)
    seen = observe(space)
    got = TorchActor(actor_spec(policy))(tensors(seen, space)).numpy()
    agree(got, policy.predict(seen, deterministic=True)[0])


def test_a_program_of_torch_takes_batches_of_any_size(
    student: Any, observe: Callable[..., Any], agree: Callable[..., None], tmp_path: Path
) -> None:
    # when
    export_torch(student, tmp_path / "actor.pt2", size=6)
    program = torch.export.load(tmp_path / "actor.pt2").module()
    # then
    seen = observe(student.observation_space)
    for batch in (1, 3):
        got = program(tensors(seen[:batch], student.observation_space))
        agree(got.numpy(), student.discretize(6).predict(seen[:batch], deterministic=True)[0])
    with pytest.raises(ValueError, match=r"end in \.pt2"):
        export_torch(student, tmp_path / "actor.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["actor.pt2"]
