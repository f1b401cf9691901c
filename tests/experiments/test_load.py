"""The spaces of environments that are learned one after another."""

from __future__ import annotations

import pytest

from sb3_integral.experiments.config.load import ConfigError
from sb3_integral.experiments.load import load_experiments


def test_a_later_environment_needs_the_spaces_of_the_first(content, write_config, tmp_path):
    # given
    path = write_config({**content, "then": ["Acrobot-v1"]})
    # when
    with pytest.raises(ConfigError, match=f"{path} is not a valid experiment") as raised:
        load_experiments([path], None, tmp_path / "runs")
    # then
    message = str(raised.value)
    assert "then: Acrobot-v1 has observations Box(" in message
    assert "and actions Discrete(3), expected those of CartPole-v1, observations Box(" in message
    assert message.endswith("and actions Discrete(2)")
    assert not (tmp_path / "runs").exists()
