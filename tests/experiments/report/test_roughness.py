"""How rough weights are, against cases computed by hand."""

from __future__ import annotations

import pytest
import torch

from sb3_integral.experiments.report.roughness import (
    ROUGHNESS,
    read_roughness,
    roughness_cells,
    write_roughness,
)

WEIGHTS = {
    "=constant": torch.full((3, 4), -0.5),
    "along the first": torch.tensor([[2.0, -2.0, 2.0, -2.0]]).expand(3, 4),
    "along the second": torch.tensor([[2.0], [-2.0], [2.0]]).expand(3, 4),
    "one neuron": torch.ones(1, 1),
}


def test_each_network_has_its_numbers(tmp_path):
    # when
    write_roughness(tmp_path / ROUGHNESS, WEIGHTS)
    rows = read_roughness(tmp_path)
    # then
    assert rows["label"].tolist() == [*WEIGHTS]
    assert rows["variation_first"].tolist()[:3] == pytest.approx([0.0, 2.0, 0.0])
    assert rows["variation_second"].tolist()[:3] == pytest.approx([0.0, 0.0, 2.0])
    assert rows["high_frequencies"].tolist() == pytest.approx([0.0, 1.0, 0.0, 0.0])
    # and people read them rounded, a dash where there are none
    assert roughness_cells(rows).iloc[1].tolist() == ["along the first", "2.000", "0.000", "1.000"]
    assert roughness_cells(rows).iloc[3].tolist() == ["one neuron", "-", "-", "0.000"]


def test_a_spreadsheet_does_not_take_a_label_for_a_formula(tmp_path):
    write_roughness(tmp_path / ROUGHNESS, WEIGHTS)
    assert "\n'=constant," in (tmp_path / ROUGHNESS).read_text(encoding="utf-8")


def test_without_measured_weights_there_is_nothing(tmp_path):
    assert read_roughness(tmp_path) is None
