"""An LSTM between the features and the layers of a recurrent actor, as dense layers and as torch."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

State = Float[Tensor, "layers batch hidden"]
"""Hidden states or cells, as SB3's recurrent policies have them."""

GATES = 4
"""Gates of a cell: what is let in, what is forgotten, what is new, what is shown."""


class Memory(nn.Module):
    """The LSTM of a recurrent policy, one step at a time, for batches of any size.

    It is made of dense layers, which every exporter knows.

    Args:
        lstm: The policy's.

    Raises:
        ValueError: If it is of an unusual kind.
    """

    def __init__(self, lstm: nn.LSTM) -> None:
        super().__init__()
        if lstm.bidirectional or lstm.proj_size:
            raise ValueError(f"expected an LSTM in one direction without a projection, got {lstm!r}")
        self.layers, self.hidden_size = lstm.num_layers, lstm.hidden_size
        self.input_size = lstm.input_size
        self.gates = nn.ModuleList(_gates(lstm, index) for index in range(lstm.num_layers))

    def forward(
        self,
        features: Float[Tensor, "batch features"],
        hidden: State,
        cell: State,
        episode_start: Bool[Tensor, " batch"],
    ) -> tuple[Float[Tensor, "batch hidden"], State, State]:
        """Return the output and the next state, which is zero before where an episode starts."""
        keep = 1.0 - episode_start.to(hidden.dtype).reshape(1, -1, 1)
        hidden, cell = hidden * keep, cell * keep
        all_hidden, all_cells, x = [], [], features
        for index, gates in enumerate(self.gates):
            joined = gates(torch.cat([x, hidden[index]], dim=1))
            let_in, forget, new, show = joined.chunk(GATES, dim=1)
            kept = torch.sigmoid(forget) * cell[index] + torch.sigmoid(let_in) * torch.tanh(new)
            x = torch.sigmoid(show) * torch.tanh(kept)
            all_hidden.append(x)
            all_cells.append(kept)
        return x, torch.stack(all_hidden), torch.stack(all_cells)


@torch.no_grad()
def _gates(lstm: nn.LSTM, index: int) -> nn.Linear:
    """Return a layer's gates as one dense layer, which reads its input and its hidden state."""
    weights = [getattr(lstm, f"{name}_l{index}") for name in ("weight_ih", "weight_hh")]
    weight = torch.cat(weights, dim=1).detach().cpu()
    linear = nn.Linear(weight.shape[1], len(weight)).requires_grad_(False)
    linear.weight.copy_(weight)
    linear.bias.zero_()
    if lstm.bias:
        for name in ("bias_ih", "bias_hh"):
            linear.bias.add_(getattr(lstm, f"{name}_l{index}").detach().cpu())
    return linear
