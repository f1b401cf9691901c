from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sb3_integral.imitation import Demonstrations, TensorBatches


def numbered(n: int) -> Demonstrations:
    """Transitions that can be told apart: the i-th observes (i, -i) and does i."""
    numbers = torch.arange(n)
    return Demonstrations(torch.stack([numbers, -numbers], dim=1).float(), numbers, torch.zeros(1))


def batches(n: int, batch_size: int, seed: int) -> TensorBatches:
    return TensorBatches(numbered(n), batch_size, torch.Generator().manual_seed(seed))


@st.composite
def counts(draw) -> tuple[int, int]:
    n = draw(st.integers(1, 60))
    return n, draw(st.integers(1, n))


@given(counts(), st.integers(0, 2**32))
@settings(deadline=None, max_examples=40)
def test_a_pass_has_every_transition_at_most_once_and_leaves_out_less_than_a_batch(count, seed):
    # given
    n, batch_size = count

    # when
    passed = list(batches(n, batch_size, seed))

    # then
    assert len(passed) == n // batch_size == len(batches(n, batch_size, seed))
    for batch in passed:
        assert batch["obs"].shape == (batch_size, 2)
        assert batch["acts"].shape == (batch_size,)
        # An observation and the action that belongs to it stay together.
        assert torch.equal(batch["obs"][:, 0], batch["acts"].float())
    seen = torch.cat([batch["acts"] for batch in passed]).tolist()
    assert len(set(seen)) == len(seen) == n - n % batch_size


@given(counts(), st.integers(0, 2**32))
@settings(deadline=None, max_examples=20)
def test_the_order_is_decided_by_the_generator_and_is_new_in_each_pass(count, seed):
    # given so many transitions that equal orders are no coincidence
    n, batch_size = count
    assume(n >= 30)

    # when
    made = batches(n, batch_size, seed)
    first, second = (torch.cat([batch["acts"] for batch in made]) for _ in range(2))
    again = batches(n, batch_size, seed)
    repeated = [torch.cat([batch["acts"] for batch in again]) for _ in range(2)]

    # then
    assert not torch.equal(first, second)
    assert torch.equal(first, repeated[0])
    assert torch.equal(second, repeated[1])


def test_other_seeds_give_other_orders():
    first, second = (torch.cat([b["acts"] for b in batches(50, 10, seed)]) for seed in (0, 1))
    assert not torch.equal(first, second)


def test_the_global_generator_is_left_alone():
    before = torch.random.get_rng_state()
    list(batches(50, 10, 0))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_real_demonstrations_come_in_their_own_shapes_and_dtypes(task):
    made = TensorBatches(task.demonstrations, 32, torch.Generator().manual_seed(0))
    batch = next(iter(made))
    assert batch["obs"].shape == (32, *task.observation_space.shape)
    assert batch["acts"].shape == (32, *task.action_space.shape)
    assert batch["obs"].dtype == torch.float32
    assert batch["acts"].dtype == task.demonstrations.actions.dtype


@pytest.mark.parametrize("batch_size", [0, -1, 11])
def test_a_batch_size_that_transitions_cannot_fill_is_an_error(batch_size):
    expected = f"batch_size must be from 1 to 10, the number of transitions, got {batch_size}"
    with pytest.raises(ValueError, match=expected):
        batches(10, batch_size, 0)
