"""Does the twin keep to what must hold in the limits, whatever the policy?

Time is conserved, an empty cluster gives service time, one device in order of arrival gives what
queueing theory gives, and work is neither lost nor invented by preemption.

python validation/twin_limits.py [--json]
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from benchmarks.report import at_most, finish

from irongrid.scheduler.fifo import Fifo
from irongrid.scheduler.las import Las
from irongrid.twin.arrivals import Arrivals, play
from irongrid.twin.driver import Driver
from irongrid.twin.fleets import pool
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
    }
    claims = {
        # Enough devices: nobody ever waits.
        "ideal_wait_s": at_most(figures["ideal_wait_s"], 0.0),
        # Lindley's recursion on the same draw is exact, to the nanosecond of virtual time.
        "lindley_error_s": at_most(figures["lindley_error_s"], 1e-3),
        # The mean of one long run is within its own noise of the closed form.
        "single_server_error": at_most(figures["single_server_error"], 0.1),
        "lost_service_s": at_most(figures["lost_service_s"], 1e-6),
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
