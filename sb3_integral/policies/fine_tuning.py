"""A cloned student that goes on by reinforcement learning."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.type_aliases import GymEnv

from sb3_integral.policies.actor_critic import IntegralOnPolicy
from sb3_integral.policies.kinds import is_actor_critic, is_integral
from sb3_integral.policies.layout import dense, find_gsde, find_layout, is_recurrent
from sb3_integral.policies.plain import constructor_arguments

Model = TypeVar("Model", bound=OnPolicyAlgorithm)

OF_THE_MODEL = ("observation_space", "action_space", "lr_schedule", "use_sde")
"""What a model gives its policy itself."""


def fine_tuning_model(
    student: IntegralOnPolicy,
    algorithm: type[Model],
    env: GymEnv | str,
    *,
    critic: Sequence[int] = (64, 64),
    log_std: float = -1.0,
    **arguments: Any,
) -> Model:
    """Return a model of PPO, A2C, TRPO or MaskablePPO whose actor is a student's, ready to learn.

    The actor acts as the student does at every size, statistics of observations included. With
    :class:`~sb3_integral.AnySizeCallback` it goes on at every size::

        model = fine_tuning_model(student, PPO, env, learning_rate=1e-4)
        model.learn(200_000, callback=AnySizeCallback())

    Args:
        student: The student; not changed. A student that was cloned has no critic worth keeping.
        algorithm: The algorithm's class. Actors of SAC, TD3 and DQN compute something else than a
            student does, so they cannot be one.
        env: The environment, with raw observations if the student takes these.
        critic: The hidden sizes of the critic, which is new.
        log_std: The logarithm of the standard deviation to explore with, for continuous actions.
            Cloning teaches none.
        **arguments: As for the algorithm.

    Raises:
        ValueError: If the policy is of another kind, or its spaces are not the environment's.
    """
    if not is_integral(student) or not is_actor_critic(student) or is_recurrent(student):
        raise ValueError(f"expected an integral student, got {type(student).__name__}")
    if not issubclass(algorithm, OnPolicyAlgorithm):
        raise ValueError(f"expected PPO, A2C, TRPO or MaskablePPO, got {algorithm.__name__}")
    if not math.isfinite(log_std):
        raise ValueError(f"log_std must be a finite number, got {log_std!r}")
    if find_gsde(student) is not None:
        raise ValueError("expected a student without gSDE, which learns what cloning does not teach")
    known = constructor_arguments(student, type(student))
    kwargs = {name: value for name, value in known.items() if name not in OF_THE_MODEL}
    hidden = [dense(student, name).out_features for name in find_layout(student).actors[0].hidden]
    kwargs["net_arch"] = {"pi": hidden, "vf": list(critic)}
    kwargs["log_std_init"] = log_std
    model = algorithm(type(student), env, policy_kwargs=kwargs, **arguments)
    for name in ("observation_space", "action_space"):
        wanted, got = getattr(student, name), getattr(model.policy, name)
        if wanted != got:
            raise ValueError(f"expected an environment with the student's {name}, {wanted}, got {got}")
    state = model.policy.state_dict()
    of_actor = {
        name: value
        for name, value in student.state_dict().items()
        if "value_net" not in name and not name.startswith("log_std")
    }
    with torch.no_grad():
        model.policy.load_state_dict(state | of_actor)
    return model
