"""How rough the students' weights are: what the heat maps and the spectra show, in numbers.

``weights.csv``, a file beside these pictures, has a row per network:

- ``label``;
- ``variation_first`` and ``variation_second``: the mean absolute difference of weights that are
  neighbours along the neurons of the first and of the second hidden layer, in mean absolute weights;
- ``high_frequencies``: the share of the power spectrum along the neurons of the first layer that lies in
  the upper half of its frequencies.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from torch import Tensor

from sb3_integral import escaping
from sb3_integral.experiments.report.text import number
from sb3_integral.nn import high_frequency_share, relative_variation

ROUGHNESS = "weights.csv"

ROUGHNESS_EXPLANATION = (
    "Of the matrix from the first to the second hidden layer at full size, first seed; neurons of an "
    "INN in the order of their points. Variation: the mean absolute difference of neighbours along the "
    "neurons of a layer, in mean absolute weights. It is 0 for a constant, and about 1.4 for "
    "independent normal weights. High frequencies: the share of the power spectrum of the rows, which "
    "run along the first layer, in the upper half of frequencies. It is 0 for a constant, and about "
    "one half for independent weights."
)


def write_roughness(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Write ``weights.csv`` of weights, of shape (second layer, first layer) each, by label."""
    rows = [
        {
            "label": escaping.csv(label),
            "variation_first": float(relative_variation(weight, dim=1)),
            "variation_second": float(relative_variation(weight, dim=0)),
            "high_frequencies": float(high_frequency_share(weight)),
        }
        for label, weight in weights.items()
    ]
    pd.DataFrame(rows).to_csv(path, index=False, encoding="utf-8")


def read_roughness(folder: Path) -> pd.DataFrame | None:
    """Return the content of a folder's ``weights.csv``, or None if it has none."""
    if not (folder / ROUGHNESS).is_file():
        return None
    frame = pd.read_csv(folder / ROUGHNESS, dtype={"label": str}, keep_default_na=False, na_values=[""])
    return frame.assign(label=frame["label"].map(escaping.from_csv))


def roughness_cells(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows as text, one for each network."""
    headings = {
        "variation along the first layer": "variation_first",
        "along the second": "variation_second",
        "high frequencies": "high_frequencies",
    }
    numbers = {
        heading: frame[name].map(lambda x: number(x, ".3f")) for heading, name in headings.items()
    }
    return pd.DataFrame({"network": frame["label"], **numbers})
