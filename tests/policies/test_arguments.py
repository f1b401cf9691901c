"""Every argument of SB3's policies means for an integral policy what it means for the plain one."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from sb3_contrib import ARS, QRDQN, TQC, TRPO, CrossQ, MaskablePPO, RecurrentPPO
from stable_baselines3 import A2C, DQN, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.torch_layers import (
    BaseFeaturesExtractor,
    CombinedExtractor,
    FlattenExtractor,
    NatureCNN,
)
from torch import Tensor, nn

from sb3_integral.nn import IntegralLinear
from sb3_integral.policies import IntegralPolicy
from sb3_integral.policies.layout import dense, find_layout

MakeModel = Callable[..., Any]

MLP, CNN, MULTI = "IntegralMlpPolicy", "IntegralCnnPolicy", "IntegralMultiInputPolicy"


class Doubled(BaseFeaturesExtractor):
    """A features extractor of one's own, with layers and an argument."""

    def __init__(self, observation_space: spaces.Space[Any], features_dim: int = 6) -> None:
        super().__init__(observation_space, 2 * features_dim)
        assert observation_space.shape is not None
        inputs = int(np.prod(observation_space.shape))
        self.left = nn.Sequential(nn.Flatten(), nn.Linear(inputs, features_dim), nn.Tanh())
        self.right = nn.Sequential(nn.Flatten(), nn.Linear(inputs, features_dim), nn.ReLU())

    def forward(self, observations: Tensor) -> Tensor:
        return torch.cat([self.left(observations), self.right(observations)], dim=1)


class SmallCNN(NatureCNN):
    """A ``NatureCNN`` with an argument of its own, and a width that SB3's does not have."""

    def __init__(self, observation_space: spaces.Box, features_dim: int = 16, gain: float = 1.0) -> None:
        super().__init__(observation_space, features_dim)
        self.gain = gain

    def forward(self, observations: Tensor) -> Tensor:
        features: Tensor = self.gain * super().forward(observations)
        return features


SMALL: dict[str, dict[str, Any]] = {
    MLP: {"net_arch": [16, 12]},
    CNN: {"net_arch": [12], "features_extractor_kwargs": {"features_dim": 16}},
    MULTI: {"net_arch": [12], "features_extractor_kwargs": {"cnn_output_dim": 16}},
}
SGD = {"optimizer_class": torch.optim.SGD, "optimizer_kwargs": {"momentum": 0.5}}

