"""Write the networks of a finished run for the pages that move, which the documentation shows.

make quickstart
python scripts/moving_page_data.py runs/acrobot-quick docs/moving/acrobot.json
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from stable_baselines3.common.env_util import make_vec_env

from sb3_integral.experiments.files import STUDENT
from sb3_integral.experiments.report.moving import moving_data
from sb3_integral.policies.serialization import load_policy


def main(
    run: Annotated[Path, typer.Argument(help="The folder of a run with the students inn and nn.")],
    output: Annotated[Path, typer.Argument(help="The JSON file.")],
    env: Annotated[str, typer.Option(help="The environment of the run.")] = "Acrobot-v1",
) -> None:
    """Write the parameters of the first seed's students."""
    venv = make_vec_env(env)
    integral, plain = (
        load_policy(
            run / "seed-0" / name / "student" / STUDENT, venv.observation_space, venv.action_space
        )
        for name in ("inn", "nn")
    )
    data = moving_data(env, integral, plain)
    if data is None:
        raise typer.BadParameter(f"{run} has no default students of Acrobot-v1 or CartPole-v1")
    output.write_text(json.dumps(data) + "\n", encoding="utf-8")
    typer.echo(f"{output}: {output.stat().st_size:,} bytes")


if __name__ == "__main__":
    typer.run(main)
