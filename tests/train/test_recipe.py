"""What a run gives: it learns, the same on any number of ranks, and the same after a restart."""

import shutil
from pathlib import Path

import pytest
from tests.train.gangs import Job, Listener, Nest, kill, until

from irongrid.domain.job import CheckpointPolicy
from irongrid.train.checkpoint.layout import MANIFEST, Place, complete_places, read_manifest

# A second or two of steps: a blow in the middle finds ranks also where the test waits for a core.
LONG = 150


def copy_of(job: Job, name: str) -> Job:
    """The same task in another folder."""
    twin = Job(job.folder.parent / name, job.corpus, job.cache, job.checkpoint)
    twin.task = job.task
    return twin


def test_the_loss_goes_down_and_every_step_is_in_the_metrics_once(nest: Nest, job: Job) -> None:
    job.with_(steps=40, eval_every=20)

    assert nest.run(job, 1) == [0]

    lines = job.metrics()
    assert [line["step"] for line in lines] == list(range(1, 41))
    assert sum(job.losses()[-5:]) / 5 < job.losses()[0] - 1.0
    held_out = [line["eval_loss"] for line in lines if "eval_loss" in line]
    assert len(held_out) == 2
    assert held_out[1] < held_out[0]


@pytest.mark.parametrize(
    ("ranks", "changes"),
    [
        (2, {}),
        (4, {}),
        (4, {"dp_replicate": 2}),
        (3, {"global_batch": 12}),
        (2, {"micro_batch": 1}),
    ],
    ids=["2", "4", "hsdp 2x2", "3 with uneven shards", "2 with accumulation"],
)
def test_losses_do_not_depend_on_the_number_of_ranks(
    nest: Nest, job: Job, ranks: int, changes: dict[str, int]
) -> None:
    alone = copy_of(job, "alone").with_(**changes | {"dp_replicate": 1, "micro_batch": None})
    job.with_(**changes)

    assert nest.run(alone, 1) == [0]
    assert nest.run(job, ranks) == [0] * ranks

    assert job.losses() == pytest.approx(alone.losses(), abs=1e-5)
    evaluated = [[line["eval_loss"] for line in j.metrics()[5::6]] for j in (job, alone)]
    assert evaluated[0] == pytest.approx(evaluated[1], abs=1e-5)


@pytest.mark.parametrize("ranks", [1, 2])
def test_half_precision_learns_nearly_the_same(nest: Nest, job: Job, ranks: int) -> None:
    whole = copy_of(job, "fp32")
    assert nest.run(whole, 1) == [0]

    assert nest.run(job.with_(precision="bf16"), ranks) == [0] * ranks

    assert job.losses() != whole.losses()
    assert job.losses() == pytest.approx(whole.losses(), rel=2e-3)


def test_a_run_on_replicas_goes_on_without_them(nest: Nest, job: Job) -> None:
    whole = copy_of(job, "whole")
    assert nest.run(whole, 1) == [0]
    assert nest.run(job.with_(dp_replicate=2), 4) == [0] * 4
    [newest, older] = complete_places(job.checkpoints, 1)
    assert len(read_manifest(job.checkpoints, newest).shards) == 2, "one copy, of two shards"
    (newest.folder(job.checkpoints) / MANIFEST).unlink()

    assert nest.run(job.with_(dp_replicate=1), 2, epoch=2) == [0, 0]

    assert read_manifest(job.checkpoints, Place(2, 12)).parent == (older.epoch, older.step)
    assert job.losses() == pytest.approx(whole.losses(), abs=1e-5)


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_killed_run_goes_on_to_the_same_losses_bit_for_bit(
    nest: Nest, job: Job, ranks: int
) -> None:
    job.checkpoint = CheckpointPolicy(every_steps=7)
    whole = copy_of(job.with_(steps=LONG), "whole")
    assert nest.run(whole, ranks) == [0] * ranks

    pids = nest.start(job, ranks)
    until(lambda: len(job.metrics()) >= 12, "12 steps")
    kill(pids)
    assert nest.wait(pids) == [-9] * ranks
    assert 0 < len(job.metrics()) < LONG
    assert nest.run(job, ranks, generation=2) == [0] * ranks

    assert job.losses() == whole.losses()
    assert [line["step"] for line in job.metrics()] == list(range(1, LONG + 1))
    assert job.metrics()[-1]["eval_loss"] == whole.metrics()[-1]["eval_loss"]


