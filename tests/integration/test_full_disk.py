"""Full disks: training goes on without checkpoints, and the server without new jobs."""

import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.integration.conftest import Losses, OpenHouse
from tests.integration.house import freeze, thaw, until
from tests.integration.jobs import STEPS, command, training
from tests.integration.verdict import faults

pytestmark = pytest.mark.slow

Mount = Callable[[Path, int], None]
MIB = 2**20
# Checkpoints that a job keeps.
KEPT = 2


class Ballast:
    """A file that takes all the space there is."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / "ballast"

    def take(self) -> None:
        """Take what is free, to the last block, also from under the hands of others."""
        with self._path.open("ab") as file:
            while (free := os.statvfs(self._folder)).f_bavail:
                with contextlib.suppress(OSError):  # Somebody was faster: there is less now.
                    end = file.seek(0, os.SEEK_END)
                    os.posix_fallocate(file.fileno(), end, free.f_bavail * free.f_frsize)

    def drop(self) -> None:
        """Give it all back."""
        self._path.unlink()


def being_saved(checkpoints: Path) -> bool:
    """Whether a save is under way, or an old checkpoint is about to make room."""
    folders = list(checkpoints.glob("epoch-*/step-*"))
    unfinished = [folder for folder in folders if not (folder / "manifest.json").exists()]
    return bool(unfinished) or len(folders) > KEPT or bool(list(checkpoints.rglob(".*.tmp")))


def test_training_outlasts_a_full_disk_and_saves_its_last_step_once_there_is_space(
    open_house: OpenHouse, small_disk: Mount, undisturbed: Losses
) -> None:
    house = open_house(up=False)
    small_disk(house.home.path / "jobs", 16 * MIB)
    house.up()
    job = house.submit(training())
    house.wait_checkpoint(job, 20)
    ballast = Ballast(house.home.path / "jobs")

    def cannot_save() -> bool:
        """Take everything between two saves: then none can begin, and so none makes room."""
        ranks = house.ranks(job)
        freeze(*ranks)
        if not being_saved(house.job_dir(job) / "checkpoints"):
            ballast.take()
        thaw(*ranks)
        return bool(house.events(job, "checkpoint_failed"))

    until(cannot_save, lambda: house.show(job))
    house.wait_event(job, "checkpoint_failed", step=STEPS)
    failed = house.events(job, "checkpoint_failed")
    on_disk, full = house.checkpoints(job), house.job(job)
    ballast.drop()
    detail = house.reaches(job, "succeeded")

    assert {row.body["code"] for row in failed} == {"disk_full"}
    assert "No space left on device" in failed[0].body["message"]
    assert full.row.state == "running"
    assert full.checkpoint is not None
    assert (full.checkpoint.epoch, full.checkpoint.step) in on_disk
    assert (detail.row.restarts, detail.lost_steps) == (0, 0)
    assert detail.checkpoint is not None
    assert detail.checkpoint.step == STEPS
    # Lines for which there was no space are missing; all others are right.
    assert set(house.losses(job)) <= set(undisturbed)
    assert faults(house) == []


def test_a_full_disk_of_the_store_turns_new_jobs_away_and_keeps_what_workers_have_to_say(
    open_house: OpenHouse, small_disk: Mount, tmp_path: Path
) -> None:
    house = open_house(up=False)
    cache = (house.home.path / "cache").readlink()
    small_disk(house.home.path, 8 * MIB)
    (house.home.path / "cache").symlink_to(cache)
    house.up()
    waits = command("while [ ! -e go ]; do sleep 0.05; done", workdir=str(tmp_path))
    job = house.submit(waits)
    house.reaches(job, "running")
    ballast = Ballast(house.home.path)
    job_file = tmp_path / "job.json"
    job_file.write_text(json.dumps(command(f"true {'x' * 20_000}")))
    accepted = []

    answers = []

    def is_refused() -> bool:
        ballast.take()
        done = house.run_cli("submit", str(job_file), "--json")
        answers.append((done.returncode, json.loads(done.stdout)))
        if done.returncode == 0:
            accepted.append(answers[-1][1]["job_id"])
        return done.returncode != 0

    until(is_refused, "a submit is refused")
    exit_code, answer = answers[-1]
    refusal = answer["error"]
    ballast.take()
    (tmp_path / "go").touch()
    until(lambda: not house.ranks(job), "the job has ended")
    still = house.client.jobs(limit=100)
    ballast.drop()
    detail = house.reaches(job, "succeeded")
    late = house.answer("submit", str(job_file))["job_id"]
    for each in (*accepted, late):
        house.reaches(each, "succeeded")

    assert exit_code == 3
    assert "nothing was accepted" in refusal["problem"]
    assert "is full: free some space" in refusal["problem"]
    assert "with the same key" in refusal["fix"]
    assert {row.job_id for row in still.jobs} == {job, *accepted}
    assert next(row.state for row in still.jobs if row.job_id == job) == "running"
    assert (detail.row.epoch, detail.row.restarts) == (1, 0)
    assert faults(house) == []
