"""How many jobs per second, how fast, and what with 100,000 of them? See README.md beside this.

python benchmarks/submit/run.py [--json] [--repeats 5] [--queued 100000] [--seconds 5]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.report import at_least, at_most, finish, say
from benchmarks.submit.clients import Measured, Wanted

from irongrid.client.api import Client
from irongrid.client.home import Home
from irongrid.errors import Unreachable

CLIENTS = 16
# Of the 16, while the queue is long: the others hand in jobs at the same time.
READERS = 4
START_S = 60.0
POLL_S = 0.005
MORE_S = 120.0


class Server:
    """A real server process of its own."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self._log = (home.path / "server.log").open("ab")
        self.serving_s = self._start()

    def _start(self) -> float:
        """Start, and wait until it lists jobs; the seconds that took."""
        (self.home.path / "address").unlink(missing_ok=True)
        began = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "irongrid.cli.main", "up", "--nodes", "1x2"],
            env={**os.environ, "IRONGRID_HOME": str(self.home.path)},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )
        while time.perf_counter() - began < START_S and self.process.poll() is None:
            try:
                with Client.from_home(self.home) as client:
                    client.jobs(limit=1)
                    return time.perf_counter() - began
            except Unreachable:
                time.sleep(POLL_S)
        raise RuntimeError(f"no server: see {self.home.server_log}")

    def kill_and_start(self) -> float:
        """SIGKILL, and the seconds until the next one serves."""
        self.process.kill()
        self.process.wait()
        self.serving_s = self._start()
        return self.serving_s

    def rss_bytes(self) -> int:
        """Memory that the process holds now."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("no VmRSS")

    def cpu_s(self) -> float:
        """Process time so far, all threads."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def load(
        self, prefix: str, *, seconds: float = 0, count: int = 0, readers: int = 0
    ) -> Measured:
        """Let the clients loose on it, from another process."""
        wanted = Wanted(
            address=self.home.address(),
            token=self.home.token(),
            submitters=CLIENTS - readers,
            readers=readers,
            seconds=seconds,
            count=count,
            prefix=prefix,
        )
        done = subprocess.run(
            [sys.executable, str(Path(__file__).with_name("clients.py"))],
            input=json.dumps(asdict(wanted)),
            capture_output=True,
            text=True,
            timeout=seconds + count / 50 + MORE_S,
        )
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        return Measured(**json.loads(done.stdout))

    def stop(self) -> None:
        """Cancel what runs, then stop in order."""
        with Client.from_home(self.home) as client:
            for row in client.jobs(state="starting,running").jobs:
                client.cancel(row.job_id)
        self.process.terminate()
        self.process.wait(timeout=60)
        self._log.close()


@contextmanager
def busy_server(folder: Path) -> Iterator[Server]:
    """A server of one node with two devices, both held, so that every further job waits."""
    folder.mkdir()
    server = Server(Home(folder))
    try:
        with Client.from_home(server.home) as client:
            holder = client.submit(
                {"run": "sleep 86400", "name": "holder", "workdir": "/", "resources": {"count": 2}}
            ).job_id
            deadline = time.monotonic() + START_S
            while client.job(holder).row.state != "running":
                if time.monotonic() > deadline:
                    raise RuntimeError("the job that holds the devices does not run")
                time.sleep(POLL_S)
        yield server
    finally:
        server.stop()


def median(values: list[float]) -> float:
    """The median, rounded for people."""
    return round(statistics.median(values), 3)


def empty_queue(folder: Path, repeats: int, seconds: float) -> dict[str, Any]:
    """Submits per second and their latency, on a fresh server each time."""
    runs: list[Measured] = []
    cpu_share, cpu_ms = [], []
    for number in range(repeats):
        with busy_server(folder / f"fresh-{number}") as server:
            before_s = server.cpu_s()
            runs.append(server.load(f"r{number}", seconds=seconds))
            used_s = server.cpu_s() - before_s
            cpu_share.append(used_s / runs[-1].seconds)
            cpu_ms.append(used_s / runs[-1].submits * 1e3)
        rate = runs[-1].submits / runs[-1].seconds
        say(f"fresh {number}: {rate:.0f}/s, p99 {runs[-1].submit_ms_p99:.1f} ms")
    return {
        "submits_per_s": median([run.submits / run.seconds for run in runs]),
        "p50_ms": median([run.submit_ms_p50 for run in runs]),
        "p99_ms": median([run.submit_ms_p99 for run in runs]),
        "server_cpu_share": median(cpu_share),
        "server_cpu_ms_per_submit": median(cpu_ms),
        "runs": [asdict(run) for run in runs],
    }


def long_queue(folder: Path, queued: int, repeats: int, seconds: float) -> dict[str, Any]:
    """The same with a long queue, with readers beside; then restarts after SIGKILL."""
    with busy_server(folder / "long") as server:
        filling = server.load("fill", count=queued)
        say(f"{queued} jobs queued over HTTP in {filling.seconds:.0f} s")
        runs = []
        for number in range(repeats):
            runs.append(server.load(f"q{number}", seconds=seconds, readers=READERS))
            rate = runs[-1].submits / runs[-1].seconds
            say(
                f"queued {number}: {rate:.0f}/s, submit p99 {runs[-1].submit_ms_p99:.1f} ms, "
                f"ps p99 {runs[-1].read_ms_p99:.1f} ms"
            )
        rss_bytes = server.rss_bytes()
        with Client.from_home(server.home) as client:
            waiting = client.jobs(limit=1).counts["queued"]
        restarts, restart_cpu = [], []
        for _ in range(repeats):
            restarts.append(server.kill_and_start())
            restart_cpu.append(server.cpu_s())
        say(f"restarts: {[round(restart_s, 2) for restart_s in restarts]} s")
        with Client.from_home(server.home) as client:
            if client.jobs(limit=1).counts["queued"] != waiting:
                raise RuntimeError("jobs were lost")
    return {
        "fill_submits_per_s": round(filling.submits / filling.seconds, 1),
        "queued_jobs": waiting,
        "queued_submits_per_s": median([run.submits / run.seconds for run in runs]),
        "queued_submit_p99_ms": median([run.submit_ms_p99 for run in runs]),
        "queued_submit_max_ms": max(run.submit_ms_max for run in runs),
        "queued_ps_p99_ms": median([run.read_ms_p99 for run in runs]),
        "queued_ps_max_ms": max(run.read_ms_max for run in runs),
        "server_rss_bytes": rss_bytes,
        "restart_s": median(restarts),
        "restart_s_max": round(max(restarts), 3),
        "restart_cpu_s": median(restart_cpu),
        "queued_runs": [asdict(run) for run in runs],
    }


def main() -> int:
    """Run both parts and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--queued", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=5.0, help="length of one run")
    options = parser.parse_args()
    load = os.getloadavg()
    with tempfile.TemporaryDirectory(prefix="irongrid-submit-") as name:
        folder = Path(name)
        figures = empty_queue(folder, options.repeats, options.seconds)
        figures |= long_queue(folder, options.queued, options.repeats, options.seconds)
    claims = {
        "submits_per_s": at_least(figures["submits_per_s"], 500),
        "p99_ms": at_most(figures["p99_ms"], 100),
        "queued_submit_p99_ms": at_most(figures["queued_submit_p99_ms"], 150),
        "queued_ps_p99_ms": at_most(figures["queued_ps_p99_ms"], 150),
        "restart_s": at_most(figures["restart_s"], 5),
    }
    return finish(figures, claims, repeats=options.repeats, load=load, as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
