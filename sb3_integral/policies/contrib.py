"""The integral kinds of sb3-contrib's policies; importing this needs sb3-contrib."""

from __future__ import annotations

from typing import Any

from gymnasium import spaces
from sb3_contrib.ars.policies import ARSPolicy
from sb3_contrib.common.maskable import policies as maskable
from sb3_contrib.common.recurrent import policies as recurrent
from sb3_contrib.common.torch_layers import BatchRenorm1d
from sb3_contrib.crossq.policies import CrossQPolicy
from sb3_contrib.qrdqn import policies as qrdqn
from sb3_contrib.tqc import policies as tqc
from torch import nn

from sb3_integral.nn import Axis, Size
from sb3_integral.policies.actor_critic import IntegralOnPolicy
from sb3_integral.policies.batch_renorm import IntegralBatchRenorm1d
from sb3_integral.policies.integral import IntegralPolicy


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

    def _norm_on(self, axis: Axis, norm: nn.Module) -> nn.Module:
        if not isinstance(norm, BatchRenorm1d):
            return super()._norm_on(axis, norm)
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
        return IntegralBatchRenorm1d.adopt(norm, axis)


ARS_ARCH = (64, 64)
"""The hidden sizes that ARS takes where none are given."""


class IntegralARSPolicy(IntegralPolicy, ARSPolicy):
    """ARS' ``MlpPolicy``. Its ``LinearPolicy`` has no hidden layer to resize."""

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        net_arch: list[int] | None = None,
        activation_fn: type[nn.Module] = nn.ReLU,
        with_bias: bool = True,
        squash_output: bool = True,
        *,
        grid_size: Size | None = None,
        **kwargs: Any,
    ) -> None:
        arch = list(ARS_ARCH if net_arch is None else net_arch)
        sizes, grids = self._sizes_and_grids(arch, grid_size)
        super().__init__(
            observation_space,
            action_space,
            list(grids),
            activation_fn,
            with_bias,
            squash_output,
            grid_size=grid_size,
            **kwargs,
        )
        self.net_arch = arch
        self.with_bias = with_bias
        self._string(sizes)
