"""Group magnitude pruning by Torch-Pruning, the library itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from sb3_integral.requirements import require
from sb3_integral.resize.dense import DenseLayer, check_not_larger


@dataclass(frozen=True)
class GroupMagnitudePruning:
    """Drop the neurons whose weights, incoming and outgoing together, are smallest.

    Fang et al., DepGraph (CVPR 2023), as in the package torch-pruning. The norm is of order ``p``.
    """

    p: int = 2

    def __call__(self, layers: Sequence[DenseLayer], sizes: Sequence[int]) -> list[DenseLayer]:
        """See :class:`~sb3_integral.resize.ResizeMethod`."""
        require("pruning", "torch_pruning")
        import torch_pruning

        for layer, size in zip(layers[:-1], sizes, strict=True):
            check_not_larger(size, layer, "pruning")
        modules = [_module(layer) for layer in layers]
        network = nn.Sequential(*(part for module in modules for part in (module, nn.ReLU())))[:-1]
        with torch.enable_grad():  # it follows the graph
            torch_pruning.pruner.BasePruner(
                network,
                torch.zeros(1, modules[0].in_features, dtype=layers[0].weight.dtype),
                importance=torch_pruning.importance.GroupMagnitudeImportance(p=self.p),
                ignored_layers=[modules[-1]],
                # The library rounds down what is left; half a neuron more keeps that exact.
                pruning_ratio_dict={
                    module: max(0.0, 1.0 - (size + 0.5) / module.out_features)
                    for module, size in zip(modules[:-1], sizes, strict=True)
                },
            ).step()
        return [
            DenseLayer(m.weight.detach(), None if m.bias is None else m.bias.detach()) for m in modules
        ]


def _module(layer: DenseLayer) -> nn.Linear:
    module = nn.Linear(1, 1, bias=layer.bias is not None, device="meta")
    module.out_features, module.in_features = layer.weight.shape
    for name, values in layer._asdict().items():
        if values is not None:
            setattr(module, name, nn.Parameter(values.detach().clone()))
    return module
