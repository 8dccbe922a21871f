"""Outlooks from reports: what a job says itself, and what jobs like it have said."""

import numpy as np
import pytest

from irongrid.domain.event import Measured
from irongrid.domain.ids import JobId, NodeId
from irongrid.domain.job import AdaptiveBatch, LocalBatch
from irongrid.forecast.fleet import FleetSizes
from irongrid.forecast.goodputs import Goodputs

ONE, OTHER = JobId("one"), JobId("other")
LIMITS = AdaptiveBatch(
    application="net",
    init_batch_size=32,
    max_batch_size=256,
    local=tuple(LocalBatch(device_type=kind, least=8, most=64) for kind in ("fast", "slow")),
    restart_s=30.0,
)
# Up to eight devices of each of two kinds, of which one is twice as fast by its data sheet.
FLEET = FleetSizes(
    kinds=("fast", "slow"),
    kind_C=np.repeat([0, 1], 8),
    devices_C=np.tile(np.arange(1, 9), 2),
    nodes_C=np.ones(16, dtype=int),
    speed={"fast": 2.0, "slow": 1.0},
)
NOISE = 3.0


def report(job: JobId, *, progress: float = 0.0, epoch: int = 0, step_s: float = 0.1) -> Measured:
    """From one slow device with 32 samples: a step of progress in each step."""
    return Measured(
        job=job,
        epoch=1,
        generation=1,
        node=NodeId("n"),
        n=1,
        local_bsz=32,
        accum_steps=0,
        step_s=step_s,
        sync_s=0.0,
        grad_sqr=1.0,
        grad_var=NOISE,
        progress=progress,
        data_epochs=epoch,
    )


def goodputs(*, shared: bool) -> Goodputs:
    found = Goodputs(FLEET, shared=shared)
    for job in (ONE, OTHER):
        found.submitted(job, LIMITS)
    return found


def test_before_any_report_only_data_sheets_count() -> None:
    left_s_C = goodputs(shared=True).left_s_C(ONE, 0)

    assert left_s_C[8] == pytest.approx(2 * left_s_C[0])
    assert (np.diff(left_s_C[:8]) < 0).all()


@pytest.mark.parametrize("shared", [False, True])
def test_others_learn_from_a_report_only_where_jobs_share(shared: bool) -> None:
    found = goodputs(shared=shared)
    before_C = found.left_s_C(OTHER, 0)

    found.measured(report(ONE), "slow", 1, 1, 0)

    assert (found.run_ranks(OTHER) == 1) is shared
    assert (not np.array_equal(found.left_s_C(OTHER, 0), before_C)) is shared
    assert (found.batch(OTHER, "slow", 4) != (8, 0)) is shared


def test_a_job_of_unknown_length_lasts_as_long_again() -> None:
    found = goodputs(shared=False)
    found.measured(report(ONE), "slow", 1, 1, 0)
    at_first_s = found.left_s_C(ONE, 0)[8]

    # It makes ten steps of progress a second: 1,000 s later it is 10,000 steps further.
    later_s = found.left_s_C(ONE, 1000 * 10**9)[8]

    best = found._tracks[ONE].family.rate_CS(np.full(1, NOISE))[8].max()
    assert later_s - at_first_s == pytest.approx(10_000 / best)
    assert found.sure(ONE) < 1


def test_once_a_job_has_ended_its_like_know_what_is_left() -> None:
    found = goodputs(shared=True)
    for epoch in range(4):
        found.measured(report(ONE, progress=100.0 * epoch, epoch=epoch), "slow", 1, 1, 0)
    found.finished(ONE)
    found.measured(report(OTHER, progress=300.0, epoch=3), "slow", 1, 1, 0)

    # Four epochs of 100 steps are all there is, and one of them is left.
    assert found.sure(OTHER) == 1
    best = found._tracks[OTHER].family.rate_CS(np.full(1, NOISE))[8].max()
    assert found.left_s_C(OTHER, 0)[8] == pytest.approx(100 / best, rel=0.01)


def test_a_type_that_was_never_run_on_is_as_much_faster_as_its_data_sheet_says() -> None:
    found = goodputs(shared=False)
    found.measured(report(ONE), "slow", 1, 1, 0)

    left_s_C = found.left_s_C(ONE, 0)

    assert left_s_C[0] == pytest.approx(left_s_C[8] / 2, rel=0.05)


def test_the_first_batch_is_the_smallest_and_then_goodput_decides() -> None:
    found = goodputs(shared=False)
    assert found.batch(ONE, "slow", 4) == (8, 0)

    found.measured(report(ONE), "slow", 1, 1, 0)

    # With noise of three times the signal, and a part of each step that is fixed, larger pays.
    local_bsz, accum_steps = found.batch(ONE, "slow", 4)
    assert local_bsz * (accum_steps + 1) > 8
