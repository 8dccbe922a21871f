"""The model of step times, on times that follow it and on times that do not."""

import numpy as np
import pytest

from irongrid.forecast.throughput import Seen, StepModel, fit

# 0.1 s at 16 samples, a quarter of it fixed; synchronisation of 0.02 s in a node, 0.05 s beyond.
TRUE = StepModel(np.log([0.1, 0.25, 0.2, 0.02, 0.5, 0.02, 1.0]), 16.0)


def seen(nodes: int, ranks: int, local_bsz: int) -> Seen:
    step, compute = TRUE.times(np.array(nodes), np.array(ranks), np.array(local_bsz))
    return Seen(nodes, ranks, local_bsz, float(step), float(compute))


def test_a_step_is_compute_and_synchronisation_that_overlap_in_part() -> None:
    one, compute_one = TRUE.times(np.array(1), np.array(1), np.array(16))
    two, compute_two = TRUE.times(np.array(1), np.array(2), np.array(16))

    assert float(one) == float(compute_one) == pytest.approx(0.1)
    # Exponent 1 + 1: the root of 0.1 and 0.02 squared.
    assert float(compute_two) == pytest.approx(0.1)
    assert float(two) == pytest.approx((0.1**2 + 0.02**2) ** 0.5)


def test_enough_measurements_give_the_model_back() -> None:
    places = [(1, 1, 4), (1, 1, 32), (1, 4, 8), (1, 8, 32), (2, 16, 8), (4, 32, 32)]

    model = fit([seen(*place) for place in places], 16.0, None)

    for place in ((1, 2, 16), (1, 6, 24), (3, 24, 16)):
        expected = seen(*place)
        said, _ = model.times(*(np.array(part) for part in place))
        assert float(said) == pytest.approx(expected.step_s, rel=0.08)


def test_one_measurement_is_kept_to_and_says_something_of_the_rest() -> None:
    model = fit([seen(1, 4, 8)], 16.0, None)

    same, _ = model.times(np.array(1), np.array(4), np.array(8))
    other, _ = model.times(np.array(1), np.array(4), np.array(32))
    assert float(same) == pytest.approx(seen(1, 4, 8).step_s, rel=0.03)
    assert float(same) < float(other) < 4 * float(same)


def test_a_faster_type_computes_faster_over_the_same_network() -> None:
    faster = TRUE.on(16.0, 5.0)

    _, compute = faster.times(np.array(1), np.array(1), np.array(16))
    assert float(compute) == pytest.approx(0.02)
    # The wide network still takes its 0.05 s: half of the slow type's compute.
    step, compute = faster.times(np.array(2), np.array(2), np.array(16))
    assert float(step) == pytest.approx((0.02**2 + 0.05**2) ** 0.5)
