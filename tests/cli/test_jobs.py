"""Verbs against a real server with real processes."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.conftest import Irongrid, Said, command_line, heed_ctrl_c

from irongrid.client.api import Client
from irongrid.domain.job import JobState

DEADLINE_S = 90.0


def wait_for_end(client: Client, job: str) -> str:
    """The final state of a job."""
    deadline = time.monotonic() + DEADLINE_S
    for detail in client.follow_job(job, every_s=0.05):
        assert time.monotonic() < deadline, f"{job} is still {detail.row.state}"
    return detail.row.state


def wait_for_state(client: Client, job: str, state: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while (seen := client.job(job).row.state) != state:
        assert time.monotonic() < deadline, f"{job} is {seen}, not {state}"
        time.sleep(0.02)


def submitted(said: Said) -> str:
    assert said.exit_code == 0, said.err
    return str(said.value["job_id"])


def test_submit_says_the_id_and_the_next_commands(irongrid: Irongrid) -> None:
    said = irongrid("submit", "--", "true")

    assert said.exit_code == 0
    first, *rest = said.out.splitlines()
    (job,) = re.findall(r"^(j\w{6}) \(true\) is (?:queued|starting|running)", first)
    assert any(line.strip().startswith(f"irongrid logs {job} -f") for line in rest)


def test_a_command_runs_in_the_submitters_folder_with_its_python(
    irongrid: Irongrid, client: Client, tmp_path: Path
) -> None:
    code = "import os, sys; print(os.getcwd(), sys.executable, os.environ['RANK'])"
    bin_dir = str(Path(sys.executable).parent)

    job = submitted(
        irongrid(
            "submit", "--count", "2", "--json", "--", "python", "-c", code,
            cwd=tmp_path, PATH=f"{bin_dir}:{os.environ['PATH']}", VIRTUAL_ENV="",
        )
    )  # fmt: skip

    assert wait_for_end(client, job) == JobState.SUCCEEDED
    said = irongrid("logs", job, "--rank", "1")
    assert said.out == f"{tmp_path} {bin_dir}/python 1\n"


def test_variables_reach_the_ranks_and_nothing_else(
    irongrid: Irongrid, client: Client, server_home: Path
) -> None:
    job = submitted(
        irongrid(
            "submit", "--env", "GREETING=canary-7f3a", "--env", "PASSED_ON", "--json", "--",
            "sh", "-c", 'test "$GREETING" = canary-7f3a && test "$PASSED_ON" = canary-91bc',
            PASSED_ON="canary-91bc",
        )
    )  # fmt: skip

    assert wait_for_end(client, job) == JobState.SUCCEEDED
    everything = [irongrid(*verb).out for verb in (["ps", "--all"], ["show", job], ["events", job])]
    # The test's own command names the first one; the second stands nowhere but in the shell.
    assert "GREETING=canary" not in "".join(everything)
    assert "PASSED_ON=canary" not in "".join(everything)


def test_an_unset_variable_is_refused(irongrid: Irongrid) -> None:
    said = irongrid("submit", "--env", "NOT_SET_ANYWHERE", "--", "true")

    assert said.exit_code == 2
    assert "NOT_SET_ANYWHERE: it is not set in this shell" in said.err


def test_a_job_that_is_waited_for_ends_with_one_object(irongrid: Irongrid) -> None:
    said = irongrid("submit", "--wait", "--json", "--", "echo", "hello")

    assert said.exit_code == 0
    assert {
        "job_id", "state", "steps", "final_loss", "tokens_per_s", "restarts", "lost_steps",
        "time_account_s", "checkpoint",
    } <= said.value.keys()  # fmt: skip
    assert said.value["state"] == "succeeded"
    account = said.value["time_account_s"]
    parts = sum(value for name, value in account.items() if name != "wall_s")
    assert parts == pytest.approx(account["wall_s"], abs=1e-6)


def test_waiting_for_a_job_that_fails_is_answered_no(irongrid: Irongrid) -> None:
    said = irongrid("submit", "--wait", "--json", "--", "sh", "-c", "echo last words >&2; exit 3")

    assert said.exit_code == 1
    assert said.value["state"] == "failed"
    assert said.value["failure"]["exit_code"] == 3
    assert said.value["failure"]["stderr_tail"] == ["last words"]

    shown = irongrid("show", said.value["job_id"]).out
    assert "exit code: 3" in shown
    assert "| last words" in shown
    assert f"next: irongrid logs {said.value['job_id']} --rank 0" in shown


def test_the_same_key_gives_the_same_job(irongrid: Irongrid) -> None:
    first = irongrid("submit", "--key", "once", "--json", "--", "true")
    second = irongrid("submit", "--key", "once", "--json", "--", "true")

    assert submitted(first) == submitted(second)
    assert (first.value["already"], second.value["already"]) == (False, True)


def test_a_wrong_file_is_reported_whole_with_lines(irongrid: Irongrid, tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text("run: echo hi\nresorces: {count: 2}\nretries: {max: many}\n")

    said = irongrid("submit", str(file), "--json")

    assert said.exit_code == 2
    details = said.value["error"]["details"]
    assert [detail["line"] for detail in details] == [2, 3]
    assert "resources" in details[0]["fix"]
    assert f"{file}:2: resorces" in said.err


def test_a_job_can_come_from_stdin(irongrid: Irongrid, client: Client) -> None:
    job = submitted(irongrid("submit", "-", "--json", text="run: 'true'\n"))

    assert wait_for_end(client, job) == JobState.SUCCEEDED


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["submit"], "what should run?"),
        (["submit", "--"], "there is no command after --"),
        (["submit", "job.yaml", "--", "true"], "a file and a command at once"),
        (["submit", "job.yaml", "--count", "2"], "--count cannot change a file"),
        (["submit", "nowhere.yaml"], "nowhere.yaml: no such file"),
        (["submit", "--count", "0", "--", "true"], "resources.count"),
        (["submit", "--memory", "lots", "--", "true"], "resources.memory"),
        (["ps", "--state", "runing"], "did you mean running?"),
        (["show", "no-such-job"], "no job is called 'no-such-job'"),
        (["show", "j00zzzz"], "j00zzzz"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_input_is_named(argv: list[str], said: str, irongrid: Irongrid) -> None:
    answer = irongrid(*argv)

    assert answer.exit_code == 2
    assert said in answer.err
    assert answer.out == ""


@pytest.fixture
def full_cluster(irongrid: Irongrid, client: Client) -> Iterator[str]:
    """A job that holds every device until the test is over."""
    job = submitted(irongrid("submit", "--count", "4", "--json", "--", "sleep", "600"))
    wait_for_state(client, job, JobState.RUNNING)
    yield job
    irongrid("cancel", job)
    wait_for_end(client, job)


def test_a_job_that_waits_says_why_and_what_would_start_it(
    full_cluster: str, irongrid: Irongrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a busy machine the policy may look later than a person would like to wait for it.
    monkeypatch.setattr("irongrid.cli.submit.FIRST_ROUND_S", DEADLINE_S)
    said = irongrid("submit", "--count", "2", "--", "true")
    job = said.out.split()[0]
    why = irongrid("why", job)
    reason = irongrid("why", job, "--json").value
    row = next(line for line in irongrid("ps").out.splitlines() if line.startswith(job))
    irongrid("cancel", job)

    assert reason["sentence"] in said.out, "submit says it at once"
    assert why.out.startswith(f"{job}: {reason['sentence']}")
    assert "2 devices" in reason["sentence"]
    assert any(full_cluster in holder for holder in reason["holders"])
    assert reason["smallest_change"] in why.out
    assert "no free devices" in row


def test_a_job_that_can_never_fit_is_refused_at_once(irongrid: Irongrid) -> None:
    said = irongrid("submit", "--count", "64", "--", "true")

    assert said.exit_code == 2
    assert "needs 64 devices at once; the fleet has 4" in said.err


def test_ps_lists_active_jobs_in_80_columns(irongrid: Irongrid, client: Client) -> None:
    job = submitted(
        irongrid("submit", "--name", "a" * 40, "--count", "2", "--json", "--", "sleep", "600")
    )
    wait_for_state(client, job, JobState.RUNNING)

    said = irongrid("ps", NO_COLOR="1")
    assert max(len(line) for line in said.out.splitlines()) <= 80
    (row,) = [line for line in said.out.splitlines() if line.startswith(job)]
    assert "running" in row
    page = irongrid("ps", "--json").value
    assert job in [row["job_id"] for row in page["jobs"]]

    assert irongrid("cancel", job).exit_code == 0
    assert wait_for_end(client, job) == JobState.CANCELLED
    assert job not in irongrid("ps").out
    assert job in irongrid("ps", "--all").out
    assert [row["state"] for row in irongrid("ps", "--state", "cancelled", "--json").value["jobs"]]


def test_ps_says_what_the_limit_hides(irongrid: Irongrid) -> None:
    for _ in range(2):
        irongrid("submit", "--wait", "--json", "--", "true")

    said = irongrid("ps", "--all", "--limit", "1", "--json")
    assert len(said.value["jobs"]) == 1
    assert said.value["next_cursor"]
    assert re.search(r"\d+ more: irongrid ps", irongrid("ps", "--all", "--limit", "1").err)


def test_a_job_that_has_ended_cannot_be_paused(irongrid: Irongrid) -> None:
    job = str(irongrid("submit", "--wait", "--json", "--", "true").value["job_id"])

    said = irongrid("pause", job, "--json")

    assert said.exit_code == 1
    assert said.value["jobs"] == []
    assert [refused["job_id"] for refused in said.value["refused"]] == [job]


def test_a_queued_job_is_paused_and_resumed(full_cluster: str, irongrid: Irongrid) -> None:
    job = submitted(irongrid("submit", "--json", "--", "true"))

    assert irongrid("pause", job, "--json").value["jobs"][0]["state"] == "paused"
    assert f"irongrid resume {job}" in irongrid("show", job).out
    assert irongrid("resume", job, "--json").value["jobs"][0]["state"] == "queued"
    assert irongrid("cancel", job).exit_code == 0


def test_logs_follow_a_job_to_its_end(irongrid: Irongrid) -> None:
    code = "import time\nfor i in range(3): print('line', i, flush=True); time.sleep(0.1)"
    job = submitted(irongrid("submit", "--json", "--", sys.executable, "-c", code))

    said = irongrid("logs", job, "-f")

    assert said.exit_code == 0
    assert said.out == "line 0\nline 1\nline 2\n"


def test_a_job_that_has_not_run_yet_has_no_log(full_cluster: str, irongrid: Irongrid) -> None:
    job = submitted(irongrid("submit", "--json", "--", "true"))

    said = irongrid("logs", job)
    irongrid("cancel", job)

    assert said.exit_code == 1
    assert f"irongrid why {job}" in said.err


def test_the_tail_of_a_log_is_its_last_lines(irongrid: Irongrid) -> None:
    job = str(irongrid("submit", "--wait", "--json", "--", "seq", "100").value["job_id"])

    assert irongrid("logs", job, "--tail", "2").out == "99\n100\n"
    value = irongrid("logs", job, "--tail", "1", "--json").value
    assert value["text"] == "100\n"
    assert value["attempt"] == f"{job}.1"


def interrupted(home: Path, *argv: str, until: str) -> tuple[int, str]:
    """Exit code and stderr of a command line that gets Ctrl-C once it has printed a text."""
    watching = subprocess.Popen(
        [sys.executable, "-m", "irongrid.cli.main", *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "IRONGRID_HOME": str(home)},
        preexec_fn=heed_ctrl_c,
    )
    assert watching.stdout is not None
    assert any(until in line for line in iter(watching.stdout.readline, ""))
    watching.send_signal(signal.SIGINT)
    rest, _ = watching.communicate(timeout=DEADLINE_S)
    return watching.returncode, rest


def test_an_interrupt_leaves_the_log_and_never_the_job(
    irongrid: Irongrid, client: Client, server_home: Path
) -> None:
    job = submitted(irongrid("submit", "--json", "--", "sh", "-c", "echo up; sleep 600"))

    exit_code, said = interrupted(server_home, "logs", job, "-f", until="up")

    assert exit_code == 130
    assert f"job {job} is not touched" in said
    assert client.job(job).row.state == JobState.RUNNING
    client.cancel(job)


def test_an_interrupt_ends_the_waiting_and_never_the_job(client: Client, server_home: Path) -> None:
    argv = ["submit", "--wait", "--name", "waited-for", "--", "sleep", "600"]

    exit_code, said = interrupted(server_home, *argv, until="running")

    job = client.jobs(limit=1).jobs[0]
    assert exit_code == 130
    assert f"job {job.job_id} goes on" in said
    assert (job.name, job.state) == ("waited-for", JobState.RUNNING)
    client.cancel(job.job_id)


def test_events_are_exported_as_lines_that_hold_the_whole_log(
    irongrid: Irongrid, tmp_path: Path
) -> None:
    irongrid("submit", "--wait", "--json", "--", "true")
    file = tmp_path / "log.ndjson"

    said = irongrid("events", "--export", str(file), "--json")

    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["seq"] for line in lines] == list(range(1, said.value["count"] + 1))
    assert lines[0].keys() == {"seq", "at_ns", "kind", "version", "body"}
    assert lines[0]["kind"] == "server_started"
    assert irongrid("events", "--export", "-").out.startswith(file.read_text())


def test_events_of_one_job_tell_its_story(irongrid: Irongrid) -> None:
    job = str(irongrid("submit", "--wait", "--json", "--", "true").value["job_id"])

    rows = irongrid("events", job, "--json").value["events"]

    kinds = [row["kind"] for row in rows]
    assert kinds[0] == "job_submitted"
    assert "ranks_finished" in kinds
    assert {row["job_id"] for row in rows if row["kind"] != "decided"} == {job}


def test_last_is_the_newest_job(irongrid: Irongrid) -> None:
    job = submitted(irongrid("submit", "--json", "--", "true"))

    assert irongrid("show", "last", "--json").value["row"]["job_id"] == job
    assert irongrid("show", job.lstrip("j0"), "--json").value["row"]["job_id"] == job


def test_completion_offers_job_ids(irongrid: Irongrid, server_home: Path) -> None:
    job = submitted(irongrid("submit", "--json", "--", "true"))

    def offered() -> list[str]:
        said = command_line(
            server_home,
            [],
            _IRONGRID_COMPLETE="complete_bash",
            COMP_WORDS="irongrid show j",
            COMP_CWORD="2",
        )
        return said.out.split()

    # It would rather offer nothing than let a person wait, so a busy server may miss a turn.
    assert any(job in offered() for _ in range(5))
