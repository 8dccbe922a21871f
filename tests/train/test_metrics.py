"""Each step stands in metrics.jsonl once, also after a crash in the middle of a line."""

from pathlib import Path

import pytest
from tests.train.gangs import fill

from irongrid.train.metrics import MetricsFile, read_metrics


@pytest.mark.parametrize("torn", ["", '{"step":4,"lo', "\x00\x00\x00\n"])
def test_a_resumed_run_drops_what_it_does_again(tmp_path: Path, torn: str) -> None:
    path = tmp_path / "metrics.jsonl"
    first = MetricsFile(path, resumed_step=0)
    for step in (1, 2, 3):
        first.write({"step": step, "loss": 1.0 / step})
    with path.open("a") as out:
        out.write(torn)

    again = MetricsFile(path, resumed_step=2)
    again.write({"step": 3, "loss": 0.5})

    assert (first.reached_step, again.reached_step) == (0, 3)
    assert read_metrics(path) == [
        {"step": 1, "loss": 1.0},
        {"step": 2, "loss": 0.5},
        {"step": 3, "loss": 0.5},
    ]


def test_a_writer_that_was_given_up_and_wakes_again_writes_where_nobody_reads(
    tmp_path: Path,
) -> None:
    path = tmp_path / "metrics.jsonl"
    old = MetricsFile(path, 0)
    old.write({"step": 1, "loss": 1.0})
    new = MetricsFile(path, 1)

    old.write({"step": 2, "loss": 9.0})
    new.write({"step": 2, "loss": 0.5})

    assert [line["loss"] for line in read_metrics(path)] == [1.0, 0.5]
    assert list(tmp_path.iterdir()) == [path]


def test_figures_keep_every_bit(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    MetricsFile(path, 0).write({"step": 1, "loss": 0.1 + 0.2})

    assert read_metrics(path)[0]["loss"] == 0.1 + 0.2


def test_on_a_full_disk_lines_are_lost_and_the_file_stays_whole(small_disk: Path) -> None:
    metrics = MetricsFile(small_disk / "metrics.jsonl", 0)
    metrics.write({"step": 1, "loss": 1.0})
    fill(small_disk / "filler")

    for step in range(2, 200):
        metrics.write({"step": step, "loss": 1.0})
    (small_disk / "filler").unlink()
    metrics.write({"step": 200, "loss": 1.0})

    steps = [line["step"] for line in read_metrics(small_disk / "metrics.jsonl")]
    assert steps[0] == 1
    assert steps[-1] == 200
    assert len(steps) < 200
