"""Whole trips: real jobs on real workers, over a real server, through its restarts."""

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.server.conftest import DEADLINE_S, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the local engine needs Linux")


# It takes one or two, and more where others use the cores; without a look at the process, for ever.
NOTICE_S = 30.0


def marked(job_dir: Path) -> list[int]:
    """Processes of a job that are alive, by the mark in their environment."""
    mark = f"IRONGRID_JOB_DIR={job_dir}\0".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                zombie = (entry / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
                if not zombie and mark in (entry / "environ").read_bytes() + b"\0":
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def worker_pids(home: Path, job: str) -> list[int]:
    return [
        int(json.loads(path.read_text())["pid"])
        for path in (home / "jobs" / job).glob("attempt-*/*/worker.json")
    ]


def kinds(server: Any, job: str) -> list[str]:
    rows = server.call("GET", f"/v1/jobs/{job}/events?limit=1000").json["events"]
    return [row["kind"] for row in rows]


# A rank writes a line at its start, and a second one when it ends by itself.
COUNTED = "echo start $RANK >> {0}/starts; while [ ! -e {0}/go ]; do sleep 0.05; done; echo end"


def starts(folder: Path) -> list[str]:
    path = folder / "starts"
    return sorted(path.read_text().splitlines()) if path.exists() else []


def test_a_job_runs_to_its_end_and_its_log_can_be_read(server: Any) -> None:
    job = server.submit("echo out; echo err >&2", name="hello")
    detail = server.wait_state(job, "succeeded", "failed")
    chunk = server.call("GET", f"/v1/jobs/{job}/logs").json
    wait_until(lambda: not marked(server.home / "jobs" / job))

    assert detail["row"]["state"] == "succeeded"
    assert sorted(chunk["text"].splitlines()) == ["err", "out"]
    assert (chunk["ended"], chunk["rank"], chunk["attempt"]) == (True, 0, f"{job}.1")


def test_every_rank_of_a_gang_runs_with_its_own_rank(server: Any) -> None:
    job = server.submit("echo $RANK of $WORLD_SIZE", resources={"count": 2})
    server.wait_state(job, "succeeded")
    texts = [server.call("GET", f"/v1/jobs/{job}/logs?rank={r}").json["text"] for r in range(2)]

    assert texts == ["0 of 2\n", "1 of 2\n"]


def test_a_failure_names_rank_code_and_last_words_and_is_not_retried(server: Any) -> None:
    job = server.submit("echo the reason >&2; exit 7")
    detail = server.wait_state(job, "failed")

    assert (detail["failure"]["rank"], detail["failure"]["exit_code"]) == (0, 7)
    assert detail["failure"]["stderr_tail"] == ["the reason"]
    assert detail["row"]["restarts"] == 0


def test_a_failure_of_the_infrastructure_is_retried(server: Any, tmp_path: Path) -> None:
    run = f"[ -e {tmp_path}/second ] && exit 0; touch {tmp_path}/second; kill -KILL $$"
    job = server.submit(run)
    detail = server.wait_state(job, "succeeded", "failed")

    assert detail["row"]["state"] == "succeeded"
    assert detail["row"]["restarts"] == 1


def test_a_cancelled_job_leaves_no_process(server: Any) -> None:
    job = server.submit("sleep 300 & sleep 300")
    server.wait_state(job, "running")
    server.call("POST", f"/v1/jobs/{job}/cancel")
    server.wait_state(job, "cancelled")

    wait_until(lambda: not marked(server.home / "jobs" / job))


def test_a_paused_job_gives_its_devices_back_and_resumes(server: Any, tmp_path: Path) -> None:
    job = server.submit(COUNTED.format(tmp_path))
    server.wait_state(job, "running")
    server.call("POST", f"/v1/jobs/{job}/pause")
    server.wait_state(job, "paused")
    free = server.call("GET", "/v1/status").json["nodes"][0]["free_devices"]
    server.call("POST", f"/v1/jobs/{job}/resume")
    server.wait_state(job, "running")
    (tmp_path / "go").touch()
    detail = server.wait_state(job, "succeeded")

    assert free == 2
    assert len(detail["attempts"]) == 2
    assert starts(tmp_path) == ["start 0", "start 0"]


def test_a_killed_worker_is_noticed_within_seconds_and_the_job_runs_again(
    server: Any, tmp_path: Path
) -> None:
    job = server.submit(COUNTED.format(tmp_path))
    server.wait_state(job, "running")
    (pid,) = worker_pids(server.home, job)
    killed_at = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: server.job(job)["row"]["epoch"] == 2)
    noticed_s = time.monotonic() - killed_at
    (tmp_path / "go").touch()
    detail = server.wait_state(job, "succeeded")

    assert noticed_s < NOTICE_S
    assert detail["attempts"][0]["failures"][0]["code"] == "worker_lost"


