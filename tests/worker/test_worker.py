"""A worker's life, from joining to its last word."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.worker.conftest import Launch
from tests.worker.stage import TOKEN, ScriptedServer, order_for, run_spec, until

from irongrid.domain.codec import to_json
from irongrid.domain.event import (
    CheckpointCommitted,
    GangFailed,
    ProgressMade,
    RanksFinished,
    RanksReady,
    RanksStarted,
    RanksStopped,
    WorkerJoined,
)
from irongrid.domain.failure import FailureCode
from irongrid.telemetry import procfs

SLEEP = ("python", "-c", "import time; print('up', flush=True); time.sleep(600)")


def test_a_worker_joins_runs_its_ranks_to_their_end_and_goes(
    server: ScriptedServer, launch: Launch
) -> None:
    worker = launch("python", "-c", "print('hello')", ranks=2)
    joined = server.wait(WorkerJoined)
    server.direct("run", rendezvous=joined.rendezvous)
    server.wait(RanksFinished)
    server.direct("stop")

    assert worker.wait() == 0
    kinds = [type(fact) for fact in server.facts]
    assert kinds == [WorkerJoined, RanksStarted, RanksReady, RanksFinished, RanksStopped]
    assert [fact.n for fact in server.facts] == [1, 2, 3, 4, 5]
    assert worker.log(0) == worker.log(1) == "hello\n"
    assert server.authorizations == {f"Bearer {TOKEN}"}
    assert not worker.others()


def test_a_failed_rank_takes_its_gang_along_and_says_how_it_failed(
    server: ScriptedServer, launch: Launch
) -> None:
    code = (
        "import os, sys, time\n"
        "if os.environ['RANK'] == '0': time.sleep(600)\n"
        "print('not an error')\n"
        "for line in range(30): print('line', line, file=sys.stderr)\n"
        "sys.exit(3)\n"
    )
    worker = launch("python", "-c", code, ranks=2)
    server.direct("run")
    failed = server.wait(GangFailed)
    server.wait(RanksStopped)

    failure = failed.failure
    assert (failure.code, failure.rank, failure.exit_code) == (FailureCode.EXIT_CODE, 1, 3)
    assert failure.stderr_tail == tuple(f"line {line}" for line in range(10, 30))
    assert failure.message == "rank 1 exited with code 3"
    assert not worker.others()
    assert worker.log(1).count("line") == 30
    assert "not an error" in worker.log(1)


# Well below a second on a machine of its own. Where nothing tells of it, it would take minutes.
AT_ONCE_S = 10.0


def test_the_death_of_a_rank_is_reported_at_once(server: ScriptedServer, launch: Launch) -> None:
    worker = launch(*SLEEP, ranks=2)
    server.direct("run")
    server.wait(RanksReady)
    until(lambda: "up" in worker.log(0) and "up" in worker.log(1), "both ranks")
    victim = rank_pid(worker.others(), rank=1)
    killed_at_s = time.monotonic()
    os.kill(victim, signal.SIGKILL)
    failed = server.wait(GangFailed)
    stopped = server.wait(RanksStopped)

    failure = failed.failure
    assert (failure.code, failure.rank, failure.signal) == (FailureCode.SIGNAL, 1, "SIGKILL")
    assert server.heard_at_s[stopped.n] - killed_at_s < AT_ONCE_S
    assert worker.process.poll() is None, "it waits for the next directive"


def test_a_generation_runs_once_and_the_next_one_after_it_is_gone(
    server: ScriptedServer, launch: Launch
) -> None:
    code = (
        "import os, sys\n"
        "generation = os.environ['TORCHELASTIC_RESTART_COUNT']\n"
        "print(generation)\n"
        "sys.exit(generation == '1')"
    )
    worker = launch("python", "-c", code)
    server.direct("run", generation=1)
    failed = server.wait(GangFailed)
    server.direct("run", generation=1)
    server.direct("hold", generation=2)
    stopped = server.wait(RanksStopped)
    server.direct("run", generation=2)
    finished = server.wait(RanksFinished)

    assert (failed.generation, stopped.generation, finished.generation) == (1, 1, 2)
    assert worker.log() == "1\n2\n"
    assert sum(isinstance(fact, RanksStopped) for fact in server.facts) == 1


def test_a_hold_for_a_later_generation_is_confirmed_by_a_node_that_had_started_none(
    server: ScriptedServer, launch: Launch
) -> None:
    launch(*SLEEP)
    server.wait(WorkerJoined)
    server.direct("hold", generation=3)

    assert server.wait(RanksStopped).generation == 2


def test_a_stop_without_ranks_is_confirmed_and_ends_the_worker(
    server: ScriptedServer, launch: Launch
) -> None:
    worker = launch(*SLEEP)
    server.wait(WorkerJoined)
    server.direct("stop", generation=1)

    assert server.wait(RanksStopped).generation == 1
    assert worker.wait() == 0


SAVES_WHEN_ASKED = """
import time
from irongrid import session
session.phase("step")
for step in range(1, 10_000):
    session.progress(step, loss=1 / step)
    if session.should_checkpoint():
        session.checkpointed(step=step, path="asked", size_bytes=10)
    if session.should_stop():
        if session.stop_wants_save():
            session.checkpointed(step=step, path="last", size_bytes=10)
        break
    time.sleep(0.01)
