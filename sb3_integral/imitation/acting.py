"""Policies as the callables that imitation's rollout takes: masked, and shown what they expect."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from imitation.data import rollout
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.common.vec_env import VecEnv, unwrap_vec_normalize
from torch.distributions import Categorical

from sb3_integral.imitation.losses import actor_output
from sb3_integral.imitation.original_env import OriginalEnv
from sb3_integral.policies.masking import action_masks, has_action_masks, takes_action_masks

Array = np.ndarray[Any, Any]


def expert_actions(
    expert: rollout.AnyPolicy, env: OriginalEnv, deterministic: bool = False
) -> rollout.PolicyCallable:
    """Return an expert as a callable that is shown what its own environment gives.

    An environment with ``action_masks()`` masks the actions of a policy that takes masks, as
    sb3-contrib's evaluation does.

    Args:
        expert: What imitation's ``rollout`` takes: an SB3 policy or algorithm, or a callable.
        env: The environment that is stepped.
        deterministic: Whether a policy or an algorithm takes its most likely action. Callables decide
            for themselves.

    Raises:
        ValueError: If the expert was trained on normalised observations, and the environment has none.
    """
    is_policy = isinstance(expert, BaseAlgorithm | BasePolicy)
    predict: Any = getattr(expert, "predict", None)
    if isinstance(expert, BaseAlgorithm):
        _check_normalization(expert, env.venv)
    plain = rollout.policy_to_callable(expert, env.venv, deterministic and is_policy)
    takes_masks = is_policy and takes_action_masks(expert)

    def act(_observations: Any, state: Any, episode_start: Any) -> tuple[Array, Any]:
        return plain(env.seen, state, episode_start)

    def act_validly(_observations: Any, state: Any, episode_start: Any) -> tuple[Array, Any]:
        actions, new_state = predict(
            env.seen, state, episode_start, deterministic=deterministic, action_masks=action_masks(env)
        )
        return actions, new_state

    return act_validly if takes_masks and has_action_masks(env) else act


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
    predict: Any = policy.predict
    if masks is None or takes_action_masks(policy):
        given = {} if masks is None else {"action_masks": masks}
        actions: Array = predict(observations, deterministic=deterministic, **given)[0]
        return actions
    with torch.no_grad():
        outputs = actor_output(policy, policy.obs_to_tensor(observations)[0])
    space, valid = policy.action_space, torch.as_tensor(masks, dtype=torch.bool, device=outputs.device)
    if isinstance(space, spaces.MultiBinary):  # one logit a bit, and a mask for each of its two values
        outputs = torch.stack([torch.zeros_like(outputs), outputs], dim=-1).flatten(start_dim=1)
        branches = [2] * space.shape[0]
    elif isinstance(space, spaces.MultiDiscrete):
        branches = space.nvec.tolist()
    else:
        branches = [outputs.shape[1]]
    logits = outputs.masked_fill(~valid, -torch.inf)
    chosen = [
        branch.argmax(dim=1) if deterministic else Categorical(logits=branch).sample()
        for branch in logits.split(branches, dim=1)
    ]
    actions = torch.stack(chosen, dim=1).cpu().numpy()
    return actions[:, 0] if isinstance(space, spaces.Discrete) else actions


def _check_normalization(expert: BaseAlgorithm, venv: VecEnv) -> None:
    trained = expert.get_vec_normalize_env()
    if trained is None or not trained.norm_obs:
        return
    if unwrap_vec_normalize(venv) is None:
        raise ValueError(
            "the expert was trained on observations that VecNormalize normalised, expected its "
            "environment with VecNormalize, such as expert.get_env(); demonstrations hold the original "
            "observations all the same"
        )
