"""Group magnitude pruning by Torch-Pruning, the library itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from sb3_integral.requirements import require
from sb3_integral.resize.dense import DenseLayer
from sb3_integral.resize.pruning import check_not_larger


@dataclass(frozen=True)
class GroupMagnitudePruning:
    """Drop the neurons whose weights, incoming and outgoing together, are smallest.

    Fang et al., DepGraph (CVPR 2023), as in the package torch-pruning.

    Args:
        p: Order of the norm.
    """

    p: int = 2

    def __call__(self, layers: Sequence[DenseLayer], sizes: Sequence[int]) -> list[DenseLayer]:
        """See :class:`~sb3_integral.resize.ResizeMethod`.

        Raises:
            ValueError: If a size is above the full one.
            ImportError: If torch-pruning is not installed.
        """
        require("pruning", "torch_pruning")
        import torch_pruning

        modules = [_module(layer) for layer in layers]
        ratios = {}
        for module, size in zip(modules[:-1], sizes, strict=True):
            check_not_larger(size, module.out_features, "pruning")
            # The library rounds down what is left; half a neuron more keeps that exact.
            ratios[module] = max(0.0, 1.0 - (size + 0.5) / module.out_features)
        network = nn.Sequential(*(part for module in modules for part in (module, nn.ReLU())))[:-1]
        with torch.enable_grad():  # it follows the graph
            torch_pruning.pruner.BasePruner(
                network,
                torch.zeros(1, modules[0].in_features, dtype=layers[0].weight.dtype),
                importance=torch_pruning.importance.GroupMagnitudeImportance(p=self.p),
                ignored_layers=[modules[-1]],
                pruning_ratio_dict=ratios,
            ).step()
        return [
            DenseLayer(m.weight.detach(), None if m.bias is None else m.bias.detach()) for m in modules
        ]


def _module(layer: DenseLayer) -> nn.Linear:
    n_out, n_in = layer.weight.shape
    module = nn.Linear(n_in, n_out, bias=layer.bias is not None, device="meta")
    module.weight = nn.Parameter(layer.weight.detach().clone())
    if layer.bias is not None:
        module.bias = nn.Parameter(layer.bias.detach().clone())
    return module
