"""SIGKILL of a real server, many times, while clients submit, cancel and list jobs.

Clients remember what was acknowledged. After each restart all of it must be there, and at the end
every job must have run once, in one place.
"""

import random
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.crash.server import Victim
from benchmarks.report import say

from irongrid.client.api import Client
from irongrid.errors import IrongridError

CLIENTS = 4
# One job in so many runs; the others are cancelled as soon as they are acknowledged.
ONE_RUNS_IN = 25
# Then a client only reads until the kill, so that the log stays short enough to check thoroughly.
JOBS_PER_LIFE = 15
DRAIN_S = 300.0


@dataclass
class Acknowledged:
    """What clients were told, by idempotency key."""

    jobs: dict[str, str] = field(default_factory=dict)
    cancelled: set[str] = field(default_factory=set)
    sent: set[str] = field(default_factory=set)


@dataclass
class Kills:
    """Counts over all kills. `lost` and the ones below it must be 0."""

    kills: int = 0
    acknowledged: int = 0
    restart_s: list[float] = field(default_factory=list)
    lost: int = 0
    double_launches: int = 0
    invariant_breaks: int = 0
    orphans: int = 0
    not_finished: int = 0
    notes: list[str] = field(default_factory=list)


def random_kills(folder: Path, *, kills: int, seed: int) -> Kills:
    """Start, load, kill; again and again."""
    rng = random.Random(seed)
    victim, told, counts = Victim(folder), Acknowledged(), Kills()
    for number in range(kills):
        counts.restart_s.append(victim.start())
        stop = threading.Event()
        clients = [
            threading.Thread(target=_load, args=(victim, told, f"{number}.{who}", seed, stop))
            for who in range(CLIENTS)
        ]
        for client in clients:
            client.start()
        time.sleep(rng.uniform(0.0, 0.8))
        victim.kill()
        counts.kills += 1
        stop.set()
        for client in clients:
            client.join()
        if number % 20 == 19:
            say(f"{counts.kills} kills, {len(told.jobs)} jobs acknowledged")
    counts.restart_s.append(victim.start())
    _settle(victim, told, counts)
    victim.kill()
    _count(victim, counts)
    counts.acknowledged = len(told.jobs) + len(told.cancelled)
    return counts


def _load(victim: Victim, told: Acknowledged, name: str, seed: int, stop: threading.Event) -> None:
    """Submit and cancel until the server is gone."""
    rng = random.Random(f"{seed}.{name}")
    number = 0
    try:
        with Client.from_home(victim.home, patience_s=0.1) as client:
            while not stop.is_set():
                if number == JOBS_PER_LIFE:
                    client.jobs(limit=50)
                    continue
                number += 1
                key = f"{name}.{number}"
                told.sent.add(key)
                answer = client.submit(_job(victim, key), key=key)
                told.jobs[key] = answer.job_id
                if rng.randrange(ONE_RUNS_IN):
                    client.cancel(answer.job_id)
                    told.cancelled.add(key)
                elif rng.random() < 0.5:
                    client.jobs(limit=20)
    except IrongridError:
        return  # The server is gone, as it should be.


def _settle(victim: Victim, told: Acknowledged, counts: Kills) -> None:
    """Ask for everything that was acknowledged, and let what is left run to its end."""
    with Client.from_home(victim.home) as client:
        for key in sorted(told.sent):
            if key in told.jobs:
                _expect(client, key, told, counts)
            else:
                # The client's right move after a lost answer: send the same key again.
                client.submit(_job(victim, key), key=key)
        deadline = time.monotonic() + DRAIN_S
        while time.monotonic() < deadline:
            left = client.jobs(limit=1).counts
            active = left["queued"] + left["starting"] + left["running"]
            if active == 0:
                break
            time.sleep(0.5)
        else:
            counts.not_finished = active
            counts.notes.append(f"{active} jobs had not ended after {DRAIN_S:.0f} s")
        ended = client.jobs(limit=1).counts
        if ended["failed"]:
            counts.not_finished += ended["failed"]
            counts.notes.append(f"{ended['failed']} jobs failed")


def _job(victim: Victim, key: str) -> dict[str, object]:
    """The job that belongs to a key, always the same one."""
    return victim.job(ranks=random.Random(key).choice((1, 1, 2, 3)))


def _expect(client: Client, key: str, told: Acknowledged, counts: Kills) -> None:
    job = told.jobs[key]
    try:
        state = client.job(job).row.state
    except IrongridError as error:
        counts.lost += 1
        counts.notes.append(f"{job} (key {key}): {error}")
        return
    if key in told.cancelled and state not in ("cancelled", "starting", "running"):
        counts.lost += 1
        counts.notes.append(f"{job}: its cancellation was acknowledged, and it is {state}")


def _count(victim: Victim, counts: Kills) -> None:
    counts.double_launches = victim.double_launches()
    broken = victim.invariant_breaks()
    counts.invariant_breaks = len(broken)
    counts.orphans = victim.orphans()
    counts.notes += broken[:10]
