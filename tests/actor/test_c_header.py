from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from sb3_contrib import QRDQN, CrossQ
from stable_baselines3 import DQN, PPO, SAC, TD3
from torch import nn

from sb3_integral.actor.activations import ACTIVATIONS
from sb3_integral.deploy import export_c

COMPILER = shutil.which("cc")
pytestmark = pytest.mark.skipif(COMPILER is None, reason="there is no C compiler")
VECTOR = spaces.Box(-1.0, 1.0, (4,))


@given(data=st.data())
@settings(max_examples=15)
def test_c_acts_as_predict_does(
    data: st.DataObject,
    draw_policy: Callable[..., Any],
    observe: Callable[..., Any],
    act_in_c: Callable[..., Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    policy = draw_policy(data)
    header = export_c(policy, tmp_path_factory.mktemp("h") / "policy.h")
    seen = observe(policy.observation_space)
    wanted = policy.predict(seen, deterministic=True)[0]
    np.testing.assert_allclose(act_in_c(header, seen, policy.action_space), wanted, rtol=1e-4, atol=1e-4)


ARGUMENTS: dict[type[nn.Module], Callable[[], nn.Module]] = {
    nn.Threshold: lambda: nn.Threshold(0.3, 20.0),
}


@pytest.mark.parametrize("activation", list(ACTIVATIONS), ids=lambda kind: kind.__name__)
def test_activations_are_torchs(
    activation: type[nn.Module],
    make_model: Callable[..., Any],
    observe: Callable[..., Any],
    act_in_c: Callable[..., Any],
    tmp_path: Path,
) -> None:
    # given inputs on both sides of every kink
    model = make_model(
        PPO,
        activation_fn=ARGUMENTS.get(activation, activation),
        action_space=spaces.Box(-99.0, 99.0, (2,)),
    )
    with torch.no_grad():
        model.policy.mlp_extractor.policy_net[0].weight.mul_(20.0)
    header = export_c(model, tmp_path / "policy.h")
    seen = observe(VECTOR)
    wanted = model.predict(seen, deterministic=True)[0]
    np.testing.assert_allclose(act_in_c(header, seen, model.action_space), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("algorithm", [DQN, QRDQN, SAC, TD3, CrossQ])
def test_other_algorithms_too(
    algorithm: Any,
    make_model: Callable[..., Any],
    make_normalize: Callable[..., Any],
    observe: Callable[..., Any],
    act_in_c: Callable[..., Any],
    tmp_path: Path,
) -> None:
    # given a model on normalised and clipped observations
    model = make_model(algorithm)
    normalize = make_normalize(VECTOR, clip_obs=0.5)
    # when
    header = export_c(model, tmp_path / "policy.h", size=6, normalize=normalize)
    # then
    seen = observe(VECTOR)
    wanted = model.policy.resize(6).predict(normalize.normalize_obs(seen), deterministic=True)[0]
    np.testing.assert_allclose(act_in_c(header, seen, model.action_space), wanted, rtol=1e-4, atol=1e-4)


def test_the_header_says_its_sizes_and_can_be_included_twice(student: Any, tmp_path: Path) -> None:
    text = export_c(student, tmp_path / "a.h", "arm", size=6).read_text()
    assert "layers:      4 - 6 - 6 - 3 (93 parameters, 372 bytes)" in text
    assert "const float observation[4]" in text
    assert "float action[3]" in text
    assert "#ifndef ARM_H\n#define ARM_H" in text
    assert "static inline void arm_act(const float *observation, float *action)" in text


def test_what_c_cannot_do_says_so_and_writes_nothing(
    student: Any, make_model: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "policy.h"
    for name in ("", "1a", "a b", "a;", "é"):
        with pytest.raises(ValueError, match="for a name in C"):
            export_c(student, path, name)
    with pytest.raises(ValueError, match="cannot compute Hardshrink"):
        export_c(make_model(PPO, activation_fn=nn.Hardshrink), path)
    with pytest.raises(ValueError, match="one argument for all neurons, got PReLU"):
        export_c(make_model(PPO, net_arch=[12], activation_fn=lambda: nn.PReLU(12)), path)
    with pytest.raises(ValueError, match="vectors that dense layers read"):
        export_c(make_model(PPO, observation_space=spaces.Discrete(3)), path)
    image = spaces.Box(0, 255, (36, 36, 3), np.uint8)
    with pytest.raises(ValueError, match="got NatureCNN"):
        export_c(
            make_model(PPO, "IntegralCnnPolicy", image, features_extractor_kwargs={"features_dim": 16}),
            path,
        )
    plain = student.discretize()
    with torch.no_grad():
        plain.action_net.bias[0] = torch.nan
    with pytest.raises(ValueError, match="NaN or infinite"):
        export_c(plain, path)
    assert not list(tmp_path.iterdir())
