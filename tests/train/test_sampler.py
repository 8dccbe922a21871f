"""Every sample once per pass, whoever reads it and however often the run was interrupted."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from irongrid.domain.plan import ParallelPlan
from irongrid.train.sampler import SampleOrder, samples_of, shuffled


def plan(ranks: int, micro_batch: int, grad_accum: int) -> ParallelPlan:
    return ParallelPlan(
        world_size=ranks,
        dp_replicate=1,
        dp_shard=ranks,
        micro_batch=micro_batch,
        grad_accum=grad_accum,
    )


@given(size=st.integers(1, 3000), key=st.text(max_size=5))
@settings(deadline=None)
def test_a_shuffle_is_a_permutation(size: int, key: str) -> None:
    out = shuffled(np.arange(size, dtype=np.uint64), size, key)

    assert sorted(out.tolist()) == list(range(size))


def test_a_shuffle_mixes_and_its_key_matters() -> None:
    ordered = np.arange(10_000, dtype=np.uint64)
    one, other = shuffled(ordered, 10_000, "1"), shuffled(ordered, 10_000, "2")

    assert abs(np.corrcoef(ordered, one)[0, 1]) < 0.05
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.05


def test_a_shuffle_of_a_trillion_samples_needs_no_table() -> None:
    out = shuffled(np.arange(1000, dtype=np.uint64), 10**12, "k")

    assert len(set(out.tolist())) == 1000
    assert out.max() < 10**12


@given(
    windows=st.integers(20, 400),
    held_out=st.integers(0, 10),
    seed=st.integers(0, 5),
    # Each part of the run: how many steps it lasts, and on how many ranks of how many samples.
    parts=st.lists(
        st.tuples(
            st.integers(1, 9), st.sampled_from([(1, 12, 1), (2, 3, 2), (3, 4, 1), (4, 1, 3)])
        ),
        min_size=1,
        max_size=8,
    ),
)
@settings(max_examples=30, deadline=None)
def test_each_sample_once_per_pass_across_restarts_and_changes_of_the_gang(
    windows: int,
    held_out: int,
    seed: int,
    parts: list[tuple[int, tuple[int, int, int]]],
) -> None:
    order = SampleOrder(windows=windows, held_out=held_out, seed=seed)
    seen: list[int] = []
    step = 0
    for steps, (ranks, micro_batch, grad_accum) in parts:
        cut = plan(ranks, micro_batch, grad_accum)
        assert cut.global_batch == 12
        for _ in range(steps):
            batch: list[int] = []
            for rank in range(ranks):
                for micro_step in range(grad_accum):
                    samples = samples_of(cut, step, rank, micro_step)
                    batch += order.training_windows(samples).tolist()
            # The order within a batch is the ranks' affair; the batch itself is not.
            expected = order.training_windows(
                np.arange(12 * step, 12 * (step + 1), dtype=np.uint64)
            )
            assert sorted(batch) == sorted(expected.tolist())
            seen += expected.tolist()
            step += 1

    training = set(range(windows)) - set(order.held_out_windows(held_out).tolist())
    for first in range(0, len(seen), order.per_pass):
        one_pass = seen[first : first + order.per_pass]
        assert len(set(one_pass)) == len(one_pass)
        assert set(one_pass) <= training
        if len(one_pass) == order.per_pass:
            assert set(one_pass) == training


def test_two_passes_differ_in_order() -> None:
    order = SampleOrder(windows=200, held_out=0, seed=0)
    first = order.training_windows(np.arange(200, dtype=np.uint64)).tolist()
    second = order.training_windows(np.arange(200, 400, dtype=np.uint64)).tolist()

    assert sorted(first) == sorted(second)
    assert first != second
