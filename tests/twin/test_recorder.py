"""What a recorder keeps: amounts over time in bounded bins."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from irongrid.twin.recorder import BINS, Bins
from irongrid.units import NS_PER_S


def test_amounts_fall_into_the_bins_that_they_last() -> None:
    bins = Bins(1)
    # 4 devices from 0.5 s to 2.25 s.
    bins.add(0, NS_PER_S // 2, 9 * NS_PER_S // 4, 4)

    means = bins.means(3 * NS_PER_S)

    assert means.shape == (1, 3)
    assert list(means[0]) == [2.0, 4.0, 1.0]


def test_the_last_bin_is_a_mean_over_what_there_was_of_it() -> None:
    bins = Bins(1)
    bins.add(0, NS_PER_S, 3 * NS_PER_S // 2, 4)

    assert list(bins.means(3 * NS_PER_S // 2)[0]) == [0.0, 4.0]


def test_a_long_run_widens_the_bins_and_keeps_their_number() -> None:
    bins = Bins(2)
    bins.add(1, 0, BINS * NS_PER_S, 1)
    bins.add(0, 0, 1000 * BINS * NS_PER_S, 2)

    means = bins.means(1000 * BINS * NS_PER_S)

    assert bins.width_ns == 1024 * NS_PER_S
    assert means.shape[1] <= BINS
    assert means[0] == pytest.approx(2.0)


@given(
    st.lists(
        st.tuples(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 64)), max_size=30
    )
)
def test_nothing_is_lost_in_the_bins(stretches: list[tuple[int, int, int]]) -> None:
    bins, total, end_s = Bins(1), 0, 1
    # As a recorder adds them: each when it has ended.
    for from_s, length_s, amount in sorted(stretches, key=lambda item: item[0] + item[1]):
        to_s = from_s + length_s
        bins.add(0, from_s * NS_PER_S, to_s * NS_PER_S, amount)
        total += amount * length_s
        end_s = max(end_s, to_s)

    means = bins.means(end_s * NS_PER_S)
    widths_s = np.full(means.shape[1], bins.width_ns / NS_PER_S)
    widths_s[-1] = end_s - (len(widths_s) - 1) * widths_s[0]

    assert (means[0] * widths_s).sum() == pytest.approx(total)
