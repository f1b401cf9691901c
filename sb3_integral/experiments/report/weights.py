"""The students' weights: heat maps (Fig. 4 of the paper), spectra (Fig. 5), and how rough they are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from io import BytesIO
from itertools import cycle
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.policies import BasePolicy
from torch import Tensor

from sb3_integral.escaping import matplotlib as plotted_text
from sb3_integral.experiments.engine.stage import Report
from sb3_integral.experiments.files import STUDENT
from sb3_integral.experiments.report.plot import COLOURS
from sb3_integral.experiments.report.roughness import ROUGHNESS, write_roughness
from sb3_integral.nn.spectrum import mean_spectrum
from sb3_integral.policies.kinds import is_integral, is_resizable
from sb3_integral.policies.layout import dense, find_layout
from sb3_integral.policies.serialization import load_policy

WEIGHTS = "weights.png"
SPECTRUM = "spectrum.png"
NOTE = "left_out.json"  # why a figure is not there: sentences


def draw_figures(
    folder: Path, report: Report, student_folders: Sequence[Path], *, env_id: str, labels: list[str]
) -> None:
    """Draw the weights of the second hidden layer of some students, and measure how rough they are."""
    venv = make_vec_env(env_id)
    weights: dict[str, Tensor] = {}
    left_out = []
    for label, student_folder in zip(labels, student_folders, strict=True):
        student = load_policy(student_folder / STUDENT, venv.observation_space, venv.action_space)
        weight = second_layer(student)
        if weight is None:
            left_out.append(f"{label} has one hidden layer, and no weight between hidden layers.")
        else:
            weights[label] = weight
    venv.close()
    if weights:
        plot_weights(folder / WEIGHTS, weights)
        report(0.5)
        plot_spectra(folder / SPECTRUM, weights)
        write_roughness(folder / ROUGHNESS, weights)
    (folder / NOTE).write_text(json.dumps(left_out, indent=2) + "\n", encoding="utf-8")


def second_layer(student: BasePolicy) -> Tensor | None:
    """Return the weight from the first to the second hidden layer at full size; None if there is none.

    Neurons of an integral student are in the order of their points on the axes, in which the weight is a
    sampled function. The shape is (neurons of the second, neurons of the first).
    """
    policy = student.discretize(student.max_sizes) if is_resizable(student) else student
    hidden = find_layout(policy).actors[0].hidden
    if len(hidden) < 2:
        return None
    weight = dense(policy, hidden[1]).weight.detach()
    if not is_integral(student):
        return weight
    axes = list(student.actor_axes)[-len(hidden) :]
    first, second = (axis.placement_at(axis.max_size).points.argsort() for axis in axes[:2])
    return weight[second][:, first]


def plot_weights(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Plot weights, of shape (rows, columns) each, as heat maps side by side, under their labels."""
    size = (4.2 * len(weights), 3.9)
    figure, grid = plt.subplots(
        1, len(weights), figsize=size, dpi=110, layout="constrained", squeeze=False
    )
    for axes, (label, weight) in zip(grid[0], weights.items(), strict=True):
        # A few large weights would leave the rest pale.
        limit = float(np.quantile(weight.abs().numpy(), 0.99)) or 1.0
        image = axes.imshow(weight.numpy(), cmap="RdBu_r", vmin=-limit, vmax=limit)
        figure.colorbar(image, ax=axes, shrink=0.8, extend="both")
        first, second = ("neuron of the first layer", "neuron of the second layer")
        axes.set(title=plotted_text(label), xlabel=first, ylabel=second)
    _save(figure, path)


def plot_spectra(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Plot the mean absolute Fourier transform of the rows of each weight, by label."""
    figure, axes = plt.subplots(figsize=(7, 3.8), dpi=110, layout="constrained")
    # An integral student that never changed its size may have the very weights of a plain one.
    styles = zip(cycle(COLOURS), cycle(("-", "--", ":")), strict=False)
    for (label, weight), (colour, style) in zip(weights.items(), styles, strict=False):
        amplitude = mean_spectrum(weight).numpy()
        axes.plot(amplitude, style, label=plotted_text(label), color=colour, linewidth=1.8)
    axes.set(ylim=(0, None), ylabel="mean amplitude of a row")
    axes.set_xlabel("frequency, cycles along the neurons of the first layer")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    # In 256 colours it is half as large, and looks the same.
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    plt.close(figure)
    Image.open(buffer).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
