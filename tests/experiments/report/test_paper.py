from __future__ import annotations

from itertools import product

import pandas as pd
import pytest

from sb3_integral.evaluation import Moments, welch_p_from_moments
from sb3_integral.experiments.report.tables import paper_table
from sb3_integral.resize import UNSIZED_PARAMETERS

# Environment: observations and actions.
ENVS = {"Acrobot-v1": (6, 3), "LunarLander-v3": (8, 4), "Ant-v4": (27, 8), "HalfCheetah-v4": (17, 6)}
SIZES = [100, 95, 90, 85, 70, 60, 50, 40, 30, 20, 10, 5]
RUNS = 10
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
    kept = [n_in * n + n + n * n + n + n * n_out + n_out + UNSIZED_PARAMETERS for n in SIZES]
    rates = [100.0 * (1.0 - count / kept[0]) for count in kept]
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


# Its p-values


ROWS = [
    pytest.param(row, id=f"{env_id}-{row.n_hidden:.0f}")
    for env_id in ENVS
    for _, row in paper_table(env_id).iterrows()
]


def two_digits(value: float) -> float:
    return float(f"{value:.1e}")


def p_values(row: pd.Series, std_factor: float = 1.0) -> list[float]:
    """Return p for the ends of what rounds to the printed means and deviations."""
    values = []
    # Of the means only the difference counts.
    for inn_mean, inn_std, nn_std in product((-1.0, 1.0), (-0.5, 0.5), (-0.5, 0.5)):
        inn = Moments(row.inn_ar + inn_mean, std_factor * max(row.inn_std + inn_std, 0.0), RUNS)
        nn = Moments(row.nn_ar, std_factor * max(row.nn_std + nn_std, 0.0), RUNS)
        if inn.std or nn.std:
            values.append(welch_p_from_moments(inn, nn))
    return values


@pytest.mark.parametrize("row", ROWS)
def test_its_p_values_follow_from_what_its_rounded_figures_can_stand_for(row):
    values = p_values(row)
    highest = 1.0 if abs(row.inn_ar - row.nn_ar) <= 1 else max(values)  # the same mean is possible
    assert two_digits(min(values)) <= row.welch_p <= two_digits(highest)


def test_some_follow_from_the_printed_figures_to_the_last_digit():
    exact = {
        f"{env_id} {row.n_hidden:.0f}"
        for env_id in ENVS
        for _, row in paper_table(env_id).iterrows()
        if row.welch_p
        == two_digits(
            welch_p_from_moments(
                Moments(row.inn_ar, row.inn_std, RUNS),
                Moments(row.nn_ar, row.nn_std, RUNS),
            )
        )
    }
    # The figures of the others are too small for their rounding: 0.5 in a deviation of 1.
    assert exact == {"Acrobot-v1 10", "Acrobot-v1 5", "LunarLander-v3 60", "Ant-v4 95", "Ant-v4 70"}


def test_its_deviations_have_one_degree_of_freedom_less_than_runs():
    # given the row whose figures say most: -233 ± 154 against -500 ± 0
    row = paper_table("Acrobot-v1").set_index("n_hidden").loc[10]
    # when they are taken as deviations of a population
    of_population = p_values(row, std_factor=(RUNS / (RUNS - 1)) ** 0.5)
    # then nothing that they can stand for has its p-value
    assert two_digits(min(of_population)) > row.welch_p