# What is not named here is SMALL.
ARGUMENTS: list[tuple[type[BaseAlgorithm], str, dict[str, Any]]] = [
    # net_arch
    *((algorithm, MLP, {"net_arch": None}) for algorithm in (PPO, MaskablePPO, DQN, QRDQN, SAC, ARS)),
    *((algorithm, MLP, {"net_arch": [9]}) for algorithm in (PPO, DQN, TD3, ARS)),
    *((algorithm, MLP, {"net_arch": {"pi": [9, 5], "vf": [7]}}) for algorithm in (PPO, RecurrentPPO)),
    *((algorithm, MLP, {"net_arch": {"pi": [9, 5]}}) for algorithm in (PPO, A2C, TRPO)),
    *(
        (algorithm, MLP, {"net_arch": {"pi": [9, 5], "qf": [7]}})
        for algorithm in (SAC, TD3, TQC, CrossQ)
    ),
    *((algorithm, MLP, {"net_arch": {"pi": [9, 5], "qf": []}}) for algorithm in (SAC, TD3)),
    *((algorithm, CNN, {"net_arch": None}) for algorithm in (PPO, DQN)),
    *((algorithm, CNN, {"net_arch": []}) for algorithm in (PPO, QRDQN, SAC, TD3)),
    *((algorithm, CNN, {"net_arch": {"pi": [9], "vf": []}}) for algorithm in (PPO, RecurrentPPO)),
    (PPO, CNN, {"net_arch": {"vf": [9]}}),
    (PPO, MULTI, {"net_arch": None}),
    # activation, initialisation, distribution
    *(
        (algorithm, MLP, {"activation_fn": nn.ELU})
        for algorithm in (PPO, MaskablePPO, RecurrentPPO, DQN, QRDQN, SAC, TD3, TQC, CrossQ, ARS)
    ),
    *((algorithm, MLP, {"ortho_init": False}) for algorithm in (PPO, MaskablePPO, RecurrentPPO)),
    (PPO, CNN, {"ortho_init": False}),
    *((algorithm, MLP, {"log_std_init": -2.0}) for algorithm in (PPO, A2C)),
    (ARS, MLP, {"squash_output": False}),
    (ARS, MLP, {"with_bias": False}),
    # critics, quantiles and memory
    *((algorithm, MLP, {"n_critics": 3}) for algorithm in (SAC, TD3, TQC, CrossQ)),
    *((algorithm, MLP, {"n_quantiles": 7}) for algorithm in (QRDQN, TQC)),
    (RecurrentPPO, MLP, {"n_lstm_layers": 2}),
    (RecurrentPPO, MLP, {"enable_critic_lstm": False}),
    (RecurrentPPO, MLP, {"enable_critic_lstm": False, "shared_lstm": True}),
    (RecurrentPPO, MLP, {"lstm_kwargs": {"bias": False}}),
    # extractors
    *((algorithm, MLP, {"features_extractor_class": FlattenExtractor}) for algorithm in (PPO, SAC)),
    *(
        (
            algorithm,
            MLP,
            {"features_extractor_class": Doubled, "features_extractor_kwargs": {"features_dim": 5}},
        )
        for algorithm in (PPO, RecurrentPPO, DQN, SAC, TD3, CrossQ)
    ),
    (PPO, CNN, {"features_extractor_class": Doubled, "normalize_images": False}),
    (PPO, CNN, {"features_extractor_class": SmallCNN, "features_extractor_kwargs": {"gain": 2.0}}),
    (PPO, MULTI, {"features_extractor_class": CombinedExtractor}),
    *(
        (algorithm, kind, {"share_features_extractor": shared})
        for algorithm, shared in ((PPO, False), (RecurrentPPO, False), (SAC, True), (TD3, True))
        for kind in (CNN, MULTI)
    ),
    (TQC, CNN, {"share_features_extractor": True}),
    (MaskablePPO, CNN, {"share_features_extractor": False}),
    (PPO, MLP, {"share_features_extractor": False, "features_extractor_class": Doubled}),
    (SAC, MLP, {"share_features_extractor": True, "features_extractor_class": Doubled}),
    *((algorithm, CNN, {"normalize_images": False}) for algorithm in (PPO, DQN)),
    (TD3, MULTI, {"normalize_images": False}),
    # optimizers
    *((algorithm, MLP, SGD) for algorithm in (PPO, DQN, SAC, TD3, QRDQN, TQC)),
    (PPO, MLP, {"optimizer_kwargs": {"eps": 1e-3, "weight_decay": 1e-2}}),
]


def named(case: tuple[type[BaseAlgorithm], str, dict[str, Any]]) -> str:
    algorithm, kind, arguments = case
    values = (getattr(value, "__name__", value) for value in arguments.values())
    return "-".join([algorithm.__name__, kind[8:-6], *map(str, arguments), *map(str, values)])


every_argument = pytest.mark.parametrize(
    ("algorithm", "kind", "arguments"), [pytest.param(*case, id=named(case)) for case in ARGUMENTS]
)


@pytest.fixture
def integral_and_plain(make_model: MakeModel, stock: Callable[..., str]) -> Callable[..., list[Any]]:
    """Make models of the same seed with the integral and the plain policy of the same arguments."""

    def make(
        algorithm: type[BaseAlgorithm], kind: str, arguments: dict[str, Any], steps: int = 0
    ) -> list[Any]:
        kwargs = {**SMALL[kind], **arguments}
        if "features_extractor_class" in arguments and "features_extractor_kwargs" not in arguments:
            kwargs.pop("features_extractor_kwargs", None)
        if algorithm is RecurrentPPO:
            kwargs["lstm_hidden_size"] = 8
        models = []
        for name in (kind, stock(algorithm, kind)):
            # SB3 writes into features_extractor_kwargs.
            model = make_model(algorithm, name, **copy.deepcopy(kwargs))
            # one after the other: they draw from the same generators
            models.append(model.learn(steps) if steps else model)
        return models

    return make