"""


def test_ranks_that_speak_save_when_asked_and_before_they_end(
    server: ScriptedServer, launch: Launch
) -> None:
    worker = launch("python", "-c", SAVES_WHEN_ASKED)
    server.direct("run")
    progress = server.wait(ProgressMade)
    server.direct("run", checkpoint=1)
    asked = server.wait(CheckpointCommitted)
    server.direct("stop", grace_s=30.0, save=True)
    last = server.wait(CheckpointCommitted, after=asked.n)
    server.wait(RanksStopped)

    assert worker.wait() == 0
    assert (asked.path, last.path) == ("asked", "last")
    assert last.step > asked.step >= progress.step
    steps = [fact.step for fact in server.facts if isinstance(fact, ProgressMade)]
    assert len(steps) == 2, "one at first and one at the end, not one per step"
    assert steps[1] >= last.step
    assert not any(isinstance(fact, GangFailed) for fact in server.facts)
    beat = server.reports[-1].beat
    assert beat.step == steps[1]
    assert beat.metrics.keys() == {"loss"}


def test_a_rank_that_cannot_be_asked_gets_sigterm_at_once_and_its_grace(
    server: ScriptedServer, launch: Launch
) -> None:
    script = "trap 'echo saved; exit 0' TERM; echo up; while :; do sleep 0.02; done"
    worker = launch("sh", "-c", script)
    server.direct("run")
    until(lambda: "up" in worker.log(), "the rank")
    server.direct("stop", grace_s=30.0, save=True)

    assert worker.wait() == 0
    assert worker.log().endswith("saved\n")
    assert server.facts[-1].kind == "ranks_stopped"


def test_a_rank_that_does_not_end_in_its_grace_is_killed(
    server: ScriptedServer, launch: Launch
) -> None:
    worker = launch("sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.02; done")
    server.direct("run")
    until(lambda: "up" in worker.log(), "the rank")
    server.direct("stop", grace_s=0.2)

    assert worker.wait() == 0
    assert not worker.others()


RUNS_AWAY = """
import os, subprocess, sys, time
# In a session of its own, with no parent and no environment that would betray it.
code = "import os, time; open('runaway', 'w').write(str(os.getpid())); time.sleep(600)"
if os.fork() == 0:
    os.setsid()
    subprocess.Popen([sys.executable, "-c", code], env={}, start_new_session=True)
    os._exit(0)
