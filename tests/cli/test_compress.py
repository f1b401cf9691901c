"""The command ``compress`` and what it prints."""

from __future__ import annotations

from pathlib import Path

import pytest
from stable_baselines3 import PPO
from typer.testing import CliRunner

from sb3_integral.cli.app import app
from sb3_integral.cli.compress import seconds


@pytest.mark.slow
def test_the_command_writes_the_file_and_prints_the_evidence(tmp_path: Path) -> None:
    # given
    agent = PPO("MlpPolicy", "CartPole-v1", n_steps=128, seed=0, device="cpu").learn(2_000)
    agent.save(tmp_path / "agent.zip")
    output = tmp_path / "actor.h"
    options = ["--env", "CartPole-v1", "--rounds", "1", "--episodes", "32", "--max-bytes", "1500"]
    options += ["--weights", "q15", "--meta", "robot=cart", "--action-names", "left,right"]
    # when
    result = CliRunner().invoke(
        app, ["compress", str(tmp_path / "agent.zip"), "-o", str(output), *options]
    )
    # then
    assert result.exit_code == 0, result.output
    text = output.read_text()
    assert text.count("policy_act")
    assert "static const int16_t policy_weight_0" in text
    assert '"environment": "CartPole-v1"' in text
    assert '"robot": "cart"' in text
    assert '"actions": "choice[1]: 1 to 1, right"' in text
    assert "parameters in place of 4,610" in " ".join(result.output.split())
    assert "the evidence" in result.output
    assert {path.name for path in (tmp_path / "actor.h-compression").iterdir()} >= {
        "report.html",
        "curve.png",
        "result.json",
        "student.safetensors",
    }


@pytest.mark.parametrize(("text", "expected"), [("90", 90), ("90s", 90), ("5m", 300), ("1.5h", 5400)])
def test_times_are_read_as_people_write_them(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "0", "5 days", "-1", "m"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a time such as"):
        seconds(text)
