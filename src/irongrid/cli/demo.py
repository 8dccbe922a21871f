"""`irongrid demo`: a real training job on two ranks, a killed rank, and its recovery."""

import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from irongrid.cli import demo_report as report
from irongrid.cli.down import wait_until_gone
from irongrid.cli.failures import INTERRUPTED, THE_ANSWER_IS_NO
from irongrid.cli.screen import Screen
from irongrid.cli.strike import Strike
from irongrid.cli.up import UpOptions, start_detached
from irongrid.cli.watch import watch
from irongrid.client.api import Client
from irongrid.client.home import Home
from irongrid.domain.job import JobState
from irongrid.domain.messages import EventRow
from irongrid.errors import Refused
from irongrid.units import NS_PER_S

STEPS = 160
SAVE_EVERY = 20
# In the middle, and a few steps after a checkpoint, so that there is something to lose.
KILL_AT_STEP = 86
PROMPT = "def "
SAMPLE_TOKENS = 80
SAMPLE_S = 60.0

# Smaller than any preset, so that two busy cores take a tenth of a second for a step.
SHAPE = {"layers": 2, "hidden": 128, "heads": 4, "kv_heads": 2, "ffn": 352, "vocab": 1024}
JOB: dict[str, Any] = {
    "apiVersion": "irongrid/v1",
    "name": "demo",
    "train": {
        "model": SHAPE,
        "data": {"path": "stdlib"},
        "global_batch": 8,
        "seq_len": 128,
        "steps": STEPS,
        "warmup_steps": 10,
        "learning_rate": 0.006,
        "eval": {"every": 40},
    },
    "resources": {"count": 2},
    "checkpoint": {"every": SAVE_EVERY},
}


def demo(*, as_json: bool) -> int:
    """Run the demo; the exit code is 0 only if everything was as it should be."""
    screen = Screen(as_json=as_json)
    home = Home(Path(tempfile.mkdtemp(prefix="irongrid-demo-")))
    begun_s = time.monotonic()
    report.opening(screen)
    try:
        with _server(home, screen) as client:
            result = _train(home, client, screen)
    except KeyboardInterrupt:
        shutil.rmtree(home.path, ignore_errors=True)
        screen.note("")
        screen.note("irongrid: the demo's server and job are stopped, its folder is removed")
        screen.answer({"ok": False, "interrupted": True})
        return INTERRUPTED
    result.took_s = time.monotonic() - begun_s
    report.closing(screen, result)
    screen.answer(result.as_json())
    return 0 if result.ok else THE_ANSWER_IS_NO


def _train(home: Home, client: Client, screen: Screen) -> report.Result:
    submitted = client.submit({**JOB, "workdir": str(home.path)})
    job_dir = home.job_dir(submitted.job_id)
    report.job_handed_in(screen, client.job(submitted.job_id))
    with Strike(job_dir, KILL_AT_STEP, said=partial(report.killed, screen)) as strike:
        detail = watch(client, screen, submitted.job_id)
    events = list(client.all_events(job=submitted.job_id))
    losses = report.losses(job_dir / "metrics.jsonl")
    result = report.Result(
        home=home.path,
        detail=detail,
        first_loss=report.mean(losses[:5]),
        last_loss=report.mean(losses[-5:]),
        killed_pid=strike.pid,
        killed_at_step=strike.step,
        **_recovery(events, strike.at_ns),
    )
    report.recovery(screen, result)
    if detail.row.state == JobState.SUCCEEDED:
        result.sample = _sample(job_dir)
    return result


def _recovery(events: list[EventRow], killed_at_ns: int) -> dict[str, Any]:
    """When the failure was noticed and when ranks worked again, from the log."""
    failed = [event for event in events if event.kind == "gang_failed"]
    ready = [event for event in events if event.kind == "ranks_ready"]
    if not killed_at_ns or not failed:
        return {}
    again = [event for event in ready if event.at_ns > failed[0].at_ns]
    found: dict[str, Any] = {
        "noticed_s": (failed[0].at_ns - killed_at_ns) / NS_PER_S,
        "killed_rank": failed[0].body["failure"]["rank"],
    }
    if again:
        found["recovery_s"] = (again[0].at_ns - killed_at_ns) / NS_PER_S
        found["resumed_step"] = again[0].body["resumed_step"]
    return found


def _sample(job_dir: Path) -> str:
    """Text from the newest checkpoint, by the program that people use for it."""
    words = ["--job-dir", str(job_dir), "--prompt", PROMPT, "--tokens", str(SAMPLE_TOKENS)]
    done = subprocess.run(
        [sys.executable, "-m", "irongrid.train.sample", *words],
        capture_output=True,
        text=True,
        timeout=SAMPLE_S,
    )
    if done.returncode:
        raise Refused("no_sample", "no text could be sampled", done.stderr.strip()[-500:])
    return done.stdout


@contextmanager
def _server(home: Home, screen: Screen) -> Iterator[Client]:
    """A server of the demo's own; whatever happens, it and its job are stopped at the end."""
    # `kill` must not leave a server behind either.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        start_detached(UpOptions(home=home, nodes="1x2"), screen)
        with Client.from_home(home) as client:
            try:
                report.server_is_up(screen, client.address, home)
                yield client
            finally:
                client.shutdown(stop_jobs=True)
                wait_until_gone(home, client)
    finally:
        signal.signal(signal.SIGTERM, before)
