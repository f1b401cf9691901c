"""What an ordinary policy of a size is made of, before standardisation is folded into its layers."""

from __future__ import annotations

from typing import Any

from stable_baselines3.common.policies import BasePolicy
from torch import Tensor

from sb3_integral.nn import Size
from sb3_integral.policies.kinds import is_integral, is_of_sb3
from sb3_integral.policies.resizable import ResizablePolicy


def discrete_parts(policy: Any, size: Size | None = None) -> tuple[BasePolicy, dict[str, Tensor]]:
    """Return a policy with all its layers, and the state dict of the ordinary one of a size.

    Args:
        policy: An integral policy, a plain one, or a :class:`ResizablePolicy` around one.
        size: As for :meth:`~sb3_integral.policies.Resizable.resize`; the current size by default.

    Raises:
        ValueError: If a size is wrong, or is given for a plain policy, or the policy is none of these.
    """
    if isinstance(policy, ResizablePolicy):
        return policy.full_policy, policy.discrete_state(size)
    if is_integral(policy):
        return policy, policy.discrete_state(size)
    if not is_of_sb3(policy):
        raise ValueError(f"expected a policy of SB3 (model.policy), got {type(policy).__name__}")
    if size is not None:
        raise ValueError(
            f"{type(policy).__name__} has one size, got size={size!r}; expected an integral policy, "
            f"or a ResizablePolicy around the plain one"
        )
    return policy, dict(policy.state_dict())
