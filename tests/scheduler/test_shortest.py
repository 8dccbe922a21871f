"""Shortest first, known or predicted."""

from tests.twin.worlds import Small, trace

from irongrid.scheduler.order import Waiting
from irongrid.scheduler.qssf import Qssf
from irongrid.scheduler.shortest import Shortest


def shortest(known: dict[str, float], *, times_gpus: bool, backfill: bool = False) -> Shortest:
    def service_s(job: Waiting) -> float:
        return known[job.spec.name]

    return Shortest("shortest", service_s, times_gpus=times_gpus, backfill=backfill)


def test_the_job_that_is_said_to_be_shortest_goes_first() -> None:
    rows = trace((0, 8, 100), (1, 8, 500), (2, 8, 50))
    world = Small(1, Shortest("x", lambda job: -job.submitted_at_ns, False, False), rows)

    # The later job counts as shorter here, whatever it really takes.
    assert world.ends_s == [100, 650, 150]


def test_gpu_time_and_time_order_differently() -> None:
    # 60 s on 4 GPUs are less time and more GPU time than 100 s on one.
    rows = trace((0, 8, 100), (1, 1, 100), (2, 8, 60))
    known = {"group-8": 60.0, "group-1": 100.0}

    assert Small(1, shortest(known, times_gpus=False), rows).ends_s == [100, 260, 160]
    assert Small(1, shortest(known, times_gpus=True), rows).ends_s == [100, 200, 260]


def test_backfill_passes_a_job_that_does_not_fit() -> None:
    rows = trace((0, 6, 100), (1, 4, 10), (2, 2, 50))
    known = {"group-6": 0.0, "group-4": 1.0, "group-2": 2.0}

    assert Small(1, shortest(known, times_gpus=False), rows).ends_s == [100, 110, 150]
    assert Small(1, shortest(known, times_gpus=False, backfill=True), rows).ends_s == [100, 110, 52]


def test_qssf_moves_a_waiting_job_when_the_forecast_for_its_like_changes() -> None:
    # Both wait behind a gang of eight; the forecast for the first changes when that has ended.
    forecast = {"group-8": 0.0, "group-4": 10.0, "group-6": 20.0}
    rows = trace((0, 8, 100), (1, 4, 30), (2, 6, 30))
    assert Small(1, Qssf(lambda group, ranks: forecast[group], False), rows).ends_s == [
        *(100, 130, 160),
    ]

    asked: list[str] = []

    def changing_s(group: str, ranks: int) -> float:
        asked.append(group)
        return forecast[group] if len(asked) < 4 else -forecast[group]

    assert Small(1, Qssf(changing_s, False), rows).ends_s == [100, 160, 130]
