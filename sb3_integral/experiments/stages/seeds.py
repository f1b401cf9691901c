"""Seeds of their own for the parts of a run."""

from __future__ import annotations

import zlib

import numpy as np


def derived_seed(seed: int, purpose: str) -> int:
    """Return a seed of its own for each purpose of a run."""
    sequence = np.random.SeedSequence([seed, zlib.crc32(purpose.encode())])
    # SB3 adds the number of the environment, and NumPy's legacy generator takes 32 bits.
    return int(sequence.generate_state(1)[0]) // 2