time.sleep(600)
"""


def runaway(folder: Path) -> int:
    path = folder / "runaway"
    return int(until(lambda: path.exists() and path.read_text(), "the runaway"))


def test_a_grandchild_that_ran_away_is_stopped_too(
    server: ScriptedServer, launch: Launch, tmp_path: Path
) -> None:
    launch("python", "-c", RUNS_AWAY)
    server.direct("run")
    pid = runaway(tmp_path)
    server.direct("stop")
    server.wait(RanksStopped)

    assert not alive(pid)


def test_a_worker_that_is_asked_to_end_leaves_nothing_behind(
    server: ScriptedServer, launch: Launch, tmp_path: Path
) -> None:
    worker = launch("python", "-c", RUNS_AWAY)
    server.direct("run")
    pid = runaway(tmp_path)
    worker.process.terminate()
    worker.wait()

    assert not alive(pid)
    assert not worker.others()


def test_ranks_do_not_outlive_a_killed_worker(server: ScriptedServer, launch: Launch) -> None:
    worker = launch(*SLEEP, ranks=2)
    server.direct("run")
    server.wait(RanksReady)
    assert len(worker.others()) == 2
    worker.process.kill()
    worker.wait()

    until(lambda: not worker.others(), "the ranks to die")


def test_a_newer_epoch_stops_the_ranks_at_once(server: ScriptedServer, launch: Launch) -> None:
    worker = launch(*SLEEP)
    server.direct("run")
    server.wait(RanksReady)
    server.fenced = True

    assert worker.wait() == 0
    assert not worker.others()


def test_ranks_outlive_the_server_and_news_reaches_the_next_one_elsewhere(
    server: ScriptedServer, launch: Launch, tmp_path: Path
) -> None:
    code = "import os, time\nwhile not os.path.exists('go'): time.sleep(0.01)"
    worker = launch("python", "-c", code)
    server.direct("run")
    server.wait(RanksReady)
    server.down()
    assert len(worker.others()) == 1
    (tmp_path / "go").touch()
    until(lambda: not worker.others(), "the rank to end")
    server.up()

    assert server.wait(RanksFinished).n == 4
    server.direct("stop")
    assert worker.wait() == 0
    assert [fact.n for fact in server.facts] == [1, 2, 3, 4, 5]


def test_a_stranger_on_the_servers_old_port_stops_nothing(
    server: ScriptedServer, launch: Launch
) -> None:
    worker = launch(*SLEEP)
    server.direct("run")
    server.wait(RanksReady)
    server.garbage = True
    seen = len(server.requests)
    until(lambda: len(server.requests) > seen + 1, "some tries")

    assert len(worker.others()) == 1
    server.garbage = False
    server.direct("stop")
    assert worker.wait() == 0


def test_a_worker_whose_lease_has_run_out_stops_its_ranks(
    server: ScriptedServer, launch: Launch
) -> None:
    worker = launch(*SLEEP, lease_s=4.0)
    server.direct("run")
    server.wait(RanksReady)
    server.down()

    assert worker.wait() == 0
    assert not worker.others()


def test_a_worker_that_nobody_can_find_any_more_ends(
    server: ScriptedServer, launch: Launch
) -> None:
    worker = launch(*SLEEP)
    server.direct("run")
    server.wait(RanksReady)
    server.down()
    shutil.rmtree(worker.order.job_dir)

    assert worker.wait() == 0
    assert not worker.others()


def test_of_two_workers_for_a_place_one_runs_now_and_none_later(
    server: ScriptedServer, launch: Launch, tmp_path: Path
) -> None:
    first, second = launch(*SLEEP), launch(*SLEEP)
    server.wait(WorkerJoined)
    until(lambda: 0 in (first.process.poll(), second.process.poll()), "the other to go")
    server.direct("stop")
    assert first.wait() == second.wait() == 0
    facts = list(server.facts)

    assert launch(*SLEEP).wait() == 0
    assert server.facts == facts


def test_an_order_that_is_cut_off_takes_no_place_and_shows_no_secret(tmp_path: Path) -> None:
    spec = run_spec(tmp_path, "true")
    text = json.dumps(to_json(order_for(tmp_path, spec, environment={"KEY": "canary-5912"})))
    for damaged in (text[:-40], text.replace('"epoch": 1', '"epoch": "canary-5912"')):
        done = subprocess.run(
            [sys.executable, "-m", "irongrid.worker"],
            input=damaged.encode(),
            capture_output=True,
            check=False,
        )
        assert done.returncode == 2
        assert b"canary" not in done.stdout + done.stderr
    assert not (tmp_path / "jobs").exists()


def test_values_of_the_environment_reach_the_rank_and_nothing_else(
    server: ScriptedServer, launch: Launch
) -> None:
    code = "import os, time; print(os.environ['API_KEY'], flush=True); time.sleep(600)"
    worker = launch("python", "-c", code, environment={"API_KEY": "canary-7731"})
    server.direct("run")
    until(lambda: "canary-7731" in worker.log(), "the rank to have it")

    for pid in (worker.process.pid, *worker.others()):
        command_line = Path(f"/proc/{pid}/cmdline").read_bytes()
        assert b"canary" not in command_line
        assert TOKEN.encode() not in command_line
    environment = Path(f"/proc/{worker.process.pid}/environ").read_bytes()
    assert b"canary" not in environment
    for path in (worker.folder / "n0").iterdir():
        if path.is_file():
            assert "canary" not in path.read_text()
            assert TOKEN not in path.read_text()
    assert all("canary" not in str(to_json(report)) for report in server.reports)


def test_a_missing_folder_or_command_is_the_users_to_mend(
    server: ScriptedServer, launch: Launch, tmp_path: Path
) -> None:
    launch(spec=run_spec(tmp_path / "nowhere", "true"))
    server.direct("run")
    failure = server.wait(GangFailed).failure

    assert failure.code is FailureCode.START_FAILED
    assert failure.message == f"the folder '{tmp_path}/nowhere' does not exist on this node"
    server.wait(RanksStopped)


def test_a_command_that_is_not_found_is_named(server: ScriptedServer, launch: Launch) -> None:
    launch("no-such-program")
    server.direct("run")
    failure = server.wait(GangFailed).failure

    assert failure.code is FailureCode.START_FAILED
    assert failure.message == "rank 0 was not started: 'no-such-program' was not found on this node"


def test_a_worker_starts_fast_because_it_imports_little() -> None:
    code = "import sys, irongrid.worker.main; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())

    assert "irongrid.worker.agent" in loaded
    assert not loaded & {"torch", "numpy", "httpx2", "psutil", "pydantic", "asyncio", "tempfile"}


def alive(pid: int) -> bool:
    return procfs.start_ticks(pid) is not None


def rank_pid(pids: set[int], rank: int) -> int:
    needle = f"\0RANK={rank}\0".encode()
    return next(pid for pid in pids if needle in b"\0" + Path(f"/proc/{pid}/environ").read_bytes())
