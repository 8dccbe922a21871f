"""What does Irongrid cost a training run, beside torchrun and a bare script? See README.md.

python benchmarks/overhead/run.py [--json] [--pairs 24] [--repeats 5]
"""

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP
from typing import Any, TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import psutil
from benchmarks.overhead.gangs import (
    Gang,
    Server,
    Submitted,
    Torchrun,
    Workload,
    signal_all,
    steps_of,
    wait_for,
)
from benchmarks.report import at_most, finish, say

# Steps of one slice; the first after a pause is not counted, as caches are cold.
SLICE_STEPS = 10
SAVE_EVERY = 10
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Slice:
    """Some steps of one side in a row.

    Attributes:
        cpu_s: processor time of its ranks per step.
        orchestration: share of a core that server and worker had meanwhile.
    """

    step_time_s: float
    cpu_s: float
    orchestration: float


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--pairs", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    load = os.getloadavg()
    with tempfile.TemporaryDirectory(prefix="irongrid-overhead-") as folder:
        server = Server(Path(folder) / "home")
        bench = Bench(server, Path(folder))
        try:
            bench.tokenise()
            starts = bench.starts(options.repeats)
            recoveries = bench.recoveries(options.repeats)
            pairs = bench.pairs(options.pairs)
        finally:
            bench.close()
            server.close()
    figures = summary(starts, recoveries, pairs)
    claims = {
        "step_ratio": at_most(figures["step_ratio"], 1.02),
        "step_ratio_upper90": at_most(figures["step_ratio_upper90"], 1.05),
        "first_step_extra_s": at_most(figures["first_step_extra_s"], 1.0),
        "recovery_ratio": at_most(figures["recovery_ratio"], 1.0),
        "server_cpu_share": at_most(figures["server_cpu_share"], 0.02),
    }
    return finish(figures, claims, repeats=options.repeats, load=load, as_json=options.json)


class Bench:
    """The two sides and what is measured of them."""

    def __init__(self, server: Server, folder: Path) -> None:
        self._server, self._folder = server, folder
        self._bares: list[Torchrun] = []

    def tokenise(self) -> None:
        """Fill the cache, so that no side pays for it."""
        say("tokenising once, for both ...")
        gang = self.ours(Workload(steps=1))
        wait_for(lambda: bool(steps_of(gang)), "a first step")
        wait_for(lambda: not gang.ranks(), "the end of the first job")

    def bare(self, work: Workload) -> Torchrun:
        """torchrun and the script, in a new folder."""
        folder = self._folder / f"bare-{len(self._bares)}"
        self._bares.append(Torchrun(folder, self._server.cache, work))
        return self._bares[-1]

    def ours(self, work: Workload) -> Submitted:
        """A job on the server."""
        return Submitted(self._server, work)

    def close(self) -> None:
        """End what a failed measurement has left. Jobs of ours end with their server."""
        for gang in self._bares:
            gang.close()

    def starts(self, repeats: int) -> list[tuple[float, float]]:
        """Seconds from the command to the first step: ours, torchrun's; in turns."""
        out = []
        for number in range(repeats):
            ours, bare = in_turns(
                number,
                lambda: first_step_s(self.ours(Workload())),
                lambda: first_step_s(self.bare(Workload())),
            )
            say(f"first step after {ours:.2f} s, by torchrun {bare:.2f} s")
            out.append((ours, bare))
        return out

    def recoveries(self, repeats: int) -> list[tuple[float, float]]:
        """Seconds from the SIGKILL of a rank to a new step: ours, torchrun's; in turns."""
        work = Workload(save_every=SAVE_EVERY)
        out = []
        for number in range(repeats):
            ours, bare = in_turns(
                number,
                lambda: recovery_s(self.ours(work)),
                lambda: recovery_s(self.bare(work)),
            )
            say(f"new step {ours:.2f} s after the kill, by torchrun {bare:.2f} s")
            out.append((ours, bare))
        return out

    def pairs(self, count: int) -> list[tuple[Slice, Slice]]:
        """Slices of both in turns: while one side runs, the other side is stopped whole."""
        bare, ours = self.bare(Workload()), self.ours(Workload())
        sides: tuple[Gang, Gang] = (ours, bare)
        wait_for(lambda: all(len(steps_of(side)) >= 3 for side in sides), "steps of both")
        for side in sides:
            signal_all(side.processes(), SIGSTOP)
        out = []
        try:
            for number in range(count):
                mine, theirs = in_turns(
                    number,
                    lambda: one_slice(ours, ours.orchestrators()),
                    lambda: one_slice(bare, []),
                )
                ratio = mine.step_time_s / theirs.step_time_s
                say(f"pair {number + 1}: {mine.step_time_s * 1e3:.1f} ms, ratio {ratio:.3f}")
                out.append((mine, theirs))
        finally:
            for side in sides:
                signal_all(side.processes(), SIGCONT)
        bare.close()
        ours.close()
        return out


