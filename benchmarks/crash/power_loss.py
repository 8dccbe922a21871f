"""Power loss at every sync and every acknowledgement of a real SQLite store.

A server's work on a store is traced call by call. At each point where power could fail, disks are
made up from what was synced and any part of what was not. Each must open, be whole, and hold all
that had been acknowledged by then.

    python benchmarks/crash/power_loss.py [--json] [--images 12] [--rounds 40] [--seed 0]
    python benchmarks/crash/power_loss.py --mutant sync-normal     # must find losses
"""

import argparse
import json
import os
import platform
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.crash.disk import FATES, Disk  # noqa: E402
from benchmarks.crash.syscalls import NOTES, Note, Op, Sync, trace  # noqa: E402

from irongrid.domain.event import JobSubmitted, Recorded  # noqa: E402
from irongrid.domain.ids import job_id  # noqa: E402
from irongrid.domain.job import JobSpec, RunTask  # noqa: E402
from irongrid.errors import Fenced, IrongridError  # noqa: E402
from irongrid.ports import JobEnvironment  # noqa: E402
from irongrid.store import EventStore, open_reader, open_store, sqlite  # noqa: E402
from irongrid.store.schema import ENVIRONMENTS  # noqa: E402

MUTANTS = ("none", "sync-normal", "sync-off", "early-ack", "no-fence")
DATABASE = "irongrid.db"
# The wal-index is rebuilt after a crash, and the lock is the kernel's.
IGNORED = ("-shm", ".lock")
SNAPSHOT_EVERY = 4
# Small, so that checkpoints of the write-ahead log happen often, at every stage of the work.
CHECKPOINT_PAGES = 24

_ENVIRONMENTS = select(ENVIRONMENTS.c.job, ENVIRONMENTS.c.body)


def record(seq: int) -> Recorded:
    """The event with this number; always the same one."""
    noise = random.Random(seq).randbytes(random.Random(seq).choice((20, 200, 3000))).hex()
    spec = JobSpec(name=f"job-{seq}", task=RunTask(argv=("true", noise)), workdir="/w")
    return Recorded(seq, 10**18 + seq, JobSubmitted(job=job_id(seq), spec=spec, key=f"k{seq}"))


def environment(seq: int) -> JobEnvironment:
    """The environment that is appended with this event."""
    return JobEnvironment(job=job_id(seq), values={"N": str(seq)})


def snapshot_of(seq: int) -> list[str]:
    """The parts of the snapshot after this event; always the same ones."""
    return [random.Random(seq + part).randbytes(30_000).hex() for part in range(3)]


# ---- the workload, in a process of its own under the tracer ------------------------------------


def mutate(mutant: str) -> None:
    """Break one promise of the store on purpose."""
    if mutant in ("sync-normal", "sync-off"):
        level = mutant.removeprefix("sync-").upper()
        pragmas = (line.replace("= FULL", f"= {level}") for line in sqlite.PRAGMAS)
        sqlite.PRAGMAS = tuple(pragmas)
    elif mutant == "no-fence":
        EventStore._fence = lambda self: ()  # type: ignore[method-assign]


