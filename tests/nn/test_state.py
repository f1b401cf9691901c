"""A state dict is loaded whole or not at all."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from sb3_integral.nn import Axis, IntegralLinear, IntegralMLP, unchanged_on_failure

WRONG = {
    "another shape": lambda state: state | {"lam_flat": torch.zeros(3)},
    "a key that is missing": lambda state: {k: v for k, v in state.items() if k != "lam_flat"},
    "a key too many": lambda state: state | {"other": torch.zeros(1)},
    "no size": lambda state: state | {"axes.0.points": torch.empty(0, 0)},
    "no points": lambda state: state | {"axes.1.points": torch.tensor([0.5, 0.5])},
}


@pytest.mark.parametrize("assign", [False, True], ids=["copy", "assign"])
@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_a_state_that_does_not_fit_changes_nothing(wrong, assign: bool) -> None:
    # given
    network = IntegralMLP(3, [8, 6], 2)
    network.axes[0].resize(5)
    network.axes[1].place([0.1, 0.5, 0.7])
    before = copy.deepcopy(network.state_dict())
    parameter = network.lam_flat
    # when
    state = IntegralMLP(3, [8, 6], 2).resize(4).state_dict()
    with pytest.raises(RuntimeError, match="Error"):
        network.load_state_dict(wrong(state), assign=assign)
    # then
    assert network.lam_flat is parameter
    after = network.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], value) for name, value in before.items())


@pytest.mark.parametrize(("strict", "sizes"), [(True, (8, 6)), (False, (4, 3))])
def test_a_state_without_sizes_is_at_full_size_where_it_has_to_match(
    strict: bool, sizes: tuple[int, int]
) -> None:
    network = IntegralMLP(3, [8, 6], 2).resize((4, 3))
    network.load_state_dict(IntegralMLP(3, [8, 6], 2).state_dict(), strict=strict)
    assert network.sizes == sizes


def test_buffers_and_modules_inside_are_given_back_too() -> None:
    # given
    axis = Axis(4).resize(3)
    module = nn.ModuleDict({"norm": nn.BatchNorm1d(3), "layer": IntegralLinear(2, axis), "axis": axis})
    before: dict[str, Tensor] = copy.deepcopy(module.state_dict())

    def change_and_stop() -> None:
        with unchanged_on_failure(module):
            module["norm"].running_mean.add_(1)
            module["layer"].weight = nn.Parameter(torch.zeros(4, 2))
            axis.resize(2)
            raise KeyboardInterrupt

    # when
    with pytest.raises(KeyboardInterrupt):
        change_and_stop()
    # then
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert axis.size == 3
