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
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import nn

from sb3_integral.actor import actor_spec, quickest_actor
from sb3_integral.actor.activations import ACTIVATIONS
from sb3_integral.actor.torch_module import TorchActor
from sb3_integral.deploy import export_c
from sb3_integral.policies import StandardizeExtractor

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
    assert "layers:      4 - 6 - 6 - 3 (93 parameters, weights of float32)" in text
    # the parameters and the bounds of three actions; 6 + 6 + 3 outputs
    assert "396 bytes of constants in flash, 60 bytes of arrays on the stack" in text
    assert "const float observation[4]" in text
    assert "float action[3]" in text
    assert "#ifndef ARM_H\n#define ARM_H" in text
    assert "static inline void arm_act(const float *observation, float *action)" in text


def test_what_c_cannot_do_says_so_and_writes_nothing(
    student: Any,
    make_model: Callable[..., Any],
    make_normalize: Callable[..., Any],
    tmp_path: Path,
) -> None:
    path = tmp_path / "policy.h"
    for name in ("", "1a", "a b", "a;", "é"):
        with pytest.raises(ValueError, match="for a name in C"):
            export_c(student, path, name)
    with pytest.raises(ValueError, match="cannot compute Hardshrink"):
        export_c(make_model(PPO, activation_fn=nn.Hardshrink), path)
    with pytest.raises(ValueError, match="one argument for all neurons, got PReLU"):
        export_c(make_model(PPO, net_arch=[12], activation_fn=lambda: nn.PReLU(12)), path)
    dictionary = spaces.Dict({"a": VECTOR, "b": spaces.Discrete(2)})
    model = make_model(PPO, "IntegralMultiInputPolicy", dictionary)
    normalize = make_normalize(spaces.Dict({"a": VECTOR}))
    with pytest.raises(ValueError, match="no normalised dictionary"):
        export_c(model, path, normalize=normalize)
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


class Talking(spaces.Box):
    """A space whose text tries to leave a comment."""

    text = ""

    def __repr__(self) -> str:
        return self.text


@pytest.mark.parametrize(
    "text",
    [
        "**// int injected; /*",
        "*/",
        "??/\n*/ #error",
        "a \\",
        "é\x00\x07\u2028*\n/",
        "/*/*",
        "*" * 66 + "/*/",
    ],
)
def test_the_text_of_a_space_stays_in_its_comment(
    text: str, make_model: Any, observe: Any, act_in_c: Any, tmp_path: Path
) -> None:
    # given
    space = Talking(-1.0, 1.0, (4,))
    space.text = text
    policy = make_model(PPO, observation_space=space, action_space=spaces.Discrete(3)).policy
    # when
    header = export_c(policy, tmp_path / "policy.h")
    # then it compiles without a warning, acts, and has as many lines as with any other text
    content = header.read_text(encoding="ascii")
    seen = observe(VECTOR)
    wanted = policy.predict(seen, deterministic=True)[0]
    np.testing.assert_array_equal(act_in_c(header, seen, policy.action_space), wanted)
    space.text = "harmless"
    assert len(export_c(policy, header).read_text().split("\n")) == len(content.split("\n"))


@pytest.mark.parametrize("algorithm", [TD3, DQN])
def test_nan_is_what_predict_makes_of_it(
    algorithm: Any, make_model: Any, act_in_c: Any, tmp_path: Path
) -> None:
    # given ReLU, clipping and choices, and observations some of which are NaN
    model = make_model(algorithm)
    seen = np.float32([[np.nan, 0, 0, 0], [0, 0, 0, np.nan], [0.1, 0.2, 0.3, 0.4]])
    wanted = model.predict(seen, deterministic=True)[0]
    assert np.isnan(wanted[0]).all() or algorithm is DQN
    # when / then
    header = export_c(model, tmp_path / "policy.h")
    got = act_in_c(header, seen, model.action_space)
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(quickest_actor(model.policy)(seen), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("place", [0, 2, 4])
def test_the_first_nan_is_the_largest_choice(
    place: int, make_model: Any, observe: Any, tmp_path: Path
) -> None:
    # given a Q-network with infinite and undefined values
    model = make_model(DQN)
    with torch.no_grad():
        model.policy.q_net.q_net[-1].bias[place] = torch.nan
    seen = observe(VECTOR)
    wanted = model.predict(seen, deterministic=True)[0]
    assert (wanted == place).all()
    # when / then
    np.testing.assert_array_equal(quickest_actor(model.policy)(seen), wanted)
    np.testing.assert_array_equal(TorchActor(actor_spec(model))(torch.from_numpy(seen)).numpy(), wanted)


def test_a_plain_policy_that_standardises_does_so_in_c(
    observe: Any, act_in_c: Any, tmp_path: Path, make_policy: Any
) -> None:
    # given a plain policy whose standardisation is not folded into a layer
    arguments = {"features_extractor_class": StandardizeExtractor, "policy_class": ActorCriticPolicy}
    policy = make_policy("box", **arguments)
    policy.features_extractor.fit(7.0 + 3.0 * torch.randn(50, 5, generator=torch.Generator()))
    seen = np.random.default_rng(0).normal(7.0, 3.0, (6, 5)).astype(np.float32)
    wanted = policy.predict(seen, deterministic=True)[0]
    # when / then
    header = export_c(policy, tmp_path / "policy.h")
    np.testing.assert_allclose(act_in_c(header, seen, policy.action_space), wanted, atol=1e-4)
    np.testing.assert_allclose(quickest_actor(policy)(seen), wanted, atol=1e-5)
