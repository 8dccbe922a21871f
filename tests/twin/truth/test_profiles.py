"""Step times between measurements."""

import pytest

from irongrid.errors import Refused
from irongrid.twin.truth.profiles import StepTime, packed, profile, smallest_rotation

# Measured on one shape of two GPUs and on two shapes of two nodes; 3 nodes only by count.
PROFILE = profile(
    [
        ((2,), 10, 0.10, 0.02),
        ((2,), 20, 0.20, 0.04),
        ((1, 2), 10, 0.30, 0.10),
        ((1, 2), 20, 0.50, 0.10),
    ],
    [(1, 1, 10, 0.1, 0.0), (1, 1, 20, 0.2, 0.0), (3, 9, 10, 0.9, 0.2), (3, 9, 20, 1.1, 0.2)],
    most_nodes=3,
)


def test_a_measured_shape_is_linear_in_the_samples_per_gpu() -> None:
    found = PROFILE.step_time((2,), 15)

    assert (found.step_s, found.sync_s) == pytest.approx((0.15, 0.03))


def test_nodes_stand_in_a_ring_so_that_a_rotated_shape_is_the_same_one() -> None:
    assert smallest_rotation((4, 1, 2)) == (1, 2, 4)
    assert PROFILE.step_time((2, 1), 10) == PROFILE.step_time((1, 2), 10)


def test_outside_of_the_measured_samples_there_is_no_answer() -> None:
    with pytest.raises(Refused, match="21 samples per GPU on 2 were not measured"):
        PROFILE.step_time((2,), 21)


def test_an_unmeasured_shape_lies_between_counts_of_nodes_and_gpus() -> None:
    # Exactly the row that was measured by count, reached through a shape that was not.
    found = PROFILE.step_time((3, 3, 3), 20)

    assert (found.step_s, found.sync_s) == pytest.approx((1.1, 0.2))


def test_more_nodes_than_were_profiled_count_as_so_many() -> None:
    assert packed((4, 4, 4, 3), 3) == (5, 5, 5)
    assert packed((2, 2, 2, 2, 2, 1), 3) == (4, 4, 3)
    assert packed((4, 4), 3) == (4, 4)


def test_accumulation_repeats_what_is_not_synchronisation() -> None:
    # 0.5 s, and two more passes of 0.5 - 0.2 s.
    assert StepTime(0.5, 0.2).iteration_s(2) == pytest.approx(1.1)
