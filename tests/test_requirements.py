from __future__ import annotations

import re
import subprocess
import sys
from importlib import metadata

import pytest

from sb3_integral.requirements import INSTALL, require


@pytest.mark.parametrize("extra", sorted(INSTALL))
def test_the_error_names_what_is_missing_and_the_command_that_installs_it(extra: str) -> None:
    # when
    with pytest.raises(ImportError) as caught:
        require(extra, "json", "no_such_module_a", "no_such_module_b")
    # then
    message = str(caught.value)
    assert "no_such_module_a, no_such_module_b" in message
    assert "json" not in message
    assert INSTALL[extra] in message
    assert caught.value.name == "no_such_module_a"


def test_nothing_happens_where_everything_is_there() -> None:
    # given
    before = set(sys.modules)
    # when
    require("imitation", "json", "wave")
    # then: nothing was imported to find out
    assert "wave" not in set(sys.modules) - before


@pytest.mark.parametrize("extra", sorted(INSTALL))
def test_the_commands_ask_for_extras_that_exist(extra: str) -> None:
    # given
    declared = metadata.metadata("sb3-integral").get_all("Provides-Extra")
    # when
    groups = re.findall(r"sb3-integral\[([^\]]+)\]", INSTALL[extra])
    # then
    asked = [name for group in groups for name in group.split(",")]
    assert declared is not None
    assert set(asked) <= set(declared)
    assert (extra in asked) == (extra in declared)


def test_the_policy_needs_none_of_the_extras() -> None:
    # given
    code = """
import sys
absent = ("imitation", "datasets", "sb3_contrib", "rl_zoo3", "pydantic", "typer", "tabulate", "filelock")
sys.modules.update(dict.fromkeys(absent))
import sb3_integral
from stable_baselines3 import PPO
model = PPO("IntegralMlpPolicy", "CartPole-v1", n_steps=64, device="cpu").learn(64)
model.policy.resize(8)
print(model.policy.sizes)
import sb3_integral.imitation
"""
    # when
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    # then: the policy works, and the part that needs an extra says how to install it
    assert result.stdout == "(8, 8)\n"
    assert result.returncode == 1
    assert INSTALL["imitation"] in result.stderr