def in_turns(number: int, ours: Callable[[], T], theirs: Callable[[], T]) -> tuple[T, T]:
    """Both, ours first in even rounds."""
    if number % 2 == 0:
        first = ours()
        return first, theirs()
    second = theirs()
    return ours(), second


def first_step_s(gang: Gang) -> float:
    """Seconds from the command to the first step; the run is then ended."""
    wait_for(lambda: bool(steps_of(gang)), "a first step")
    taken_s = steps_of(gang)[0][1] - gang.began_s
    gang.close()
    return taken_s


def recovery_s(gang: Gang) -> float:
    """Seconds from the kill of the last rank to the first step of a new gang."""
    wait_for(lambda: len(steps_of(gang)) >= SAVE_EVERY + 5, "a checkpoint and some steps")
    ranks = gang.ranks()
    assert len(ranks) == 2, ranks
    killed_s = time.time()
    ranks[-1].send_signal(SIGKILL)
    wait_for(lambda: not any(alive(rank) for rank in ranks), "the end of the old ranks")
    gone_s = time.time()
    wait_for(lambda: any(at_s > gone_s for _, at_s in steps_of(gang)), "a new step")
    first_s = min(at_s for _, at_s in steps_of(gang) if at_s > gone_s)
    gang.close()
    return first_s - killed_s


def one_slice(gang: Gang, orchestrators: Sequence[psutil.Process]) -> Slice:
    """Let one side run for some steps and stop it again."""
    before = len(steps_of(gang))
    processes, ranks = gang.processes(), gang.ranks()
    cpu_s, own_s, begin_s = busy_s(ranks), busy_s(orchestrators), time.monotonic()
    signal_all(processes, SIGCONT)
    wait_for(lambda: len(steps_of(gang)) > before + SLICE_STEPS, "the steps of a slice")
    signal_all(processes, SIGSTOP)
    wall_s = time.monotonic() - begin_s
    done = steps_of(gang)[before:]
    return Slice(
        step_time_s=(done[-1][1] - done[0][1]) / (len(done) - 1),
        cpu_s=(busy_s(ranks) - cpu_s) / len(done),
        orchestration=(busy_s(orchestrators) - own_s) / wall_s,
    )


def busy_s(processes: Sequence[psutil.Process]) -> float:
    """Processor time of all together so far."""
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def alive(process: psutil.Process) -> bool:
    """Whether it still exists and is no zombie."""
    return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)


def summary(
    starts: Sequence[tuple[float, float]],
    recoveries: Sequence[tuple[float, float]],
    pairs: Sequence[tuple[Slice, Slice]],
) -> dict[str, Any]:
    """The figures."""
    ratios = [mine.step_time_s / theirs.step_time_s for mine, theirs in pairs]
    low, high = interval90(ratios)

    def middle(values: Sequence[float]) -> float:
        return round(statistics.median(values), 4)

    return {
        "step_ratio": middle(ratios),
        "step_ratio_lower90": round(low, 4),
        "step_ratio_upper90": round(high, 4),
        "first_step_extra_s": middle([ours - bare for ours, bare in starts]),
        "recovery_ratio": middle([ours / bare for ours, bare in recoveries]),
        "server_cpu_share": middle([mine.orchestration for mine, _ in pairs]),
        "pairs": len(pairs),
        "step_time_s": middle([mine.step_time_s for mine, _ in pairs]),
        "bare_step_time_s": middle([theirs.step_time_s for _, theirs in pairs]),
        "step_cpu_s": middle([mine.cpu_s for mine, _ in pairs]),
        "bare_step_cpu_s": middle([theirs.cpu_s for _, theirs in pairs]),
        "step_cpu_ratio": middle([mine.cpu_s / theirs.cpu_s for mine, theirs in pairs]),
        "first_step_s": middle([ours for ours, _ in starts]),
        "bare_first_step_s": middle([bare for _, bare in starts]),
        "recovery_s": middle([ours for ours, _ in recoveries]),
        "bare_recovery_s": middle([bare for _, bare in recoveries]),
    }


def interval90(values: Sequence[float], draws: int = 4000) -> tuple[float, float]:
    """90% interval of the median, by bootstrap with a fixed seed."""
    chance = random.Random(0)
    medians = sorted(statistics.median(chance.choices(values, k=len(values))) for _ in range(draws))
    return medians[int(draws * 0.05)], medians[int(draws * 0.95)]


if __name__ == "__main__":
    sys.exit(main())