def work(folder: Path, mutant: str, rounds: int) -> None:
    """What a server does: open, append, snapshot, restart. Notes what it would acknowledge."""
    mutate(mutant)
    notes = os.open(folder / NOTES, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def acknowledge(what: str, number: int) -> None:
        os.write(notes, f"{what} {number}\n".encode())

    seq = 0
    for half in range(2):
        store = open_store(folder / DATABASE, holder="power loss")
        acknowledge("epoch", store.server_epoch)
        reader = open_reader(folder / DATABASE)
        for connection in (store._connection, reader._connection):
            connection.exec_driver_sql(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
            connection.rollback()
        for number in range(half * rounds // 2, (half + 1) * rounds // 2):
            seqs = range(seq + 1, seq + 1 + (1, 3, 12)[number % 3])
            seq = seqs[-1]
            if mutant == "early-ack":
                acknowledge("seq", seq)
            store.append([record(n) for n in seqs], [environment(n) for n in seqs])
            acknowledge("seq", seq)
            if number % SNAPSHOT_EVERY == SNAPSHOT_EVERY - 1:
                reader.write_snapshot(seq, snapshot_of(seq))
                acknowledge("snapshot", seq)
        reader.close()
        store.close()


# ---- after power came back ---------------------------------------------------------------------


@dataclass
class Promised:
    """What the server had acknowledged when power failed."""

    epoch: int = 0
    seq: int = 0
    snapshot: int = 0

    def add(self, note: str) -> None:
        """Take in one acknowledgement."""
        what, _, number = note.partition(" ")
        setattr(self, what, int(number))


@dataclass
class Counts:
    """What was tried and what was found.

    Attributes:
        lost: acknowledged events, epochs and snapshots that were missing, over all images.
        integrity_failures: images that did not open, were damaged, had gaps, or took no event.
    """

    points: int = 0
    images: int = 0
    lost: int = 0
    integrity_failures: int = 0
    first_failure: str = ""


def examine(folder: Path, promised: Promised, counts: Counts) -> str:
    """Open a store as the next server would; returns what is wrong with it, or nothing."""
    try:
        store = open_store(folder / DATABASE, holder="the next server", wait_s=0.0)
    except IrongridError as error:
        counts.lost += promised.seq
        return str(error)
    try:
        with store._transaction() as connection:
            verdict = connection.exec_driver_sql("PRAGMA integrity_check").scalar_one()
        if verdict != "ok":
            return str(verdict)
        records = list(store.read())
        counts.lost += max(0, promised.seq - len(records))
        counts.lost += store.server_epoch <= promised.epoch
        if records != [record(n) for n in range(1, len(records) + 1)]:
            return "the log is no prefix of what was appended"
        with store._transaction() as connection:
            kept = {job: json.loads(body) for job, body in connection.execute(_ENVIRONMENTS)}
        for seq in range(1, promised.seq + 1):
            counts.lost += kept.get(job_id(seq)) != environment(seq).values
        counts.lost += _snapshot_is_lost(store, promised.snapshot)
        store.append([record(len(records) + 1)])
    except IrongridError as error:
        return str(error)
    finally:
        store.close()
    return ""


def _snapshot_is_lost(store: EventStore, promised_seq: int) -> bool:
    found = store.latest_snapshot()
    if found is None:
        return promised_seq > 0
    seq, parts = found
    return seq < promised_seq or list(parts) != snapshot_of(seq)


def crash_points(ops: Sequence[Op]) -> Iterator[tuple[Disk, Promised]]:
    """The disk and the promises at each moment worth a crash."""
    disk, promised = Disk(), Promised()
    for op in ops:
        if isinstance(op, Note):
            promised.add(op.text)
            yield disk, promised
        else:
            # Just before a sync the most is at stake.
            if isinstance(op, Sync) and disk.at_risk:
                yield disk, promised
            disk.do(op)


def power_loss(*, rounds: int, images: int, seed: int, mutant: str = "none") -> Counts:
    """Trace the work once, lose power at each point, `images` times in different ways."""
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    scratch = Path(tempfile.mkdtemp(prefix="irongrid-power-", dir=base))
    counts = Counts()
    try:
        folder = scratch / "traced"
        folder.mkdir()
        child = [sys.executable, __file__, "--work-in", str(folder)]
        ops = trace([*child, "--rounds", str(rounds), "--mutant", mutant], folder, IGNORED)
        for point, (disk, promised) in enumerate(crash_points(ops)):
            counts.points += 1
            for number in range(images):
                fate = FATES[number % len(FATES)]
                rng = random.Random(f"{seed}.{point}.{number}")
                files = disk.after_power_loss(fate, rng)
                counts.images += 1
                _examine_image(scratch / "image", files, promised, counts, f"{point} {fate}")
    finally:
        shutil.rmtree(scratch)
    return counts


def _examine_image(
    folder: Path, files: dict[str, bytes], promised: Promised, counts: Counts, where: str
) -> None:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    lost_before = counts.lost
    problem = examine(folder, promised, counts)
    counts.integrity_failures += bool(problem)
    if (problem or counts.lost > lost_before) and not counts.first_failure:
        counts.first_failure = f"point {where}: {problem or 'lost'} ({promised})"
    shutil.rmtree(folder)


def stale_appends(mutant: str = "none") -> int:
    """Batches that a server could append after another one had taken its store over."""
    fence = EventStore._fence
    mutate(mutant)
    with tempfile.TemporaryDirectory(prefix="irongrid-fence-") as folder:
        old = open_store(Path(folder) / DATABASE, holder="the old server")
        new = open_store(Path(folder) / DATABASE, holder="the new server", takeover=True)
        try:
            old.append([record(1)])
        except Fenced:
            return 0
        finally:
            old.close()
            new.close()
            EventStore._fence = fence  # type: ignore[method-assign]
    return 1


def main() -> int:
    """Run, print, and answer 0 if nothing was lost."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="one object on the last line")
    parser.add_argument("--mutant", choices=MUTANTS, default="none", help="break a promise")
    parser.add_argument("--rounds", type=int, default=40, help="commits of the workload")
    parser.add_argument("--images", type=int, default=12, help="disks per point")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work-in", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.work_in is not None:
        work(asked.work_in, asked.mutant, asked.rounds)
        return 0

    counts = power_loss(
        rounds=asked.rounds, images=asked.images, seed=asked.seed, mutant=asked.mutant
    )
    figures = {
        "points": counts.points,
        "images": counts.images,
        "lost": counts.lost,
        "integrity_failures": counts.integrity_failures,
        "stale_appends": stale_appends(asked.mutant),
    }
    zero = ("lost", "integrity_failures", "stale_appends")
    claims = {
        name: {"value": figures[name], "limit": 0, "holds": figures[name] == 0} for name in zero
    }
    if counts.first_failure:
        print(f"first failure: {counts.first_failure}", file=sys.stderr)
    for name, value in figures.items():
        print(f"{name:>20} {value}", file=sys.stderr)
    if asked.json:
        print(json.dumps({**figures, **circumstances(), "repeats": 1, "claims": claims}))
    return 0 if all(claim["holds"] for claim in claims.values()) else 1


def circumstances() -> dict[str, object]:
    """Where and on what this ran."""
    git = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True).stdout.strip()
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs"
    return {"machine": machine, "load": os.getloadavg()[0], "commit": commit}


if __name__ == "__main__":
    sys.exit(main())
