from __future__ import annotations

import pytest

from sb3_integral.experiments import paper_table
from sb3_integral.resize import compression_rate

# Environment: observations and actions.
ENVS = {"Acrobot-v1": (6, 3), "LunarLander-v3": (8, 4), "Ant-v4": (27, 8), "HalfCheetah-v4": (17, 6)}
SIZES = [100, 95, 90, 85, 70, 60, 50, 40, 30, 20, 10, 5]
COLUMNS = ["n_hidden", "compression_pct", "inn_ar", "inn_std", "nn_ar", "nn_std", "welch_p"]


@pytest.mark.parametrize("env_id", ENVS)
def test_a_table_of_the_paper_has_a_row_for_each_of_its_sizes(env_id):
    table = paper_table(env_id)
    assert list(table.columns) == COLUMNS
    assert table["n_hidden"].tolist() == SIZES
    assert table.index.tolist() == list(range(12))
    measured = table[["inn_ar", "inn_std", "nn_ar", "nn_std"]]
    assert measured.notna().to_numpy().all()
    assert (table[["inn_std", "nn_std"]] >= 0).to_numpy().all()
    assert table["welch_p"].dropna().between(0, 1).all()


@pytest.mark.parametrize(("env_id", "spaces"), ENVS.items(), ids=ENVS)
def test_its_compression_rates_are_those_of_two_layers_between_the_spaces(env_id, spaces):
    n_in, n_out = spaces
    rates = [compression_rate(n_in, (size, size), (100, 100), n_out) for size in SIZES]
    assert paper_table(env_id)["compression_pct"].tolist() == pytest.approx(rates, abs=0.0501)


def test_the_table_of_acrobot_is_that_of_the_paper():
    table = paper_table("Acrobot-v1").set_index("n_hidden")
    assert table.loc[100].tolist() == [0.0, -71, 1, -72, 1, 0.069]
    assert table.loc[95].tolist() == [9.3, -72, 1, -79, 2, 6.9e-08]


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Acrobot-v0", ""])
def test_another_environment_has_an_empty_table(env_id):
    table = paper_table(env_id)
    assert table.empty
    assert list(table.columns) == COLUMNS
