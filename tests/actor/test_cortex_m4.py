"""Headers act on an emulated Cortex-M4 as in NumPy."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytestmark = pytest.mark.slow
SCRIPT = Path(__file__).parents[2] / "scripts" / "benchmark_cortex_m4.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmark_cortex_m4", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    absent = module.missing()
    if absent:
        pytest.skip(f"not installed: {', '.join(absent)}")
    return module


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("weights", ["float32", "int8", "int4", "q15"])
def test_a_header_acts_on_the_target_as_in_numpy(
    weights: Any, activation: str, script: ModuleType, tmp_path: Path
) -> None:
    # when layers have a whole block of outputs and more, in hardware and in software floats
    for floats in (script.HARD, script.SOFT):
        measured = script.measure(35, activation, weights, tmp_path, floats)
        # then
        assert measured.selftest == 0
        assert measured.off < (1e-3 if weights == "q15" else 1e-5)
        said = (tmp_path / "policy.h").read_text(encoding="ascii").split(" bytes of ")
        flash, stack = int(said[0].split()[-1]), int(said[1].split()[-1])
        assert measured.flash > flash
        assert measured.ram >= stack
        assert measured.instructions > 35 * (17 + 35 + 6)
