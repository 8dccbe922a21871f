"""Damaged checkpoints: what does not match its checksum is never loaded."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.integration.conftest import Losses
from tests.integration.house import House, kill, until
from tests.integration.jobs import KILL_AT_STEP, training
from tests.integration.verdict import faults


def flip_a_bit_of_a_chunk(manifest: Path) -> None:
    """One bit in the middle of the first shard's first chunk."""
    shard = manifest.parent / json.loads(manifest.read_text())["shards"][0]["file"]
    sha256 = json.loads(shard.read_text())["chunks"][0]["sha256"]
    chunk = manifest.parents[2] / "chunks" / sha256[:2] / sha256
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 0x10
    chunk.write_bytes(content)


def truncate(manifest: Path) -> None:
    """The second half is gone, as after a loss of power on a file system that promises nothing."""
    os.truncate(manifest, manifest.stat().st_size // 2)


@pytest.mark.parametrize(
    "damage", [flip_a_bit_of_a_chunk, pytest.param(truncate, marks=pytest.mark.slow)]
)
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before_it(
    house: House, undisturbed: Losses, damage: Callable[[Path], None]
) -> None:
    job = house.submit(training())
    house.wait_step(job, KILL_AT_STEP)
    # While the server stands still, nobody tells the worker to go on: time to do damage.
    assert house.server is not None
    house.server.send_signal(signal.SIGSTOP)
    ranks = house.wait_ranks(job, 2)
    kill(ranks[1])
    until(lambda: not any(rank.alive for rank in ranks), "the gang has ended")
    (_, before), (epoch, newest) = house.checkpoints(job)[-2:]
    folder = house.job_dir(job) / "checkpoints" / f"epoch-{epoch}" / f"step-{newest}"
    damage(folder / "manifest.json")
    house.server.send_signal(signal.SIGCONT)
    detail = house.reaches(job, "succeeded")
    (failed,) = house.events(job, "checkpoint_failed")

    assert (failed.body["code"], failed.body["step"]) == ("damaged", newest)
    assert "does not match its name" in failed.body["message"] or (
        "is no JSON document" in failed.body["message"]
    )
    assert house.events(job, "ranks_ready")[-1].body["resumed_step"] == before
    assert detail.lost_steps > newest - before > 0
    assert (detail.row.epoch, detail.row.restarts) == (1, 1)
    assert house.losses(job) == undisturbed
    assert faults(house) == []
