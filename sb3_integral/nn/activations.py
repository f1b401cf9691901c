"""Activations whose derivative follows from their output, as the engine needs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

aten = torch.ops.aten


class Activation(NamedTuple):
    """An activation.

    Attributes:
        forward: Computes it.
        forward_: Computes it in place.
        backward_: Turns the gradient of the output, and the output, into the gradient of the input, in
            place of the first.
    """

    forward: Callable[[Tensor], Tensor]
    forward_: Callable[[Tensor], Tensor]
    backward_: Callable[[Tensor, Tensor], Tensor]


def _relu_backward_(gradient: Tensor, output: Tensor) -> Tensor:
    aten.threshold_backward.grad_input(gradient, output, 0, grad_input=gradient)
    return gradient


def _tanh_backward_(gradient: Tensor, output: Tensor) -> Tensor:
    aten.tanh_backward.grad_input(gradient, output, grad_input=gradient)
    return gradient


def _sigmoid_backward_(gradient: Tensor, output: Tensor) -> Tensor:
    aten.sigmoid_backward.grad_input(gradient, output, grad_input=gradient)
    return gradient


ACTIVATIONS: dict[type[nn.Module], Activation] = {
    nn.ReLU: Activation(torch.relu, torch.relu_, _relu_backward_),
    nn.Tanh: Activation(torch.tanh, torch.tanh_, _tanh_backward_),
    nn.Sigmoid: Activation(torch.sigmoid, torch.sigmoid_, _sigmoid_backward_),
}
