"""Export a policy as one C header, and run it in the C program beside this file."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env

from sb3_integral import AnySizeCallback
from sb3_integral.deploy import export_c


def main() -> None:
    """Train, export, compile, run."""
    venv = make_vec_env("CartPole-v1", n_envs=8, seed=0)
    settings = {"n_steps": 128, "batch_size": 256, "gae_lambda": 0.9, "learning_rate": 1e-3, "seed": 0}
    model = PPO("IntegralMlpPolicy", venv, device="cpu", **settings)
    model.learn(40_000, callback=AnySizeCallback(smallest=16))
    header = export_c(model, "cartpole_actor.h", name="cartpole", size=16)
    print(f"{header}: {header.stat().st_size:,} bytes")

    compiler = shutil.which("cc")
    if compiler is None:
        raise SystemExit("no C compiler called cc is installed")
    program = Path(__file__).with_suffix(".c")
    subprocess.run(
        [compiler, "-O2", "-Wall", "-std=c99", "-I.", program, "-o", "drive", "-lm"], check=True
    )
    subprocess.run(["./drive"], check=True)


if __name__ == "__main__":
    main()
