"""Checkpoints under real ranks: damaged chunks, a full disk, an epoch that was overtaken."""

from pathlib import Path

from tests.train.gangs import Job, Listener, Nest, fill, kill, until

from irongrid.domain.job import CheckpointPolicy
from irongrid.train.checkpoint.chunks import ChunkStore
from irongrid.train.checkpoint.layout import complete_places, read_indexes, read_manifest
from irongrid.train.checkpoint.writer import begin_epoch


def test_on_a_full_disk_training_goes_on_and_saves_again_when_there_is_space(
    nest: Nest, job: Job, listener: Listener, small_disk: Path
) -> None:
    job.folder.mkdir()
    job.checkpoints.symlink_to(small_disk)
    pids = nest.start(job.with_(steps=100_000), 2, extra=listener.environment())
    until(lambda: bool(listener.heard("checkpoint")), "a first checkpoint")

    def failed_to_save() -> bool:
        fill(small_disk / "filler")  # Again and again: each save makes room when it ends.
        return bool(listener.heard("checkpoint_failed"))

    until(failed_to_save, "a failed checkpoint")
    fill(small_disk / "filler")
    failed = listener.heard("checkpoint_failed")[0]
    steps = len(job.metrics())
    until(lambda: len(job.metrics()) > steps + 10, "more steps")
    standing = complete_places(small_disk, 1)
    assert failed["code"] == "disk_full"
    assert "No space left" in failed["message"]
    assert standing
    for place in standing:
        for index in read_indexes(small_disk, read_manifest(small_disk, place)):
            for chunk in index.chunks:
                assert ChunkStore(small_disk / "chunks").read(chunk)

    (small_disk / "filler").unlink()
    saved = len(listener.heard("checkpoint"))
    until(lambda: len(listener.heard("checkpoint")) > saved, "a checkpoint after the space is back")
    kill(pids)
    assert nest.wait(pids) == [-9, -9]


def test_a_flipped_bit_is_reported_and_the_run_goes_on_from_the_checkpoint_before(
    nest: Nest, job: Job, listener: Listener
) -> None:
    job.checkpoint = CheckpointPolicy(every_steps=4, keep=3)
    assert nest.run(job, 2) == [0, 0]
    losses = job.losses()
    # A slow disk may have put the save of step 8 off, so the files say which one is before.
    newest, before = complete_places(job.checkpoints, 1)[:2]
    # Rank 1's chunk: rank 0 finds nothing wrong by itself.
    index = read_indexes(job.checkpoints, read_manifest(job.checkpoints, newest))[1]
    chunk = ChunkStore(job.checkpoints / "chunks").path(index.chunks[0].sha256)
    content = bytearray(chunk.read_bytes())
    content[100] ^= 16
    chunk.write_bytes(content)

    assert nest.run(job, 2, generation=2, extra=listener.environment()) == [0, 0]

    [damaged] = listener.heard("checkpoint_failed")
    assert (damaged["step"], damaged["code"]) == (12, "damaged")
    assert "does not match its name" in damaged["message"]
    assert [m["resumed_step"] for m in listener.heard("ready")] == [before.step] * 2
    assert job.losses() == losses
    # The same state has the same chunks: the damaged one has been written anew.
    assert nest.run(job, 2, generation=3, extra=listener.environment()) == [0, 0]
    assert [m["resumed_step"] for m in listener.heard("ready")][2:] == [12, 12]


def test_an_overtaken_epoch_stops_and_says_that_it_is_fenced(
    nest: Nest, job: Job, listener: Listener
) -> None:
    pids = nest.start(job.with_(steps=100_000), 1, extra=listener.environment())
    until(lambda: bool(listener.heard("checkpoint")), "a first checkpoint")

    begin_epoch(job.checkpoints, 2)

    assert nest.wait(pids) == [75]
    assert listener.heard("checkpoint_failed")[-1]["code"] == "fenced"
    assert all(place.epoch == 1 for place in complete_places(job.checkpoints, 9))