def test_the_rank_that_is_left_says_that_it_lost_another(nest: Nest, job: Job) -> None:
    pids = nest.start(job.with_(steps=10_000), 2)
    until(lambda: len(job.metrics()) >= 2, "2 steps")

    kill(pids[1:])

    assert nest.wait(pids) == [76, -9]
    assert "lost another rank" in nest.output()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (4, 2),
        (2, 3),
        pytest.param(1, 2, marks=pytest.mark.slow),
        pytest.param(3, 1, marks=pytest.mark.slow),
    ],
)
def test_a_stopped_run_goes_on_with_another_number_of_ranks(
    nest: Nest, job: Job, listener: Listener, before: int, after: int
) -> None:
    job.checkpoint = CheckpointPolicy(every_steps=10)
    whole = copy_of(job.with_(global_batch=12, steps=LONG), "whole")
    assert nest.run(whole, 1) == [0]

    pids = nest.start(job, before, extra=listener.environment())
    until(lambda: len(job.metrics()) >= 3, "3 steps")
    listener.tell({"t": "stop", "save": True})
    assert nest.wait(pids) == [75] * before
    stopped_at = len(job.metrics())
    assert stopped_at < LONG
    assert listener.heard("checkpoint")[-1]["step"] == stopped_at
    assert nest.run(job, after, epoch=2) == [0] * after

    assert job.losses() == pytest.approx(whole.losses(), abs=1e-5)
    latest = complete_places(job.checkpoints, 9)[0]
    assert latest == Place(2, LONG)
    assert read_manifest(job.checkpoints, latest).parent == (1, stopped_at)


def test_a_stop_without_a_save_ends_at_once(nest: Nest, job: Job, listener: Listener) -> None:
    job.checkpoint = CheckpointPolicy(every_steps=10_000)
    pids = nest.start(job.with_(steps=10_000), 2, extra=listener.environment())
    until(lambda: len(job.metrics()) >= 3, "3 steps")

    listener.tell({"t": "stop", "save": False})

    assert nest.wait(pids) == [75, 75]
    assert complete_places(job.checkpoints, 9) == []


def test_ranks_save_when_asked_and_tell_where_they_are(
    nest: Nest, job: Job, listener: Listener
) -> None:
    job.checkpoint = CheckpointPolicy(every_steps=10_000)
    pids = nest.start(job.with_(steps=10_000), 2, extra=listener.environment())
    until(lambda: len(listener.heard("progress")) >= 6, "progress of both ranks")

    listener.tell({"t": "checkpoint"})
    until(lambda: bool(listener.heard("checkpoint")), "a checkpoint")
    listener.tell({"t": "stop", "save": False})
    nest.wait(pids)

    [told] = listener.heard("checkpoint")
    saved = read_manifest(job.checkpoints, Place(1, told["step"]))
    # Weights and two moments, fp32, once each over both ranks; norms' odd bytes are padded.
    assert saved.size_bytes >= 12 * job.task.model.parameters
    assert told["size_bytes"] == saved.size_bytes
    assert told["written_bytes"] == saved.size_bytes
    assert told["age_ns"] > 0
    assert told["stall_ns"] > 0
    phases = [m["name"] for m in listener.heard("phase")]
    assert phases[:2] == ["build", "build"]
    assert {"load", "first_step", "step"} <= set(phases)
    assert [m["resumed_step"] for m in listener.heard("ready")] == [0, 0]


def test_a_wrong_input_is_named_and_ends_with_2(nest: Nest, job: Job) -> None:
    assert nest.run(job.with_(global_batch=7), 2) == [2, 2]

    assert "7 samples do not divide by 2 ranks" in nest.output()


def test_changed_text_files_are_refused_after_the_first_start(
    nest: Nest, job: Job, tmp_path: Path
) -> None:
    own = tmp_path / "own.txt"
    own.write_text("one two three four five six seven\n" * 400)
    job = Job(tmp_path / "job", own, tmp_path / "cache").with_(steps=2)
    assert nest.run(job, 1) == [0]

    own.write_text("another text altogether, line by line\n" * 400)
    assert nest.run(job.with_(steps=4), 1, generation=2) == [0], "the cache still has the old one"
    for folder in (job.cache / "tokens").iterdir():
        shutil.rmtree(folder)
    assert nest.run(job.with_(steps=6), 1, generation=3) == [2]

    assert "not those of the job's first start" in nest.output()
