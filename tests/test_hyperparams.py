"""The trust regions of hyperparams/, as their comments say."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from sb3_integral.experiments.config.load import load_config
from sb3_integral.experiments.stages.expert import expert_hyperparams

FOLDER = Path(__file__).parents[1] / "hyperparams"
PAPER = {
    "target_kl": 0.01,
    "cg_max_steps": 10,
    "line_search_shrinking_factor": 0.5,
    "line_search_max_iter": 11,
}
ENTRIES = yaml.safe_load((FOLDER / "trpo.yml").read_text(encoding="utf-8"))
BETTER = [name for name in ENTRIES if name.startswith(("HalfCheetah", "Ant"))]


@pytest.mark.parametrize("env_id", ENTRIES)
def test_every_environment_has_an_entry_with_the_papers_trust_region(env_id):
    path = FOLDER / ("trpo_paper.yml" if env_id in BETTER else "trpo.yml")
    entry = expert_hyperparams(path, env_id)
    assert {name: entry[name] for name in PAPER} == PAPER


@pytest.mark.parametrize("env_id", BETTER)
def test_the_papers_entry_differs_in_nothing_else(env_id):
    paper = expert_hyperparams(FOLDER / "trpo_paper.yml", env_id)
    better = expert_hyperparams(FOLDER / "trpo.yml", env_id)
    changed = {name for name in better if better[name] != paper[name]}
    assert changed == {"target_kl", "cg_max_steps"}
    assert paper.keys() == better.keys()


def test_a_configuration_names_them_by_their_file(tmp_path):
    # given
    path = tmp_path / "ant.yml"
    path.write_text(
        f"name: ant\nenv: Ant-v4\nexpert: {{hyperparams: {FOLDER / 'trpo_paper.yml'}}}\n",
        encoding="utf-8",
    )
    # when
    expert = load_config(path, "quick").expert
    # then
    assert expert_hyperparams(expert.hyperparams, "Ant-v4")["target_kl"] == 0.01
