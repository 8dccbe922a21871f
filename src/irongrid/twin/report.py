"""What a replay says of a policy, in the field's own figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from irongrid.control.state import Job
from irongrid.twin.usage import Used
from irongrid.units import NS_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """One job that has ended, in seconds of virtual time.

    Attributes:
        service_s: its work, without waits and restarts.
        held_gpu_s: devices times the time for which it held them.
    """

    submit_s: float
    end_s: float
    service_s: float
    gpus: int
    preemptions: int
    held_gpu_s: float
    restart_gpu_s: float
    service_gpu_s: float


def ended(job: Job, service_s: float, used: Used | None = None) -> Ended:
    """A job's row, from its own account of time.

    Args:
        used: what it held, where its size has changed over time.
    """
    gpus = job.spec.resources.sizes[0]
    account = job.account
    held_ns = account.counted_ns() - account.queued_ns - account.paused_ns
    return Ended(
        submit_s=job.submitted_at_ns / NS_PER_S,
        end_s=job.ended_at_ns / NS_PER_S,
        service_s=service_s,
        gpus=gpus,
        preemptions=job.restarts if used is None else used.restarts,
        held_gpu_s=gpus * held_ns / NS_PER_S if used is None else used.held_s,
        restart_gpu_s=gpus * account.starting_ns / NS_PER_S if used is None else used.starting_s,
        service_gpu_s=gpus * service_s if used is None else used.held_s - used.starting_s,
    )


def summary(rows: Sequence[Ended]) -> dict[str, Any]:
    """Figures over all jobs. p99 is element floor(0.99 n) of the sorted values."""
    submit = np.array([row.submit_s for row in rows])
    end = np.array([row.end_s for row in rows])
    service = np.array([row.service_s for row in rows])
    jct = end - submit
    queue = jct - service
    gpu_h = sum(row.held_gpu_s for row in rows) / 3600
    return {
        "jobs": len(rows),
        "avg_jct_s": round(float(jct.mean()), 3),
        "median_jct_s": round(float(np.median(jct)), 3),
        "p99_jct_s": round(p99(jct), 3),
        "makespan_s": round(float(end.max() - submit.min()), 3),
        "gpu_hours": round(gpu_h, 3),
        "restarts_per_job": round(sum(row.preemptions for row in rows) / len(rows), 4),
        "restart_gpu_hours": round(sum(row.restart_gpu_s for row in rows) / 3600, 3),
        "avg_queue_s": round(float(queue.mean()), 3),
        "p99_queue_s": round(p99(queue), 3),
        "max_queue_s": round(float(queue.max()), 3),
        "queued_over_60_s_pct": round(float((queue > 60).mean() * 100), 3),
        "mean_slowdown": round(float((jct / np.maximum(service, 10.0)).mean()), 3),
        "preemptions_per_job": round(sum(row.preemptions for row in rows) / len(rows), 4),
        "service_gpu_hours": round(sum(row.service_gpu_s for row in rows) / 3600, 3),
    }


def decision_ms(seconds: Sequence[float]) -> dict[str, float]:
    """How long rounds took."""
    if not seconds:
        return {"mean": 0.0, "p50": 0.0, "p95": 0.0, "max": 0.0}
    ms = np.array(seconds) * 1e3
    return {
        "mean": round(float(ms.mean()), 4),
        "p50": round(float(np.percentile(ms, 50)), 4),
        "p95": round(float(np.percentile(ms, 95)), 4),
        "max": round(float(ms.max()), 3),
    }


def utilisation(held_device_s: float, devices: int, window_s: float) -> float:
    """Share of all device time of a window that was held."""
    return round(held_device_s / (devices * window_s), 5) if window_s else 0.0


def fairness(rho: np.ndarray | None) -> dict[str, float | None]:
    """Finish-time fairness; None where nothing says what a fair share would have given."""
    if rho is None:
        return {"rho_mean": None, "rho_max": None, "rho_above_1_pct": None}
    return {
        "rho_mean": round(float(rho.mean()), 4),
        "rho_max": round(float(rho.max()), 4),
        "rho_above_1_pct": round(float((rho > 1).mean() * 100), 2),
    }


def p99(values: np.ndarray) -> float:
    """Element floor(0.99 n) of the sorted values."""
    return float(np.sort(values)[min(int(0.99 * len(values)), len(values) - 1)])
