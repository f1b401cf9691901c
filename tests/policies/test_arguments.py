"""Every argument of SB3's policies means for an integral policy what it means for the plain one."""

from __future__ import annotations

from collections.abc import Callable
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
from sb3_integral.policies.anatomy import dense, dissect

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
    *((algorithm, MLP, {"net_arch": {"pi": [9, 5], "qf": [7]}}) for algorithm in (SAC, TD3, TQC, CrossQ)),
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


def model_of(
    make_model: MakeModel, algorithm: type[BaseAlgorithm], kind: str, arguments: dict[str, Any]
) -> Any:
    kwargs = {**SMALL["Integral" + kind.removeprefix("Integral").replace("Lstm", "")], **arguments}
    if "features_extractor_class" in arguments and "features_extractor_kwargs" not in arguments:
        del kwargs["features_extractor_kwargs"]
    if algorithm is RecurrentPPO:
        kwargs["lstm_hidden_size"] = 8
    return make_model(algorithm, kind, **kwargs)


def held(policy: nn.Module) -> dict[str, list[int]]:
    """Return which parameters each optimizer of a policy holds."""
    return {
        name: [id(p) for group in module.optimizer.param_groups for p in group["params"]]
        for name, module in policy.named_modules()
        if isinstance(getattr(module, "optimizer", None), torch.optim.Optimizer)
    }
