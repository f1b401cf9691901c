"""Ways to give a dense network other hidden sizes with no retraining, behind one protocol."""

from sb3_integral.resize.dense import (
    UNSIZED_PARAMETERS,
    CountsParameters,
    DataResizeMethod,
    DenseLayer,
    ResizeMethod,
)
from sb3_integral.resize.interpolation import Bicubic, IntegralSampling, Nearest
from sb3_integral.resize.merging import KMeansMerging
from sb3_integral.resize.permuted import Permuted
from sb3_integral.resize.pruning import (
    Pruning,
    RandomScore,
    activation_influence,
    l1_norm,
    l2_norm,
    spectral_norm,
)
from sb3_integral.resize.svd import TruncatedSVD
from sb3_integral.resize.torch_pruning import GroupMagnitudePruning

__all__ = [
    "DEFAULT_METHOD",
    "RESIZE_METHODS",
    "UNSIZED_PARAMETERS",
    "Bicubic",
    "CountsParameters",
    "DataResizeMethod",
    "DenseLayer",
    "GroupMagnitudePruning",
    "IntegralSampling",
    "KMeansMerging",
    "Nearest",
    "Permuted",
    "Pruning",
    "RandomScore",
    "ResizeMethod",
    "TruncatedSVD",
    "activation_influence",
    "l1_norm",
    "l2_norm",
    "resize_method",
    "spectral_norm",
]

RESIZE_METHODS: dict[str, ResizeMethod] = {
    "bicubic": Bicubic(),
    "bicubic-rescaled": Bicubic(rescale=True),
    "integral": IntegralSampling(),
    "k-means": KMeansMerging(),
    "nearest": Nearest(),
    "nearest-rescaled": Nearest(rescale=True),
    "permuted-bicubic": Permuted(Bicubic()),
    "permuted-bicubic-rescaled": Permuted(Bicubic(rescale=True)),
    "permuted-integral": Permuted(IntegralSampling()),
    "prune-activations": Pruning(activation_influence),
    "prune-group": GroupMagnitudePruning(),
    "prune-l1": Pruning(l1_norm),
    "prune-l2": Pruning(l2_norm),
    "prune-random": Pruning(RandomScore()),
    "prune-spectral": Pruning(spectral_norm),
    "svd": TruncatedSVD(),
}
"""Methods by name: ``bicubic`` is the paper's, ``bicubic-rescaled`` its fair variant, and
``permuted-integral`` its conversion of a trained network. ``prune-activations`` needs observations, and
the other ways to prune, but ``prune-group``, are better with them: they are of the kind
:class:`~sb3_integral.resize.DataResizeMethod`."""

DEFAULT_METHOD = "k-means"
"""How a plain policy is resized where nobody chooses: the best method that only needs the weights.

Over all sizes below the full one and the seven environments of ``results/``, it keeps a mean score of
0.52. ``permuted-bicubic-rescaled`` keeps as much but needs fast-tsp and searches against the clock,
``integral`` keeps 0.40 and ``bicubic`` 0.26.
"""


def resize_method(method: ResizeMethod | str) -> ResizeMethod:
    """Return a method itself, or the one of that name.

    Raises:
        ValueError: If the name is unknown.
    """
    if not isinstance(method, str):
        return method
    if method not in RESIZE_METHODS:
        raise ValueError(
            f"unknown resize method {method!r}; known are {', '.join(sorted(RESIZE_METHODS))}"
        )
    return RESIZE_METHODS[method]
