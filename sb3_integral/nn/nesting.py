"""Partitions that nest: the samples of every size are among those of each larger one.

An even partition has other points at every size, so a network that is trained at many sizes has to be
good at all of them and between them, which keeps its functions smooth and costs accuracy. Where the
partitions nest, a neuron of the small network is a neuron of the large one.
"""

from __future__ import annotations

import functools


@functools.lru_cache(maxsize=128)
def nested_order(nodes: int) -> tuple[int, ...]:
    """Return in which order the nodes of an even grid join a partition that grows.

    They follow van der Corput's sequence, of which every beginning is spread evenly.

    Args:
        nodes: How many there are.

    Returns:
        A permutation of 0..nodes-1.
    """
    bits = max((nodes - 1).bit_length(), 1)
    reversed_bits = (int(f"{index:0{bits}b}"[::-1], 2) for index in range(2**bits))
    joined = dict.fromkeys(place * nodes >> bits for place in reversed_bits)
    return tuple(joined)
