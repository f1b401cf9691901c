"""Training through rounded weights, so that a student learns to do with few bits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from imitation.algorithms.bc import BCTrainingMetrics
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from torch import Tensor, nn
from torch.func import functional_call

from sb3_integral.imitation.losses import LossCalculator
from sb3_integral.imitation.observations import Observations
from sb3_integral.nn import IntegralLayer
from sb3_integral.policies.quantization import actor_parameter_names, is_rounded
from sb3_integral.policies.weight_format import WeightFormat


@dataclass(frozen=True)
class QuantizationAware:
    """Another loss, of a policy whose actor computes with rounded weights.

    The parameters stay as they are, and gradients reach them as if nothing were rounded. An integral
    policy's weights are rounded as they are sampled, at each size that the loss computes at. What comes
    out is :func:`~sb3_integral.policies.quantized` of the trained policy, not the policy itself.

    Args:
        loss: The loss.
        weights: How weights are rounded.
    """

    loss: LossCalculator
    weights: WeightFormat

    def __call__(self, policy: ActorCriticPolicy, obs: Observations, acts: Tensor) -> BCTrainingMetrics:
        """Compute the loss."""
        rounded: dict[str, Tensor] = {}
        sampled: list[IntegralLayer] = []
        for name in actor_parameter_names(policy):
            parameter = policy.get_parameter(name)
            if not is_rounded(parameter):
                continue
            layer = policy.get_submodule(name.rpartition(".")[0])
            if isinstance(layer, IntegralLayer):
                sampled.append(layer)
            else:
                rounded[f"policy.{name}"] = self.weights.rounded(parameter)

        def compute() -> BCTrainingMetrics:
            return self.loss(policy, obs, acts)

        with _weights_through(sampled, self.weights.rounded):
            metrics: BCTrainingMetrics = functional_call(_Computation(policy), rounded, (compute,))
        return metrics


class _Computation(nn.Module):
    """What a function computes, as a module: torch exchanges parameters for the call of a module."""

    def __init__(self, policy: BasePolicy) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, compute: Callable[[], BCTrainingMetrics]) -> BCTrainingMetrics:
        """Compute it."""
        return compute()


@contextmanager
def _weights_through(
    layers: Sequence[IntegralLayer], function: Callable[[Tensor], Tensor]
) -> Iterator[None]:
    for layer in layers:
        layer.weight_function = function
    try:
        yield
    finally:
        for layer in layers:
            del layer.weight_function
