"""MuJoCo and Gymnasium warn whenever HalfCheetah-v4 is made. Users see each warning once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

POLICY = """
from gymnasium.spaces import Box
from sb3_integral import IntegralActorCriticPolicy, evaluate_resize_sweep
from sb3_integral.policies.serialization import save_policy

def policy():
    observations = Box(-float("inf"), float("inf"), (17,), "float64")
    return IntegralActorCriticPolicy(observations, Box(-1, 1, (6,)), lambda _: 0.0)
"""

SWEEP = f"""
import gymnasium
{POLICY}
def make():
    return gymnasium.make("HalfCheetah-v4", max_episode_steps=5)

if __name__ == "__main__":
    evaluate_resize_sweep(policy(), make, [64, 8], 40, n_workers=2)
    evaluate_resize_sweep(policy(), "HalfCheetah-v4", [64], 2, max_episode_steps=1000)
"""

STAGE = """
import gymnasium
from sb3_integral.experiments.engine.environment import Environment

with Environment("HalfCheetah-v4").registered():
    for _ in range(3):
        gymnasium.make("HalfCheetah-v4").close()
"""

EXPORT = f"""
from sb3_integral.cli.app import app
{POLICY}
save_policy(policy(), "policy.safetensors")
app("export policy.safetensors a.h --format c --size 8 --env HalfCheetah-v4 --episodes 1".split())
"""

IMITATION = """
from sb3_integral.imitation.scripts import main

if __name__ == "__main__":
    main(
        "eval_policy with environment.gym_id=HalfCheetah-v4 environment.num_vec=2 "
        "environment.max_episode_steps=5 expert.policy_type=random eval_n_timesteps=1".split()
    )
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "code", [SWEEP, STAGE, EXPORT, IMITATION], ids=["sweep", "stage", "export", "imitation"]
)
def test_a_warning_is_shown_once_in_all_processes_together(tmp_path: Path, code: str) -> None:
    # given
    (tmp_path / "script.py").write_text(code, encoding="utf-8")
    # when
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"},
        timeout=600,
    )
    # then, and MuJoCo writes no file either
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("settotalmass") == 1
    assert done.stderr.count("is out of date") <= 1
    assert not (tmp_path / "MUJOCO_LOG.TXT").exists()
