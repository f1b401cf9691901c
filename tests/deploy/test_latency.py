from __future__ import annotations

import numpy as np
import pytest
import torch

from sb3_integral.deploy.latency import WARM_UP, MeasuredLatency, latencies_us, one_thread


def test_every_call_is_measured_after_a_warm_up():
    seen = []
    taken = latencies_us(seen.append, "observation", calls=7)
    assert len(taken) == 7
    assert min(taken) > 0
    assert seen == ["observation"] * (7 + WARM_UP)


def test_the_number_of_threads_comes_back():
    torch.set_num_threads(2)
    try:
        with one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_the_actor_gets_an_observation_of_the_policys_space(make_policy):
    seen = []

    def factory(policy):
        return seen.append

    assert MeasuredLatency(factory, calls=3)(make_policy().discretize()) > 0
    assert seen[0].shape == (5,)
    assert seen[0].dtype == np.float32


def test_no_calls_are_refused():
    with pytest.raises(ValueError, match="calls must be an integer of at least 1, got 0"):
        latencies_us(print, None, calls=0)
