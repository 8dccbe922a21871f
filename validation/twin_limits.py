"""Does the twin keep to what must hold in the limits, whatever the policy?

Time is conserved, an empty cluster gives service time, one device in order of arrival gives what
queueing theory gives, and work is neither lost nor invented by preemption. In a world that breaks,
the best interval between two saves is Young's, the share of time that counts is what closed forms
say where they hold, and where they do not, the twin says so.

python validation/twin_limits.py [--json]
"""

import argparse
import math
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from benchmarks.report import at_least, at_most, finish

from irongrid.domain.job import JobSpec, Resources, Retries, RunTask
from irongrid.scheduler.fifo import Fifo
from irongrid.scheduler.las import Las
from irongrid.twin.arrivals import Arrivals, play
from irongrid.twin.checkpoints import Checkpoints, expected_ettr, young_s
from irongrid.twin.driver import Driver
from irongrid.twin.faults import HOUR_S, FaultModel, JobFailures
from irongrid.twin.fleets import pool
from irongrid.twin.outages import FaultyDriver
from irongrid.twin.truth.futures import RestartCosts, RigidFutures
from irongrid.twin.truth.world import TraceJob
from irongrid.units import NS_PER_S

JOBS = 20_000
SEED = 1


def main() -> int:
    """Compare each limit with its closed form."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    options = parser.parse_args()
    load = os.getloadavg()
    queue = single_server(load_factor=0.7)
    figures: dict[str, Any] = {
        "ideal_wait_s": ideal_cluster(),
        "single_server_wait_s": round(queue[0], 3),
        "pollaczek_khinchine_wait_s": round(queue[1], 3),
        "single_server_error": round(abs(queue[0] / queue[1] - 1), 4),
        "lindley_error_s": queue[2],
        "lost_service_s": preempted_work(),
        **saves(),
    }
    claims = {
        # Enough devices: nobody ever waits.
        "ideal_wait_s": at_most(figures["ideal_wait_s"], 0.0),
        # Lindley's recursion on the same draw is exact, to the nanosecond of virtual time.
        "lindley_error_s": at_most(figures["lindley_error_s"], 1e-3),
        # The mean of one long run is within its own noise of the closed form.
        "single_server_error": at_most(figures["single_server_error"], 0.1),
        "lost_service_s": at_most(figures["lost_service_s"], 1e-6),
        **_claims_of_saves(figures),
    }
    return finish(figures, claims, repeats=1, load=load, as_json=options.json)


def ideal_cluster() -> float:
    """The longest wait of a thousand jobs on more devices than they ever need."""
    rows = _poisson(1_000, mean_gap_s=10.0, mean_service_s=100.0)
    driver = _run(200, Fifo(), rows)
    return float(max(job.account.queued_ns for job in driver.state.jobs.values()) / NS_PER_S)


def single_server(load_factor: float) -> tuple[float, float, float]:
    """Mean wait in one queue: ours, Pollaczek and Khinchine's, and our distance from Lindley's.

    Every job asks for the whole node, so the node is one server. Service is exponential.
    """
    service_s = 100.0
    rows = _poisson(JOBS, mean_gap_s=service_s / load_factor, mean_service_s=service_s, gpus=8)
    driver = _run(1, Fifo(), rows)
    waits = np.array([job.account.queued_ns for job in driver.state.jobs.values()]) / NS_PER_S
    exact_s, wait_s = 0.0, 0.0
    for at in range(1, len(rows)):
        gap_s = rows[at].submit_s - rows[at - 1].submit_s
        wait_s = max(0.0, wait_s + rows[at - 1].service_s - gap_s)
        exact_s = max(exact_s, abs(wait_s - waits[at]))
    closed_s = load_factor / (1 - load_factor) * service_s
    return float(waits.mean()), closed_s, round(float(exact_s), 6)


def preempted_work() -> float:
    """The largest difference between a job's service and what its ranks worked, under las."""
    rows = _poisson(2_000, mean_gap_s=120.0, mean_service_s=900.0, gpus=4)
    driver = _run(2, Las(first_queue_gpu_s=1_000), rows)
    jobs = driver.state.jobs.values()
    assert sum(job.restarts for job in jobs) > 100, "the case preempts"
    return float(
        max(
            abs(job.account.running_ns + job.account.stall_ns - round(row.service_s * NS_PER_S))
            for job, row in zip(jobs, rows, strict=True)
        )
        / NS_PER_S
    )


