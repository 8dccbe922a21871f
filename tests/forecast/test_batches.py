"""Batches that an adaptive job may train with."""

import numpy as np

from irongrid.domain.job import AdaptiveBatch, LocalBatch
from irongrid.forecast.batches import batches_of

LIMITS = AdaptiveBatch(
    application="net",
    init_batch_size=32,
    max_batch_size=512,
    local=(LocalBatch(device_type="a", least=8, most=64),),
    restart_s=30.0,
)


def test_batches_stay_within_all_limits() -> None:
    kind_C = np.array([0, 0, 0, 0])
    devices_C = np.array([1, 2, 8, 64])

    found = batches_of(LIMITS, ("a",), kind_C, devices_C)

    assert (found.local_CS >= 8).all()
    assert (found.local_CS <= 64).all()
    assert (found.global_CS <= 512).all()
    assert (found.global_CS >= 32).all()
    # 64 ranks with 8 samples each is all that the largest batch allows.
    assert set(found.global_CS[3].tolist()) == {512}
    assert found.global_CS[1, 0] == 32
    assert found.global_CS[1, -1] == 512


def test_one_device_needs_two_passes_beyond_the_initial_batch() -> None:
    found = batches_of(LIMITS, ("a",), np.array([0]), np.array([1]))

    assert found.accum_CS[0, 0] == 0
    assert (found.accum_CS[0, found.global_CS[0] > 32] >= 1).all()


def test_a_type_that_is_not_named_runs_nothing() -> None:
    found = batches_of(LIMITS, ("b",), np.array([0]), np.array([1]))

    assert (found.local_CS == 0).all()


def test_more_devices_than_samples_run_nothing() -> None:
    found = batches_of(LIMITS, ("a",), np.array([0]), np.array([65]))

    assert (found.local_CS == 0).all()
