"""Policies as the callables that imitation's rollout takes: masked, and shown what they expect."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from imitation.data import rollout
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.vec_env import unwrap_vec_normalize

from sb3_integral.imitation.losses import actor_output
from sb3_integral.imitation.original_env import OriginalEnv
from sb3_integral.policies.kinds import is_of_sb3
from sb3_integral.policies.layout import policy_of
from sb3_integral.policies.masking import action_masks, has_action_masks, takes_action_masks

Array = np.ndarray[Any, Any]


def expert_actions(
    expert: rollout.AnyPolicy, env: OriginalEnv, deterministic: bool = False
) -> rollout.PolicyCallable:
    """Return an expert as a callable that is shown what its own environment gives.

    An environment with ``action_masks()`` masks the actions of a policy that takes masks, as
    sb3-contrib's evaluation does.

    Args:
        expert: An SB3 policy or algorithm, or a callable, as imitation's ``rollout`` takes it.
        env: The environment that is stepped.
        deterministic: Whether a policy or an algorithm takes its most likely action. Callables decide
            for themselves.

    Raises:
        ValueError: If the expert was trained on normalised observations, and the environment has none.
    """
    is_policy = is_of_sb3(policy_of(expert))
    trained_in = expert.get_vec_normalize_env() if isinstance(expert, BaseAlgorithm) else None
    if trained_in is not None and trained_in.norm_obs and unwrap_vec_normalize(env.venv) is None:
        raise ValueError(
            "the expert was trained on observations that VecNormalize normalised, expected its "
            "environment with VecNormalize, such as expert.get_env(); demonstrations hold the original "
            "observations all the same"
        )
    unmasked = rollout.policy_to_callable(expert, env.venv, deterministic and is_policy)
    is_masked = is_policy and takes_action_masks(expert) and has_action_masks(env)
    predict: Any = getattr(expert, "predict", None)

    def act(_observations: Any, state: Any, episode_start: Any) -> tuple[Array, Any]:
        if not is_masked:
            return unmasked(env.seen, state, episode_start)
        masks = action_masks(env)
        actions, new_state = predict(env.seen, state, episode_start, deterministic, action_masks=masks)
        return actions, new_state

    return act


def student_actions(
    policy: ActorCriticPolicy, observations: Any, masks: Array | None, deterministic: bool = False
) -> Array:
    """Return a student's actions; with masks, only valid ones.

    Args:
        policy: The student; it need not know of masks itself.
        observations: Shape: (n, *observation).
        masks: Which actions are valid. Shape: (n, choices).
        deterministic: Whether they are the most likely ones, or drawn.
    """
    if masks is None or takes_action_masks(policy):
        predict: Any = policy.predict
        given = {} if masks is None else {"action_masks": masks}
        taken: Array = predict(observations, deterministic=deterministic, **given)[0]
        return taken
    from sb3_contrib.common.maskable.distributions import make_masked_proba_distribution

    with torch.no_grad():
        outputs = actor_output(policy, policy.obs_to_tensor(observations)[0])
    if isinstance(policy.action_space, spaces.MultiBinary):  # SB3 has a logit a bit, sb3-contrib two
        outputs = torch.stack([torch.zeros_like(outputs), outputs], dim=-1).flatten(start_dim=1)
    distribution = make_masked_proba_distribution(policy.action_space).proba_distribution(outputs)
    distribution.apply_masking(masks)
    actions: Array = distribution.get_actions(deterministic).cpu().numpy()
    return actions