def test_jobs_outlive_a_killed_server_and_the_next_one_takes_them_back(
    start: Any, tmp_path: Path
) -> None:
    home, work = tmp_path / "home", tmp_path / "work"
    work.mkdir()
    server = start(home, nodes="2x1")
    job = server.submit(COUNTED.format(work), resources={"count": 2})
    queued = server.submit("true", name="behind")
    server.wait_state(job, "running")
    workers = worker_pids(home, job)
    server.kill()
    assert len(marked(home / "jobs" / job)) >= 4

    again = start(home, nodes="2x1")
    assert again.job(job)["row"]["state"] == "running"
    assert again.job(queued)["row"]["state"] == "queued"
    (work / "go").touch()
    detail = again.wait_state(job, "succeeded")
    again.wait_state(queued, "succeeded")

    assert starts(work) == ["start 0", "start 1"]
    assert worker_pids(home, job) == workers
    assert (detail["row"]["epoch"], detail["row"]["restarts"]) == (1, 0)
    wait_until(lambda: not marked(home / "jobs" / job))
    again.stop()


def test_a_job_that_ends_while_no_server_runs_is_not_run_again(start: Any, tmp_path: Path) -> None:
    home, work = tmp_path / "home", tmp_path / "work"
    work.mkdir()
    server = start(home)
    job = server.submit(COUNTED.format(work))
    server.wait_state(job, "running")
    assert server.stop() == 0
    assert not (home / "address").exists()
    (work / "go").touch()
    log = home / "jobs" / job / "attempt-1" / "rank-0.log"
    wait_until(lambda: log.read_text() == "end\n")

    again = start(home)
    again.wait_state(job, "succeeded")
    assert starts(work) == ["start 0"]
    again.stop()


def test_stopping_with_its_jobs_leaves_them_queued_for_the_next_server(
    start: Any, tmp_path: Path
) -> None:
    home, work = tmp_path / "home", tmp_path / "work"
    work.mkdir()
    server = start(home)
    job = server.submit(COUNTED.format(work))
    server.wait_state(job, "running")
    assert server.call("POST", "/v1/shutdown", {"stop_jobs": True}).status == 202
    assert server.process.wait(timeout=DEADLINE_S) == 0
    assert not marked(home / "jobs" / job)

    (work / "go").touch()
    again = start(home)
    detail = again.wait_state(job, "succeeded")
    assert detail["row"]["epoch"] == 2
    again.stop()


def test_a_second_server_on_the_same_home_is_refused_and_told_who_is_there(
    start: Any, tmp_path: Path
) -> None:
    first = start(tmp_path)
    second = start(tmp_path, ready=False)

    assert second.process.wait(timeout=DEADLINE_S) == 1
    assert (
        f"pid {first.process.pid} at http://127.0.0.1:{first.port}"
        in (tmp_path / "stderr").read_text()
    )
    assert first.call("GET", "/healthz").status == 200
    first.stop()


def test_what_was_acknowledged_before_a_kill_is_there_after_it(start: Any, tmp_path: Path) -> None:
    server = start(tmp_path)
    blocker = server.submit("sleep 300", resources={"count": 2})
    acknowledged = [server.submit("true", key=f"k{number}") for number in range(50)]
    server.kill()

    again = start(tmp_path)
    page = again.call("GET", "/v1/jobs?limit=1000")
    assert page.status == 200, (page.body, (tmp_path / "stderr").read_text())
    rows = page.json["jobs"]
    assert {row["job_id"] for row in rows} >= {*acknowledged, blocker}
    assert again.submit("true", key="k7") == acknowledged[7]
    again.call("POST", f"/v1/jobs/{blocker}/cancel")
    again.wait_state(blocker, "cancelled")
    wait_until(lambda: not marked(tmp_path / "jobs" / blocker))
    again.stop()
