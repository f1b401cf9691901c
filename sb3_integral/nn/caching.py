"""Making tensors that outlive the call in which they are computed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.utils._python_dispatch import _disable_current_modes


@contextmanager
def ordinary_tensors() -> Iterator[None]:
    """Compute ordinary tensors inside the ``with`` block, which later callers can use.

    Without it, a first call under :func:`torch.inference_mode` would cache tensors that cannot take part
    in a backward pass, and one under :func:`torch.export.export` or on the device "meta" tensors that
    have no values.
    """
    if torch.compiler.is_dynamo_compiling():  # tracing caches nothing, and cannot read what follows
        yield
        return
    with _disable_current_modes(), torch._C.DisableTorchFunction(), torch.inference_mode(False):
        yield
