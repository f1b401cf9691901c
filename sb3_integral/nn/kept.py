"""Tensors that are computed once and kept, whoever happened to ask for them first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.utils._python_dispatch import _disable_current_modes


@contextmanager
def to_be_kept() -> Iterator[None]:
    """Make what is computed inside ordinary tensors, fit for everybody who comes later.

    Without it, a first call under :func:`torch.inference_mode` would keep tensors that nobody can
    differentiate through, and one under :func:`torch.export.export` tensors that have no values.
    """
    if torch.compiler.is_dynamo_compiling():  # whose tracing keeps nothing, and cannot read what follows
        yield
        return
    with _disable_current_modes(), torch.inference_mode(False):
        yield
