"""The integral kinds of sb3-contrib's policies; importing this needs sb3-contrib."""

from __future__ import annotations

from typing import Any

import sb3_contrib
from sb3_contrib.ars.policies import ARSPolicy
from sb3_contrib.common.maskable import policies as maskable
from sb3_contrib.common.recurrent import policies as recurrent
from sb3_contrib.common.torch_layers import BatchRenorm1d
from sb3_contrib.crossq.policies import CrossQPolicy
from sb3_contrib.qrdqn import policies as qrdqn
from sb3_contrib.tqc import policies as tqc
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import Tensor, nn

from sb3_integral.nn import Axis
from sb3_integral.policies.actor_critic import ACTOR_CRITIC_POLICIES, IntegralOnPolicy
from sb3_integral.policies.integral import IntegralPolicy

FUNCTIONS = ("scale", "bias", "ra_mean", "ra_var")
"""What batch renormalisation keeps for each neuron."""


class IntegralBatchRenorm1d(BatchRenorm1d):
    """sb3-contrib's layer with scale, bias and statistics as functions on an axis.

    At full size it is that layer. At any other size it normalises by the sampled running
    statistics, in training too, and does not update them.
    """

    _axes: tuple[Axis]  # a tuple, so that the axis is not registered here

    @classmethod
    def from_plain(cls, plain: BatchRenorm1d, axis: Axis) -> IntegralBatchRenorm1d:
        """Return a layer on an axis that shares another one's parameters and statistics."""
        layer = cls.__new__(cls)
        layer.__dict__.update(plain.__dict__)
        layer._axes = (axis,)
        return layer

    def discrete_functions(self) -> dict[str, Tensor]:
        """Return scale, bias and statistics at the current size, by name. Shapes: (size,)."""
        values = {name: getattr(self, name) for name in FUNCTIONS}
        sampling = self._axes[0].matrices(self.scale).sampling
        if sampling is None:
            return values
        sampled = {name: sampling @ value for name, value in values.items()}
        # A cubic kernel can undershoot.
        sampled["ra_var"] = sampled["ra_var"].clamp(min=0.0)
        return sampled

    def forward(self, x: Tensor) -> Tensor:
        """Normalise. Shape: (batch, size), twice."""
        if self._axes[0].matrices(self.scale).sampling is None:
            output: Tensor = super().forward(x)
            return output
        values = self.discrete_functions()
        x = (x - values["ra_mean"]) / (values["ra_var"] + self.eps).sqrt()
        return values["scale"] * x + values["bias"] if self.affine else x


class IntegralMaskableActorCriticPolicy(IntegralOnPolicy, maskable.MaskableActorCriticPolicy):
    """MaskablePPO's ``MlpPolicy``."""


class IntegralMaskableActorCriticCnnPolicy(IntegralOnPolicy, maskable.MaskableActorCriticCnnPolicy):
    """MaskablePPO's ``CnnPolicy``."""


class IntegralMaskableMultiInputActorCriticPolicy(
    IntegralOnPolicy, maskable.MaskableMultiInputActorCriticPolicy
):
    """MaskablePPO's ``MultiInputPolicy``."""


class IntegralRecurrentActorCriticPolicy(IntegralOnPolicy, recurrent.RecurrentActorCriticPolicy):
    """RecurrentPPO's ``MlpLstmPolicy``: the layers behind the LSTM are integral, the LSTM is not."""


class IntegralRecurrentActorCriticCnnPolicy(IntegralOnPolicy, recurrent.RecurrentActorCriticCnnPolicy):
    """RecurrentPPO's ``CnnLstmPolicy``: channels and the layers behind the LSTM are integral."""


class IntegralRecurrentMultiInputActorCriticPolicy(
    IntegralOnPolicy, recurrent.RecurrentMultiInputActorCriticPolicy
):
    """RecurrentPPO's ``MultiInputLstmPolicy``."""


class IntegralQRDQNPolicy(IntegralPolicy, qrdqn.QRDQNPolicy):
    """QR-DQN's ``MlpPolicy``; the quantile network is the actor."""


class IntegralQRDQNCnnPolicy(IntegralPolicy, qrdqn.CnnPolicy):
    """QR-DQN's ``CnnPolicy``; the quantile network is the actor."""


class IntegralQRDQNMultiInputPolicy(IntegralPolicy, qrdqn.MultiInputPolicy):
    """QR-DQN's ``MultiInputPolicy``; the quantile network is the actor."""


class IntegralTQCPolicy(IntegralPolicy, tqc.TQCPolicy):
    """TQC's ``MlpPolicy``."""


class IntegralTQCCnnPolicy(IntegralPolicy, tqc.CnnPolicy):
    """TQC's ``CnnPolicy``."""


class IntegralTQCMultiInputPolicy(IntegralPolicy, tqc.MultiInputPolicy):
    """TQC's ``MultiInputPolicy``."""


class IntegralCrossQPolicy(IntegralPolicy, CrossQPolicy):
    """CrossQ's ``MlpPolicy``; its batch renormalisation is sampled on the axes too.

    Raises:
        ValueError: If full size is not sampled at the nodes, where the running statistics live: with
            another ``grid_size`` than the hidden sizes, or a kernel that does not interpolate.
    """

    def _integral_norm(self, norm: nn.Module, axis: Axis) -> nn.Module:
        if not isinstance(norm, BatchRenorm1d):
            return super()._integral_norm(norm, axis)
        if axis.grid_size != axis.max_size:
            raise ValueError(
                f"CrossQ keeps statistics on the λ grid, so grid_size must be the hidden sizes, "
                f"got {axis.grid_size} for a layer of {axis.max_size}"
            )
        if axis.matrices(norm.scale).sampling is not None:
            raise ValueError(
                f"CrossQ keeps statistics on the λ grid, so kernel and quadrature must sample its nodes "
                f"at full size, got {axis.kernel} and {axis.quadrature}"
            )
        return IntegralBatchRenorm1d.from_plain(norm, axis)


class IntegralARSPolicy(IntegralPolicy, ARSPolicy):
    """ARS' ``MlpPolicy``. Its ``LinearPolicy`` has no hidden layer to resize."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._make_integral()  # ARS builds its policy in the constructor


POLICIES: dict[type[BaseAlgorithm], tuple[type[IntegralPolicy], ...]] = {
    sb3_contrib.MaskablePPO: (
        IntegralMaskableActorCriticPolicy,
        IntegralMaskableActorCriticCnnPolicy,
        IntegralMaskableMultiInputActorCriticPolicy,
    ),
    sb3_contrib.RecurrentPPO: (
        IntegralRecurrentActorCriticPolicy,
        IntegralRecurrentActorCriticCnnPolicy,
        IntegralRecurrentMultiInputActorCriticPolicy,
    ),
    sb3_contrib.QRDQN: (IntegralQRDQNPolicy, IntegralQRDQNCnnPolicy, IntegralQRDQNMultiInputPolicy),
    sb3_contrib.TQC: (IntegralTQCPolicy, IntegralTQCCnnPolicy, IntegralTQCMultiInputPolicy),
    sb3_contrib.CrossQ: (IntegralCrossQPolicy,),
    sb3_contrib.ARS: (IntegralARSPolicy,),
    sb3_contrib.TRPO: ACTOR_CRITIC_POLICIES,
}
"""The policies of each algorithm, in the order of :data:`~sb3_integral.policies.registration.KINDS`."""
