"""Tables 1-4 of the paper.

Kazakov and Cui, "Utilizing Integral Neural Networks for Imitation Learning", Appendix III.
"""

from __future__ import annotations

from importlib.resources import files

import pandas as pd


def paper_table(env_id: str) -> pd.DataFrame:
    """Return the paper's table for an environment; empty if it has none.

    Returns:
        A row per size: ``n_hidden``, ``compression_pct``, ``inn_ar``, ``inn_std``, ``nn_ar``,
        ``nn_std``, ``welch_p``.
    """
    with (files("sb3_integral.experiments.report") / "paper_tables.csv").open(encoding="utf-8") as file:
        table = pd.read_csv(file)
    return table[table["env"] == env_id].drop(columns="env").reset_index(drop=True)
