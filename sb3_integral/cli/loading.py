"""Policies and environments for the command line, from what SB3, rl-zoo3 and this library save."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from sb3_integral.deploy import read_source
from sb3_integral.deploy.environment import make_environment
from sb3_integral.policies import Resizable, as_resizable
from sb3_integral.resize import DEFAULT_METHOD


@dataclass(frozen=True)
class LoadedPolicy:
    """A resizable policy from a file, and its environment and statistics where it has some."""

    policy: Resizable
    env_id: str | None
    normalize: VecNormalize | None

    def environment(self, n_envs: int, seed: int) -> VecEnv:
        """Make environments that give what the policy was trained on."""
        return make_environment(self.policy, self.env_id, self.normalize, n_envs, seed)


def load_resizable(path: Path, env_id: str | None, method: str | None = None) -> LoadedPolicy:
    """Load a policy from a zip file that SB3 saved, a safe file, or the folder of a run.

    Zip files of SB3 and the statistics of rl-zoo3 are pickles: reading one can run code. Safe files
    run none. A folder names its environment; a plain policy is resized by the method, or the best one.

    Raises:
        ValueError: If it is none of these, or the method is unknown.
    """
    loaded = read_source(path)
    policy = as_resizable(loaded.source, method or DEFAULT_METHOD)
    return LoadedPolicy(policy, env_id or loaded.env_id, loaded.normalize)