def saves() -> dict[str, float]:
    """One job that fails by itself, at many intervals between saves."""
    stall_s, restart_s, mttf_s = 60.0, 300.0, 4 * HOUR_S
    young = young_s(stall_s=stall_s, mttf_s=mttf_s)
    ratios = (0.4, 0.6, 0.8, 1.0, 1.25, 1.7, 2.5)
    shares = [ettr(ratio * young, stall_s, restart_s, mttf_s) for ratio in ratios]
    errors, first_order = [], []
    for ratio, share in zip(ratios, shares, strict=True):
        case = {"interval_s": ratio * young, "stall_s": stall_s, "mttf_s": mttf_s}
        errors.append(abs(share / failing_work_ettr(**case, recovery_s=restart_s) - 1))
        first_order.append(abs(share / expected_ettr(**case, recovery_s=restart_s) - 1))
    # Losses are c + b/x + a x in the ratio x, so the best ratio is sqrt(b / a).
    terms = np.array([[1.0, 1 / ratio, ratio] for ratio in ratios])
    _, b, a = np.linalg.lstsq(terms, 1 / np.array(shares), rcond=None)[0]
    # A job that hardly gets anywhere: it fails every 15 minutes and recovers for 10.
    hard = {"interval_s": 330.0, "stall_s": 60.0, "mttf_s": HOUR_S / 4}
    seen = ettr(330.0, 60.0, 600.0, HOUR_S / 4, work_s=100 * HOUR_S)
    return {
        "best_interval_over_young": round(float(np.sqrt(b / a)), 4),
        "ettr_error": round(max(errors), 4),
        "ettr_first_order_error": round(max(first_order), 4),
        "hard_ettr": round(seen, 4),
        "hard_ettr_error": round(abs(seen / failing_work_ettr(**hard, recovery_s=600.0) - 1), 4),
        "hard_ettr_first_order": round(expected_ettr(**hard, recovery_s=600.0), 4),
    }


def _claims_of_saves(figures: dict[str, Any]) -> dict[str, Any]:
    off = abs(figures["best_interval_over_young"] - 1)
    miss = abs(figures["hard_ettr_first_order"] / figures["hard_ettr"] - 1)
    return {
        "best_interval_off_young": at_most(off, 0.10),
        "ettr_error": at_most(figures["ettr_error"], 0.02),
        # The published first order holds where little is lost ...
        "ettr_first_order_error": at_most(figures["ettr_first_order_error"], 0.05),
        "hard_ettr_error": at_most(figures["hard_ettr_error"], 0.05),
        # ... and is of no use where much is: the known miss, pinned.
        "hard_first_order_misses_by": at_least(miss, 0.25),
    }


def failing_work_ettr(
    *, interval_s: float, stall_s: float, recovery_s: float, mttf_s: float
) -> float:
    """The exact share where exponential failures hit work, but neither saves nor recoveries.

    An interval takes (M + u) (e^(T/M) - 1) of work and recoveries on average, and one save.
    """
    tries_s = (mttf_s + recovery_s) * math.expm1(interval_s / mttf_s)
    return interval_s / (tries_s + stall_s)


def ettr(
    interval_s: float,
    stall_s: float,
    restart_s: float,
    mttf_s: float,
    work_s: float = 4_000 * HOUR_S,
) -> float:
    """Share of a job's time in which it did work that counts, in the twin."""
    model = FaultModel(per_node_day=0.0, job_per_h=HOUR_S / mttf_s)
    saving = Checkpoints(interval_s, stall_s, restart_s)
    futures = RigidFutures(RestartCosts())
    failures = JobFailures(model, SEED)
    driver = FaultyDriver(pool(1), futures, Fifo(), iter(()), failures, lambda nodes: saving)
    spec = JobSpec(
        name="job",
        task=RunTask(argv=("true",)),
        workdir="/",
        resources=Resources(sizes=(8,)),
        retries=Retries(max=1_000_000),
    )
    driver.submit(spec, TraceJob("job", 0.0, "group", 8, work_s))
    driver.turn(0)
    play(driver)
    (job,) = driver.state.jobs.values()
    account = job.account
    assert account.counted_ns() == job.ended_at_ns, "every moment is accounted for"
    assert account.running_ns == round(work_s * NS_PER_S), "all work was done, and none twice"
    assert account.lost_ns == driver.lost_ns[job.id], "lost is what the world saw lost"
    # The back-off before a retry is control's own and no part of the closed forms.
    backoffs_ns = account.recovering_ns - job.restarts * round(restart_s * NS_PER_S)
    return account.running_ns / (job.ended_at_ns - backoffs_ns)


def _poisson(
    jobs: int, *, mean_gap_s: float, mean_service_s: float, gpus: int = 1
) -> tuple[TraceJob, ...]:
    draw = np.random.default_rng(SEED)
    submit_s = np.cumsum(draw.exponential(mean_gap_s, jobs))
    service_s = draw.exponential(mean_service_s, jobs)
    return tuple(
        TraceJob(f"job-{at}", float(submit_s[at]), "group", gpus, float(service_s[at]))
        for at in range(jobs)
    )


def _run(nodes: int, policy: Fifo | Las, rows: tuple[TraceJob, ...]) -> Driver:
    driver = Driver(pool(nodes), RigidFutures(RestartCosts()), policy)
    Arrivals(driver, rows)
    play(driver)
    return driver


if __name__ == "__main__":
    sys.exit(main())
