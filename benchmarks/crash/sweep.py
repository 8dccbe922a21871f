"""One scenario, and a SIGKILL at each of its commits in turn.

`strace` kills the server as it enters its k-th fdatasync, for every k. A client then does what a
careful client does: it starts the server again and sends every request again with the same key.
Whatever k was, the scenario must end in the same way.
"""

import contextlib
import re
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.crash.server import Victim
from benchmarks.report import say

from irongrid.client.api import Client
from irongrid.errors import Conflict, IrongridError

PATIENCE_S = 60.0
EXPECTED = {
    "gang": "succeeded",
    "wrong": "failed",
    "dropped": "cancelled",
    "held": "succeeded",
    "late": "succeeded",
}


@dataclass
class Sweep:
    """Counts over all commits. All but `commits` must be 0."""

    commits: int = 0
    lost: int = 0
    double_launches: int = 0
    invariant_breaks: int = 0
    orphans: int = 0
    notes: list[str] = field(default_factory=list)


def sweep(folder: Path, *, every: int = 1) -> Sweep:
    """Kill at each commit.

    Args:
        every: 1 is all of them; n takes every n-th, for quick runs.
    """
    counts = Sweep()
    last = _commits(folder / "count")
    say(f"the scenario has {last} commits")
    for k in range(1, last + 1, every):
        inject = [
            "strace", "-f", "-qq", "-o", "/dev/null", "--seccomp-bpf", "-e", "trace=fdatasync",
            "-e", f"inject=fdatasync:signal=SIGKILL:when={k}",
        ]  # fmt: skip
        victim = Victim(folder / f"at-{k}")
        _scenario(victim, inject, counts, f"killed at commit {k}")
        counts.commits += 1
        if counts.commits % 10 == 0:
            say(f"killed at {counts.commits} commits")
    return counts


def _commits(folder: Path) -> int:
    """The most fdatasyncs that one thread does in an undisturbed run: the commits of the log."""
    folder.mkdir(parents=True)
    trace = folder / "trace"
    under = ["strace", "-f", "-qq", "-o", str(trace), "--seccomp-bpf", "-e", "trace=fdatasync"]
    counts = Sweep()
    _scenario(Victim(folder), under, counts, "undisturbed")
    if counts.lost or counts.double_launches or counts.invariant_breaks:
        raise RuntimeError(f"the scenario fails without a kill: {counts}")
    threads = Counter(re.findall(r"^(\d+) +fdatasync\(", trace.read_text(), flags=re.M))
    return max(threads.values())


def _scenario(victim: Victim, under: list[str], counts: Sweep, name: str) -> None:
    victim.start(under)
    told: dict[str, str] = {}
    deadline = time.monotonic() + PATIENCE_S
    states: dict[str, str] = {}
    while time.monotonic() < deadline:
        try:
            with Client.from_home(victim.home, patience_s=0.1) as client:
                states = _drive(victim, client, told)
            if states == EXPECTED:
                break
        except IrongridError:
            assert victim.process is not None
            if victim.process.poll() is not None:
                victim.start()
        time.sleep(0.1)
    victim.kill()
    if states != EXPECTED:
        counts.lost += 1
        counts.notes.append(f"{name}: ended as {states}")
    counts.double_launches += victim.double_launches()
    counts.orphans += victim.orphans()
    broken = victim.invariant_breaks(checks=10**6)
    counts.invariant_breaks += len(broken)
    counts.notes += [f"{name}: {line}" for line in broken[:3]]


def _drive(victim: Victim, client: Client, told: dict[str, str]) -> dict[str, str]:
    """Send every request again; each is idempotent. Returns the states of all jobs by name."""
    jobs = {
        "gang": victim.job(ranks=3),
        "wrong": victim.job(code=3),
        "dropped": victim.job(ranks=4),
        "held": victim.job(ranks=2),
        "late": victim.job(),
    }
    for key, job in jobs.items():
        answer = client.submit({**job, "name": key}, key=key)
        if told.setdefault(key, answer.job_id) != answer.job_id:
            raise RuntimeError(f"{key} was acknowledged as {told[key]} and is now {answer.job_id}")
        if key == "dropped":
            client.cancel(answer.job_id)
    _pause_and_resume(client, told)
    return {key: client.job(told[key]).row.state for key in jobs}


def _pause_and_resume(client: Client, told: dict[str, str]) -> None:
    if "resumed" in told:
        return
    with contextlib.suppress(Conflict):  # It may have ended first, or be stopping still.
        client.pause(told["held"])
        client.resume(told["held"])
        told["resumed"] = "yes"
    if client.job(told["held"]).row.state == "succeeded":
        told["resumed"] = "yes"


def strace_version() -> str:
    """The version of the tool that injects the kills.

    Raises:
        FileNotFoundError: it is not installed.
    """
    found = subprocess.run(["strace", "-V"], capture_output=True, text=True, check=True)
    return found.stdout.partition("\n")[0]
