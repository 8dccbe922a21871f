"""`irongrid submit`: a file or a command becomes a job."""

import os
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from irongrid.cli.failures import INTERRUPTED, THE_ANSWER_IS_NO, wrong_input
from irongrid.cli.screen import Screen
from irongrid.cli.watch import outcome, watch
from irongrid.cli.watching import say_goes_on
from irongrid.client.api import Client
from irongrid.client.home import Home
from irongrid.domain.codec import to_json
from irongrid.domain.decision import WaitCode
from irongrid.domain.job import JobState
from irongrid.domain.messages import JobDetail, Submitted
from irongrid.units import format_duration

# Programs that say nothing about what a job does: the next argument names it better.
_LAUNCHERS = ("python", "bash", "sh", "env", "torchrun", "accelerate", "nice")
_CODE_OPTIONS = ("-c", "-lc", "-ec")
# The policy has looked at a new job long before; then `why` has something to say.
FIRST_ROUND_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandOptions:
    """A job that was typed: the command after `--`, and what goes with it."""

    argv: tuple[str, ...] | None
    count: int | None
    name: str
    cpus: float | None
    memory: str
    env: tuple[str, ...]

    def given(self) -> list[str]:
        """The options that were used; a file has them as fields."""
        used = {
            "--count": self.count is not None,
            "--name": bool(self.name),
            "--cpus": self.cpus is not None,
            "--memory": bool(self.memory),
            "--env": bool(self.env),
        }
        return [option for option, is_used in used.items() if is_used]


def submit(
    home: Home, file: str, command: CommandOptions, *, wait: bool, key: str, as_json: bool
) -> int:
    """Hand in the job, and watch it where that was asked for."""
    screen = Screen(as_json=as_json)
    job = document(file, command, os.environ)
    with Client.from_home(home) as client:
        submitted = client.submit(job, key=key)
        if not wait:
            _tell(screen, client, submitted)
            screen.answer(to_json(submitted))
            return 0
        try:
            screen.note(_accepted(submitted))
            detail = watch(client, screen, submitted.job_id)
        except KeyboardInterrupt:
            job_id = submitted.job_id
            say_goes_on(screen, f"job {job_id} goes on", f"irongrid show {job_id}")
            screen.answer({"job_id": job_id, "interrupted": True})
            return INTERRUPTED
    _tell_end(screen, detail)
    screen.answer(outcome(detail))
    return 0 if detail.row.state == JobState.SUCCEEDED else THE_ANSWER_IS_NO


def document(file: str, command: CommandOptions, environ: Mapping[str, str]) -> dict[str, Any]:
    """The job as the server wants it.

    Raises:
        SpecError: everything that is wrong with it.
    """
    from irongrid.spec import load_job_file, load_job_text

    if file and command.argv is not None:
        raise wrong_input("a file and a command at once", "submit one of them")
    if command.argv is not None:
        return _typed(command.argv, command, environ)
    if not file:
        raise wrong_input(
            "what should run?", "irongrid submit job.yaml, or: irongrid submit -- python train.py"
        )
    if used := command.given():
        raise wrong_input(
            f"{', '.join(used)} cannot change a file", f"write it into {file}, or give a command"
        )
    interpreter = submitters_python(environ)
    if file == "-":
        text = sys.stdin.read()
        return load_job_text(
            text, source="<stdin>", folder=os.getcwd(), interpreter=interpreter
        ).document
    return load_job_file(file, interpreter=interpreter).document


def _typed(
    argv: tuple[str, ...], command: CommandOptions, environ: Mapping[str, str]
) -> dict[str, Any]:
    from irongrid.spec import command_document, parse_job_document

    if not argv:
        raise wrong_input("there is no command after --", "irongrid submit -- python train.py")
    job = command_document(
        argv,
        workdir=os.getcwd(),
        interpreter=submitters_python(environ),
        name=command.name or name_of(argv),
        count=command.count,
        cpus=command.cpus,
        memory=command.memory or None,
        env=variables(command.env, environ),
    )
    parse_job_document(job, source="irongrid")
    return job


def submitters_python(environ: Mapping[str, str]) -> str:
    """The Python that `python` means to the person who submits; ours where there is none."""
    virtual = environ.get("VIRTUAL_ENV", "")
    if virtual and (Path(virtual) / "bin" / "python").is_file():
        return str(Path(virtual) / "bin" / "python")
    return shutil.which("python", path=environ.get("PATH")) or sys.executable


def variables(given: tuple[str, ...], environ: Mapping[str, str]) -> dict[str, str]:
    """The job's variables: K=V as typed, K from this shell.

    Raises:
        SpecError: K is not set here.
    """
    values = {}
    for text in given:
        name, is_given, value = text.partition("=")
        if not is_given and name not in environ:
            raise wrong_input(f"--env {name}: it is not set in this shell", f"--env {name}=VALUE")
        values[name] = value if is_given else environ[name]
    return values


def name_of(argv: tuple[str, ...]) -> str:
    """A name for a command: `train` for `python -u src/train.py --lr 1` or `python -m x.train`."""
    from irongrid.spec.document import default_name

    for position, word in enumerate(argv):
        if word in _CODE_OPTIONS:
            break  # code has no name
        program = Path(word).name.rstrip("0123456789.")
        if program not in _LAUNCHERS and not word.startswith("-") and "=" not in word:
            is_module = position > 0 and argv[position - 1] == "-m"
            return default_name(word.rpartition(".")[2] if is_module else word)
    return default_name(argv[0])


def _accepted(submitted: Submitted) -> str:
    again = " already (same key)" if submitted.already else ""
    place = f", number {submitted.queue_position} in line" if submitted.queue_position else ""
    return f"{submitted.job_id} ({submitted.name}) is {submitted.state}{again}{place}"


def _tell(screen: Screen, client: Client, submitted: Submitted) -> None:
    screen.say(_accepted(submitted), style="bold")
    if screen.as_json:
        return
    job = submitted.job_id
    if waits := _why_it_waits(client, submitted):
        screen.say(f"  {waits}")
    screen.say(f"  irongrid logs {job} -f    its output")
    screen.say(f"  irongrid show {job}       progress and time")
    screen.say(f"  irongrid why {job}        why it waits or runs")
    screen.say(f"  irongrid cancel {job}     end it")


def _why_it_waits(client: Client, submitted: Submitted) -> str:
    """The reason and the estimate, once the policy has looked; empty for a job that starts."""
    deadline = time.monotonic() + FIRST_ROUND_S
    while time.monotonic() < deadline:
        reason = client.why(submitted.job_id)
        if reason.state != JobState.QUEUED:
            return ""
        if reason.code != WaitCode.NEW:
            return reason.sentence
        time.sleep(0.05)
    return ""


def _tell_end(screen: Screen, detail: JobDetail) -> None:
    row = detail.row
    good = row.state == JobState.SUCCEEDED
    because = "" if good else f": {detail.ended_because}"
    screen.say(f"{row.job_id} ({row.name}) {row.state}{because}", style="green" if good else "red")
    facts = [f"{format_duration(row.wall_s)} since submission"]
    if row.step:
        facts.append(f"{row.step} steps")
    if "loss" in detail.metrics:
        facts.append(f"loss {detail.metrics['loss']:.3f}")
    if row.restarts:
        facts.append(f"{row.restarts} restarts")
    screen.say(f"  {', '.join(facts)}")
    if detail.checkpoint is not None:
        screen.say(f"  checkpoint: {detail.checkpoint.path}")
    output = "" if good else f", irongrid logs {row.job_id}"
    screen.say(f"  more: irongrid show {row.job_id}{output}")
