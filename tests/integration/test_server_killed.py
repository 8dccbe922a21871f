"""kill -9 of the server: what runs goes on, and the next server takes it back as it finds it."""

from pathlib import Path

import pytest
from tests.integration.conftest import Losses, OpenHouse
from tests.integration.house import House, freeze, kill, thaw, until
from tests.integration.jobs import command, training
from tests.integration.verdict import faults

# A rank writes a line when it starts, then waits for its file; `exit` is what is in that file.
WAITS = (
    'echo "$IRONGRID_ATTEMPT $RANK $IRONGRID_GENERATION" >> starts; '
    "until [ -s go.$IRONGRID_JOB ]; do sleep 0.05; done; exit $(cat go.$IRONGRID_JOB)"
)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def home(request: pytest.FixtureRequest, open_house: OpenHouse) -> House:
    """A home of four devices on two nodes, once per kind of store."""
    store = ""
    if request.param == "postgresql":
        store = str(request.getfixturevalue("postgres_target"))
    return open_house(nodes="2x2", store=store)


def test_jobs_run_end_and_fail_without_a_server_and_the_next_one_knows_all_of_it(
    home: House, tmp_path: Path
) -> None:
    def waits(count: int = 1) -> str:
        return home.submit(command(WAITS, count=count, workdir=str(tmp_path)))

    def starts(job: str) -> list[str]:
        lines = (tmp_path / "starts").read_text().splitlines()
        return sorted(line for line in lines if line.startswith(job))

    runs_on, ends, dies = waits(count=2), waits(), waits()
    for job in (runs_on, ends, dies):
        home.reaches(job, "running")
    until(lambda: len(starts("j")) == 4, "every rank has started")
    before = [home.worker(runs_on), *home.ranks(runs_on)]
    home.kill_server()
    (tmp_path / f"go.{ends}").write_text("0")
    (victim,) = home.ranks(dies)
    kill(victim)
    until(lambda: not home.ranks(ends) and not victim.alive, "both ranks have ended")
    home.up()
    ended = home.reaches(ends, "succeeded")
    failed = home.wait_event(dies, "gang_failed")
    until(lambda: len(starts(dies)) == 2, "the killed rank runs again")
    still = home.job(runs_on)
    adopted_as = [home.worker(runs_on), *home.ranks(runs_on)]
    (tmp_path / f"go.{dies}").write_text("0")
    (tmp_path / f"go.{runs_on}").write_text("0")
    recovered = home.reaches(dies, "succeeded")
    adopted = home.reaches(runs_on, "succeeded")

    assert still.row.state == "running"
    assert adopted_as == before
    assert starts(runs_on) == [f"{runs_on}.1 0 1", f"{runs_on}.1 1 1"]
    assert starts(ends) == [f"{ends}.1 0 1"]
    assert starts(dies) == [f"{dies}.1 0 1", f"{dies}.1 0 2"]
    assert (ended.row.epoch, ended.row.restarts) == (1, 0)
    assert (adopted.row.epoch, adopted.row.restarts) == (1, 0)
    assert (recovered.row.epoch, recovered.row.restarts) == (1, 1)
    assert failed.body["failure"]["signal"] == "SIGKILL"
    assert recovered.time_account_s.recovering_s > 0
    assert adopted.time_account_s.recovering_s == 0
    assert faults(home) == []


@pytest.mark.slow
def test_training_goes_on_through_three_killed_servers_as_if_nothing_had_been(
    home: House, undisturbed: Losses
) -> None:
    job = home.submit(training())
    for step in (20, 45, 70):
        home.wait_step(job, step)
        ranks = home.ranks(job)
        freeze(*ranks)  # So that there is something to come back to, however slow the start.
        home.kill_server()
        home.up()
        assert home.job(job).row.state == "running"
        assert home.ranks(job) == ranks
        thaw(*ranks)
    detail = home.reaches(job, "succeeded")

    assert (detail.row.epoch, detail.row.restarts, detail.lost_steps) == (1, 0, 0)
    assert [attempt.generation for attempt in detail.attempts] == [1]
    assert home.losses(job) == undisturbed
    assert faults(home) == []


@pytest.mark.slow
def test_training_that_loses_a_rank_or_ends_without_a_server_is_as_it_should_be_after_it(
    home: House, undisturbed: Losses
) -> None:
    job = home.submit(training())
    home.wait_step(job, 40)
    home.kill_server()
    first, second = home.ranks(job)
    kill(first)
    until(lambda: not second.alive, "the worker has stopped the other rank too")
    home.up()
    home.wait_event(job, "ranks_ready", generation=2)
    home.wait_step(job, 70)
    home.kill_server()
    until(lambda: not home.ranks(job), "training has ended")
    home.up()
    detail = home.reaches(job, "succeeded")

    assert (detail.row.epoch, detail.row.restarts) == (1, 1)
    assert detail.failure is not None
    assert (detail.failure.rank, detail.failure.signal) == (0, "SIGKILL")
    assert detail.checkpoint is not None
    assert detail.checkpoint.step == detail.row.step == undisturbed[-1][0]
    assert detail.time_account_s.lost_s > 0
    assert home.losses(job) == undisturbed
    assert faults(home) == []
