"""The names that a configuration may use.

The modules that define what they stand for import torch, which takes seconds, and a misspelt name is
refused before that. A test holds each tuple equal to the registry that it repeats.
"""

from __future__ import annotations

ALGORITHMS = (
    *("a2c", "ars", "crossq", "ddpg", "dqn", "ppo", "ppo_lstm", "qrdqn"),
    *("sac", "td3", "tqc", "trpo"),
)
SUCCESS_CRITERIA = ("any", "terminated", "truncated")
ACTIVATIONS = ("relu", "tanh", "elu", "silu")
LOSSES = ("clipped", "paper", "distribution")
KERNELS = ("cubic", "linear", "b-spline", "cubic-antialiased")
QUADRATURES = ("trapezoidal", "midpoint", "simpson", "gauss-legendre")
RESIZE_METHODS = (
    *("bicubic", "bicubic-rescaled", "integral", "k-means", "nearest", "nearest-rescaled"),
    *("permuted-bicubic", "permuted-bicubic-rescaled", "permuted-integral"),
    *("prune-activations", "prune-group", "prune-l1", "prune-l2", "prune-random", "prune-spectral"),
    "svd",
)