def smaller(policy: IntegralPolicy) -> tuple[int, ...]:
    return tuple(max(1, size // 2) for size in policy.max_sizes)


def held(policy: nn.Module) -> dict[str, list[str]]:
    """Return the names of the parameters that each optimizer of a policy holds."""
    names = {id(parameter): name for name, parameter in policy.named_parameters()}
    return {
        owner: [
            names.get(id(p), "nobody's")
            for group in part.optimizer.param_groups
            for p in group["params"]
        ]
        for owner, part in policy.named_modules()
        if isinstance(getattr(part, "optimizer", None), torch.optim.Optimizer)
    }


# ---------------------------------------------------------------- all arguments


@every_argument
def test_it_is_built_and_learns_as_the_plain_policy(
    integral_and_plain: Callable[..., list[Any]],
    algorithm: type[BaseAlgorithm],
    kind: str,
    arguments: dict[str, Any],
) -> None:
    # when
    integral, plain = integral_and_plain(algorithm, kind, arguments, steps=24)
    # then
    ours = integral.policy.state_dict()
    theirs = plain.policy.state_dict()
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert torch.equal(ours[name], value), name


@every_argument
def test_a_smaller_discretized_policy_has_the_same_arguments(
    integral_and_plain: Callable[..., list[Any]],
    head_outputs: Callable[..., Tensor],
    algorithm: type[BaseAlgorithm],
    kind: str,
    arguments: dict[str, Any],
) -> None:
    # given
    model, stock_model = integral_and_plain(algorithm, kind, arguments)
    # when
    sizes = smaller(model.policy)
    plain = model.policy.resize(sizes).discretize()
    # then: it computes the same
    torch.testing.assert_close(
        head_outputs(plain, model), head_outputs(model.policy, model), rtol=1e-4, atol=1e-5
    )
    # of layers of the same kinds
    assert type(plain) is type(stock_model.policy)
    assert [type(part) for part in plain.modules()] == [
        type(part) for part in stock_model.policy.modules()
    ]
    # by the same arguments, but for the widths
    ours = plain._get_constructor_parameters()
    theirs = stock_model.policy._get_constructor_parameters()
    assert ours.keys() == theirs.keys()
    for name in ours.keys() - {"net_arch", "features_extractor_kwargs", "lr_schedule"}:
        assert ours[name] == theirs[name], name
    kwargs = [dict(data.get("features_extractor_kwargs") or {}) for data in (ours, theirs)]
    for data in kwargs:
        data.pop("features_dim", None)
    assert kwargs[0] == kwargs[1]
    for name in ("share_features_extractor", "squash_output", "normalize_images"):
        if hasattr(stock_model.policy, name):
            assert getattr(plain, name) == getattr(stock_model.policy, name)


@every_argument
def test_it_comes_back_from_its_own_file(
    integral_and_plain: Callable[..., list[Any]],
    head_outputs: Callable[..., Tensor],
    tmp_path: Path,
    algorithm: type[BaseAlgorithm],
    kind: str,
    arguments: dict[str, Any],
) -> None:
    # given
    model, _ = integral_and_plain(algorithm, kind, arguments)
    policy = model.policy.resize(smaller(model.policy))
    # when
    policy.save(str(tmp_path / "policy"))
    loaded = type(policy).load(str(tmp_path / "policy"), device="cpu")
    # then
    assert str(loaded) == str(policy)
    assert torch.equal(head_outputs(loaded, model), head_outputs(policy, model))
    assert held(loaded) == held(policy)


def test_net_arch_has_to_name_both_networks_where_sb3_wants_both(make_model: MakeModel) -> None:
    for kind in ("MlpPolicy", "IntegralMlpPolicy"):
        with pytest.raises(AssertionError, match="qf"):
            make_model(SAC, kind, net_arch={"pi": [8]})


@pytest.mark.parametrize("algorithm", [PPO, A2C])
def test_squash_output_needs_gsde_as_in_sb3(
    make_model: MakeModel, algorithm: type[BaseAlgorithm]
) -> None:
    for kind in ("MlpPolicy", "IntegralMlpPolicy"):
        with pytest.raises(AssertionError, match="squash_output=True is only available"):
            make_model(algorithm, kind, squash_output=True)
    model = make_model(
        algorithm, "IntegralMlpPolicy", arguments={"use_sde": True}, squash_output=True, net_arch=[8]
    )
    assert model.policy.squash_output
    assert model.policy.resize(3).discretize().squash_output


def test_a_cnn_that_takes_no_width_is_discretized_too(make_model: MakeModel) -> None:
    # given
    class FixedCNN(NatureCNN):
        def __init__(self, observation_space: spaces.Box) -> None:
            super().__init__(observation_space, features_dim=16)

    model = make_model(PPO, CNN, net_arch=[8], features_extractor_class=FixedCNN)
    # when
    plain = model.policy.discretize([16, 16, 16, 5, 4])
    # then
    assert isinstance(plain.features_extractor, FixedCNN)
    assert plain.features_extractor.linear[0].out_features == 5


# ---------------------------------------------------------------- what is resizable

CHANNELS = (32, 64, 64)
AXES: list[tuple[type[BaseAlgorithm], str, dict[str, Any], tuple[int, ...]]] = [
    # The features are an axis where all that read them read nothing else.
    (PPO, CNN, {}, (*CHANNELS, 16, 12)),
    (PPO, CNN, {"share_features_extractor": False}, (*CHANNELS, 16, 12)),
    (PPO, CNN, {"net_arch": []}, (*CHANNELS, 16)),
    (MaskablePPO, CNN, {}, (*CHANNELS, 16, 12)),
    (DQN, CNN, {}, (*CHANNELS, 16, 12)),
    (QRDQN, CNN, {"net_arch": []}, (*CHANNELS, 16)),
    *((algorithm, CNN, {}, (*CHANNELS, 16, 12)) for algorithm in (SAC, TD3, TQC)),
    # A critic that the extractor is shared with reads the actions too, an LSTM everything.
    *(
        (algorithm, CNN, {"share_features_extractor": True}, (*CHANNELS, 12))
        for algorithm in (SAC, TD3, TQC)
    ),
    (RecurrentPPO, CNN, {}, (*CHANNELS, 12)),
    (RecurrentPPO, CNN, {"share_features_extractor": False}, (*CHANNELS, 12)),
    # Beside other features they are none.
    *((algorithm, MULTI, {}, (*CHANNELS, 12)) for algorithm in (PPO, DQN, SAC, TD3, RecurrentPPO)),
    # Without a NatureCNN there are hidden layers alone.
    (PPO, MLP, {"features_extractor_class": Doubled}, (16, 12)),
    (PPO, CNN, {"features_extractor_class": Doubled}, (12,)),
    (PPO, CNN, {"features_extractor_class": SmallCNN}, (*CHANNELS, 16, 12)),
    (SAC, MLP, {"features_extractor_class": Doubled, "share_features_extractor": True}, (16, 12)),
    (PPO, MLP, {"net_arch": {"pi": [9, 5], "vf": [7]}}, (9, 5)),
    (TD3, MLP, {"net_arch": {"pi": [9, 5], "qf": [7]}}, (9, 5)),
]


@pytest.mark.parametrize(
    ("algorithm", "kind", "arguments", "expected"),
    [pytest.param(*case, id=named(case[:3])) for case in AXES],
)
def test_which_axes_there_are(
    integral_and_plain: Callable[..., list[Any]],
    algorithm: type[BaseAlgorithm],
    kind: str,
    arguments: dict[str, Any],
    expected: tuple[int, ...],
) -> None:
    # when
    model, _ = integral_and_plain(algorithm, kind, arguments)
    policy = model.policy
    # then
    assert policy.sizes == policy.max_sizes == expected
    # and each is the only one that changes the size of what is on it
    whole = policy.discretize()
    for index in range(len(expected)):
        sizes = [size - (i == index) for i, size in enumerate(expected)]
        plain = policy.discretize(sizes)
        actor = find_layout(plain).actors[0]
        hidden = [dense(plain, name).out_features for name in actor.hidden]
        assert hidden == list(sizes[len(sizes) - len(hidden) :])
        convolutions = [
            part.out_channels
            for part in plain.get_submodule(actor.extractor).modules()
            if isinstance(part, nn.Conv2d)
        ]
        assert convolutions == list(sizes[: len(convolutions)])
        features = sizes[len(convolutions) : len(sizes) - len(hidden)]
        if features:
            assert [plain.get_submodule(actor.extractor).linear[0].out_features] == features
        ours, theirs = plain.state_dict(), whole.state_dict()
        assert any(ours[name].shape != value.shape for name, value in theirs.items())


def test_every_image_of_a_dictionary_has_channels_of_its_own(make_model: MakeModel) -> None:
    # given
    image = spaces.Box(0, 255, (36, 36, 3), dtype=np.uint8)
    space = spaces.Dict({"left": image, "right": image, "vector": spaces.Box(-1.0, 1.0, (4,))})
    # when
    model = make_model(PPO, MULTI, observation_space=space, **copy.deepcopy(SMALL[MULTI]))
    policy = model.policy.resize([8, 9, 10, 11, 12, 13, 5])
    plain = policy.discretize()
    # then
    assert policy.max_sizes == (*CHANNELS, *CHANNELS, 12)
    widths = {
        name: [part.out_channels for part in extractor.modules() if isinstance(part, nn.Conv2d)]
        for name, extractor in plain.features_extractor.extractors.items()
    }
    assert widths == {"left": [8, 9, 10], "right": [11, 12, 13], "vector": []}
    model.learn(16)


@pytest.mark.parametrize("algorithm", [PPO, RecurrentPPO])
def test_a_critic_with_an_extractor_of_its_own_does_not_notice(
    integral_and_plain: Callable[..., list[Any]], algorithm: type[BaseAlgorithm]
) -> None:
    # given
    model, _ = integral_and_plain(algorithm, CNN, {"share_features_extractor": False})
    policy = model.policy
    # when
    plain = policy.resize(smaller(policy)).discretize()
    # then
    for other in (policy, plain):
        widths = [p.shape for p in other.vf_features_extractor.parameters()]
        assert widths == [p.shape for p in make_cnn(policy).parameters()]
    for name, value in policy.vf_features_extractor.state_dict().items():
        assert torch.equal(plain.vf_features_extractor.state_dict()[name], value)


def make_cnn(policy: BasePolicy) -> NatureCNN:
    assert isinstance(policy.observation_space, spaces.Box)
    return NatureCNN(policy.observation_space, features_dim=16)


# ---------------------------------------------------------------- optimizers


@every_argument
def test_optimizers_hold_what_those_of_the_plain_policy_hold(
    integral_and_plain: Callable[..., list[Any]],
    algorithm: type[BaseAlgorithm],
    kind: str,
    arguments: dict[str, Any],
) -> None:
    # when
    integral, plain = integral_and_plain(algorithm, kind, arguments)
    # then
    assert held(integral.policy) == held(plain.policy)
    assert not any("nobody's" in names for names in held(integral.policy).values())


TO_DISCRETIZE: list[tuple[type[BaseAlgorithm], str, dict[str, Any]]] = [
    *((algorithm, MLP, {}) for algorithm in (PPO, DQN, SAC, TD3, TQC, CrossQ, QRDQN, RecurrentPPO)),
    (PPO, MLP, {"features_extractor_class": Doubled}),
    (SAC, MLP, {"features_extractor_class": Doubled, "share_features_extractor": True}),
    *((algorithm, CNN, {}) for algorithm in (DQN, QRDQN, SAC, TD3, TQC)),
    *((algorithm, MULTI, {}) for algorithm in (DQN, SAC, TD3)),
]
TO_DISCRETIZE_WITH_TWO_NAMES: list[tuple[type[BaseAlgorithm], str, dict[str, Any]]] = [
    *((algorithm, CNN, {}) for algorithm in (PPO, RecurrentPPO)),
    (PPO, CNN, {"share_features_extractor": False}),
    (PPO, MULTI, {}),
    *((algorithm, CNN, {"share_features_extractor": True}) for algorithm in (SAC, TD3, TQC)),
]


@pytest.mark.parametrize(
    ("algorithm", "kind", "arguments"),
    [pytest.param(*case, id=named(case)) for case in (*TO_DISCRETIZE, *TO_DISCRETIZE_WITH_TWO_NAMES)],
)
def test_so_do_those_of_a_discretized_policy(
    integral_and_plain: Callable[..., list[Any]],
    algorithm: type[BaseAlgorithm],
    kind: str,
    arguments: dict[str, Any],
) -> None:
    # given
    integral, plain = integral_and_plain(algorithm, kind, arguments)
    # when
    discretized = integral.policy.discretize(smaller(integral.policy))
    # then
    assert held(discretized) == held(plain.policy)


@pytest.mark.parametrize("algorithm", [PPO, DQN, SAC, TD3, TQC, QRDQN, CrossQ])
def test_optimizers_are_of_the_class_and_arguments_that_were_given(
    integral_and_plain: Callable[..., list[Any]], algorithm: type[BaseAlgorithm]
) -> None:
    # given
    integral, _ = integral_and_plain(algorithm, MLP, SGD)
    # when
    optimizers = [
        part.optimizer
        for policy in (integral.policy, integral.policy.discretize(3))
        for part in policy.modules()
        if hasattr(part, "optimizer")
    ]
    # then
    assert len(optimizers) == (4 if hasattr(integral.policy, "actor") else 2)
    for optimizer in optimizers:
        assert type(optimizer) is torch.optim.SGD
        assert optimizer.defaults["momentum"] == 0.5


# ---------------------------------------------------------------- grid_size


@pytest.mark.parametrize(
    ("grid_size", "grids"), [(9, (9, 9)), ([9, 20], (9, 20)), (40, (40, 40)), ((20, 5), (20, 5))]
)
@pytest.mark.parametrize("algorithm", [PPO, DQN, SAC, TD3, ARS, QRDQN, TQC, RecurrentPPO, MaskablePPO])
def test_the_grid_is_what_is_learned_and_not_the_size(
    make_model: MakeModel,
    head_outputs: Callable[..., Tensor],
    algorithm: type[BaseAlgorithm],
    grid_size: Any,
    grids: tuple[int, int],
) -> None:
    # when
    arguments = {"lstm_hidden_size": 8} if algorithm is RecurrentPPO else {}
    model = make_model(algorithm, MLP, net_arch=[16, 12], grid_size=grid_size, **arguments)
    policy = model.policy
    # then: of the actor and its followers
    assert policy.sizes == policy.max_sizes == (16, 12)
    for net in find_layout(policy).actors:
        weights = [dense(policy, name).weight for name in (*net.hidden, *net.heads)]
        assert tuple(len(weight) for weight in weights[:2]) == grids
        assert [weight.shape[1] for weight in weights[1:]] == [
            grids[0],
            *[grids[1]] * (len(weights) - 2),
        ]
    # and of nothing else
    for net in find_layout(policy).critics:
        assert [dense(policy, name).out_features for name in net.hidden] == [16, 12]
        assert not any(isinstance(dense(policy, name), IntegralLinear) for name in net.hidden)
    # and it is said when the policy is built again
    assert policy.net_arch == [16, 12]
    assert policy._get_constructor_parameters()["grid_size"] == grid_size
    # and it learns, at its size and at another
    model.learn(24)
    policy.resize([7, 5])
    model.learn(24)
    assert all(parameter.isfinite().all() for parameter in policy.parameters())
    for sizes in [(16, 12), (7, 5), grids, (50, 50)]:
        plain = policy.resize(sizes).discretize()
        assert (
            tuple(dense(plain, name).out_features for name in find_layout(plain).actors[0].hidden)
            == sizes
        )
        torch.testing.assert_close(
            head_outputs(plain, model), head_outputs(policy, model), rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("algorithm", [PPO, DQN, SAC, TD3, ARS])
@pytest.mark.parametrize(
    ("grid_size", "message"),
    [
        (0, "grid_size must be an integer of at least 1, got 0"),
        ([9, 2.5], r"grid_size must be an integer of at least 1, got 2\.5"),
        ([9], r"grid_size .*one per hidden layer \(2\), got 1 of them: \[9\]"),
    ],
)
def test_a_bad_grid_is_named_with_what_was_expected(
    make_model: MakeModel, algorithm: type[BaseAlgorithm], grid_size: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make_model(algorithm, MLP, net_arch=[16, 12], grid_size=grid_size)


@pytest.mark.parametrize("algorithm", [PPO, DQN, SAC])
def test_the_grid_of_channels_and_features_is_that_of_the_extractor(
    make_model: MakeModel, algorithm: type[BaseAlgorithm]
) -> None:
    # when
    policy = make_model(algorithm, CNN, grid_size=30, **copy.deepcopy(SMALL[CNN])).policy
    # then
    assert policy.max_sizes == (*CHANNELS, 16, 12)
    assert [axis.grid_size for axis in policy.actor_axes] == [*CHANNELS, 16, 30]
