"""What a compression found."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stable_baselines3.common.policies import ActorCriticPolicy

from sb3_integral.deploy.compress.comparison import Comparison
from sb3_integral.deploy.costs import Costs
from sb3_integral.deploy.search import Sizes
from sb3_integral.nn.sizes import format_sizes


@dataclass(frozen=True)
class Trial:
    """A size and its comparison with the agent.

    Attributes:
        sizes: One for each layer.
        costs: What it costs.
        latency_us: Microseconds from an observation to an action, on this machine.
        comparison: Its episodes.
    """

    sizes: Sizes
    costs: Costs
    latency_us: float
    comparison: Comparison


@dataclass(frozen=True)
class Compressed:
    """The smallest size that is as good, its file, and the evidence.

    Attributes:
        sizes: The chosen size, one for each layer.
        file: The file that was written.
        folder: Everything else: the resizable student, the report, all numbers.
        student: The resizable student.
        trials: Every size that was tested, the smallest first.
        agent_parameters: Weights and biases of the agent's actor.
        agent_us: Microseconds that the agent's ``predict`` takes, on this machine.
        agent_return: The agent's mean return.
        random_return: That of random actions.
        allowed_loss: How much mean return was allowed to be lost.
        episodes: How many episodes were played for comparison.
        labels: How many actions the agent labelled.
        seconds: How long it took, without what earlier calls had finished.
        of_file: The comparison of the file itself, where its weights are quantised.
    """

    sizes: Sizes
    file: Path
    folder: Path
    student: ActorCriticPolicy
    trials: tuple[Trial, ...]
    agent_parameters: int
    agent_us: float
    agent_return: float
    random_return: float
    allowed_loss: float
    episodes: int
    labels: int
    seconds: float
    of_file: Comparison | None = None

    @property
    def chosen(self) -> Trial:
        """The trial of the chosen size."""
        return next(trial for trial in self.trials if trial.sizes == self.sizes)

    def kept(self, comparison: Comparison) -> tuple[float, float, float]:
        """Return the share of the agent's return above random that was kept, and its interval."""
        span = self.agent_return - self.random_return
        low, high = comparison.interval
        shares = (1.0 + change / span for change in (comparison.difference, low, high))
        share, lowest, highest = shares
        return share, lowest, highest

    def __str__(self) -> str:
        chosen = self.chosen
        comparison = self.of_file or chosen.comparison
        share, low, high = self.kept(comparison)
        is_larger = chosen.costs.parameters >= self.agent_parameters
        return (
            f"{format_sizes(self.sizes)} neurons, {chosen.costs.parameters:,} parameters in place of "
            f"{self.agent_parameters:,}; {chosen.latency_us:.1f} µs in place of {self.agent_us:.1f}; "
            f"keeps {share:.1%} of the return ({low:.1%} to {high:.1%}), {comparison.verdict}"
            f"{'; the agent itself is not larger: export it' if is_larger else ''}"
        )


class NotAsGoodError(ValueError):
    """No size of the student is as good as the agent.

    Attributes:
        best: The comparison of the best size.
    """

    def __init__(self, message: str, best: Comparison) -> None:
        super().__init__(message)
        self.best = best
