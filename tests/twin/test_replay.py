"""Recorded traces under baselines whose figures others have measured."""

from collections.abc import Callable
from pathlib import Path

import pytest

from irongrid.errors import SpecError
from irongrid.twin.replay import ReplayOptions, replay
from irongrid.twin.truth.datasets import read

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


def test_pollux_under_las_comes_close_to_the_authors_tiresias(
    data: Callable[[str], Path],
) -> None:
    """Measured with the authors' simulator on workload 1: see data/pollux/measured-results.csv.

    Mean JCT 2,473.6 s, p99 48,124 s, makespan 83,644 s, 7.859 GPU-hours and 0.19 restarts per job.
    It decides in rounds of 60 s, so that each start waits for half a one on average; we decide on
    events. The rest differs by the order inside a queue.
    """
    path = data("pollux") / "load" / "workload-1.csv"
    options = ReplayOptions(dataset="pollux", workload=path, policy="las-16h", check=True)

    found = replay(options)

    assert found["jobs"] == 160
    assert 0.94 * 2_473.6 < found["avg_jct_s"] < 2_473.6
    assert found["p99_jct_s"] == pytest.approx(48_124, rel=0.01)
    assert found["makespan_s"] == pytest.approx(83_644, rel=0.01)
    assert found["gpu_hours"] / 160 == pytest.approx(7.859, rel=0.01)
    assert found["restarts_per_job"] == pytest.approx(0.19, abs=0.02)


def test_sia_jobs_run_at_the_speed_of_what_they_get(data: Callable[[str], Path]) -> None:
    path = data("sia") / "workloads" / "philly" / "workload-1.csv"
    options = ReplayOptions(dataset="sia", workload=path, policy="fifo-backfill", check=True)

    found = replay(options)

    assert found["jobs"] == 160
    # Each job starts once and pays its delay on all its devices: nothing else is not work.
    assert found["restarts_per_job"] == 0
    assert found["gpu_hours"] == pytest.approx(
        found["service_gpu_hours"] + found["restart_gpu_hours"], abs=0.01
    )


def test_no_oracle_knows_what_depends_on_placements(data: Callable[[str], Path]) -> None:
    path = data("sia") / "workloads" / "philly" / "workload-1.csv"

    with pytest.raises(SpecError, match="no oracle knows"):
        replay(ReplayOptions(dataset="sia", workload=path, policy="srtf-oracle"))


def test_a_mixed_cluster_has_its_own_number_of_nodes(data: Callable[[str], Path]) -> None:
    path = data("sia") / "workloads" / "philly" / "workload-1.csv"

    with pytest.raises(SpecError, match="a mixed cluster of 11 nodes"):
        replay(ReplayOptions(dataset="sia", workload=path, policy="fifo", nodes=12))


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
