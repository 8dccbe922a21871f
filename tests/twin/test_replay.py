"""Recorded traces under baselines whose figures others have measured."""

from collections.abc import Callable
from pathlib import Path

import pytest

from irongrid.errors import SpecError
from irongrid.twin.replay import ReplayOptions, replay
from irongrid.twin.truth.traces import read

VENUS = "traces", "helios-venus", "jobs_vcvGl_2020-09.csv.gz"
PHILLY = "traces", "philly", "jobs_to_2017-11-14.csv.gz"


# Mean JCT, mean queue and p99 queue in whole seconds of an independent replay (its FIFO was
# checked against the Helios authors' simulator): fifo 18,497 / 13,891 / 80,762 and with backfill
# 4,826 / 221 / 2,339.
@pytest.mark.parametrize(
    ("policy", "figures"),
    [("fifo", (18_497, 13_891, 80_762)), ("fifo-backfill", (4_826, 221, 2_339))],
)
def test_venus_comes_out_as_others_measured_it(
    policy: str, figures: tuple[int, int, int], data: Callable[[str], Path]
) -> None:
    path = data("traces").parent.joinpath(*VENUS)

    found = replay(ReplayOptions(dataset="helios-venus", workload=path, policy=policy))

    assert found["jobs"] == 1_452
    assert (
        round(found["avg_jct_s"]),
        round(found["avg_queue_s"]),
        round(found["p99_queue_s"]),
    ) == figures


def test_invariants_hold_after_every_event_of_a_part_of_philly(
    data: Callable[[str], Path],
) -> None:
    path = data("traces").parent.joinpath(*PHILLY)
    options = ReplayOptions(
        dataset="philly", workload=path, policy="fifo-backfill", nodes=20, head=1_500, check=True
    )

    found = replay(options)

    # Each job waits, or not, and then runs for its recorded time: nothing else takes time.
    assert found["jobs"] == 1_500
    assert found["gpu_hours"] == found["service_gpu_hours"]
    assert found["rules"]["history_jobs"] == 5_657


@pytest.mark.slow
@pytest.mark.parametrize(
    ("policy", "figures"),
    [("fifo", (108_784, 97_364, 355_917)), ("fifo-backfill", (20_172, 8_752, 92_578))],
)
def test_the_philly_pool_comes_out_as_others_measured_it(
    policy: str, figures: tuple[int, int, int], data: Callable[[str], Path]
) -> None:
    path = data("traces").parent.joinpath(*PHILLY)

    found = replay(ReplayOptions(dataset="philly", workload=path, policy=policy))

    assert found["jobs"] == 58_826
    assert (
        round(found["avg_jct_s"]),
        round(found["avg_queue_s"]),
        round(found["p99_queue_s"]),
    ) == figures


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("job_id,submit_s,vc,gpus\n", "has no column duration_s"),
        ("job_id,submit_s,vc,gpus,duration_s\n1,0,a,1,soon\n", "'soon' is not a number"),
        ("job_id,submit_s,vc,gpus,duration_s\n1,0,a,0,5\n", "0 GPUs"),
        ("job_id,submit_s,vc,gpus,duration_s\n1,0,a,1,-5\n", "-5 s"),
        ("job_id,submit_s,vc,gpus,duration_s\n1,-9,a,1,5\n", "holds no job to replay"),
    ],
)
def test_a_broken_file_is_refused_with_its_line(text: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "jobs.csv"
    path.write_text(text)

    with pytest.raises(SpecError, match=problem):
        read("philly", path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot be read"):
        read("philly", tmp_path / "none.csv")
