from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.distributions import Normal

from sb3_integral.nn.copying import copied


class Keeping(nn.Module):
    """Keeps what it computed last, under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.last: torch.Tensor = self.linear(x)
        self.distribution = Normal(self.last, 1.0)
        return self.last


def test_a_module_is_copied_with_what_it_computed() -> None:
    # given a module that torch does not copy
    module = Keeping()
    module(torch.ones(3))
    with pytest.raises(RuntimeError, match="graph leaves"):
        copy.deepcopy(module)
    # when
    copy_of_it = copied(module)
    # then the copy has the same values, and shares nothing
    assert torch.equal(copy_of_it.last, module.last)
    assert copy_of_it.last.is_leaf
    assert copy_of_it.last is not module.last
    assert copy_of_it.last.data_ptr() != module.last.data_ptr()
    assert copy_of_it.linear.weight is not module.linear.weight
    assert copy_of_it.linear.weight.requires_grad
    # and the module can still learn
    module.last.sum().backward()
    assert module.linear.weight.grad is not None


def test_what_is_one_tensor_stays_one_tensor() -> None:
    module = Keeping()
    module(torch.ones(3))
    module.other = module.last
    copy_of_it = copied(module)
    assert copy_of_it.other is copy_of_it.last


def test_an_object_can_be_exchanged_on_the_way() -> None:
    module = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
    other = nn.Linear(3, 5)
    assert copied(module, {id(module[0]): other})[0] is other
