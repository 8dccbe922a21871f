"""A real server, started as people start it, shared by the tests of the command line."""

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from irongrid.cli.main import run
from irongrid.client.api import Client
from irongrid.client.home import Home

# For whatever has to happen at all. It may take long on a busy machine; a test fails only then.
TIMEOUT_S = 180.0


@dataclass(frozen=True)
class Said:
    """What a command line printed, and how it ended."""

    exit_code: int
    out: str
    err: str

    @property
    def value(self) -> dict[str, Any]:
        """The object of --json: exactly one line."""
        (line,) = self.out.splitlines()
        value = json.loads(line)
        assert isinstance(value, dict)
        return value


Irongrid = Callable[..., Said]


def command_line(
    home: Path,
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    text: str = "",
    **env: str,
) -> Said:
    """Run `irongrid ARGV` as a process of its own, as a shell would, without a terminal."""
    done = subprocess.run(
        [sys.executable, "-m", "irongrid.cli.main", *argv],
        capture_output=True,
        text=True,
        input=text,
        cwd=cwd,
        timeout=TIMEOUT_S,
        env={**os.environ, "IRONGRID_HOME": str(home), "COLUMNS": "80", **env},
    )
    return Said(done.returncode, done.stdout, done.stderr)


def heed_ctrl_c() -> None:
    """As from a terminal. What a shell starts in the background ignores it, and all below that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture(scope="session")
def server_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The home of a running server with two nodes of two CPU devices."""
    home = tmp_path_factory.mktemp("irongrid") / "home"
    said = command_line(home, ["up", "--detach", "--nodes", "2x2", "--json"])
    assert said.exit_code == 0, said.err
    yield home
    said = command_line(home, ["down", "--stop-jobs", "--json"])
    assert said.exit_code == 0, said.err


@pytest.fixture
def irongrid(server_home: Path, monkeypatch: pytest.MonkeyPatch) -> Irongrid:
    """Run a command line against the shared server, in this process: the quick way."""

    def run_here(*argv: str, cwd: Path | None = None, text: str = "", **env: str) -> Said:
        out, err = (io.TextIOWrapper(io.BytesIO(), write_through=True) for _ in range(2))
        with monkeypatch.context() as patch:
            patch.chdir(cwd or Path.cwd())
            for name, value in {"IRONGRID_HOME": server_home, "COLUMNS": 80, **env}.items():
                patch.setenv(name, str(value))
            patch.setattr(sys, "stdin", io.StringIO(text))
            with redirect_stdout(out), redirect_stderr(err):
                exit_code = run(argv)
        return Said(exit_code, *(_written(stream) for stream in (out, err)))

    return run_here


def _written(stream: io.TextIOWrapper) -> str:
    stream.seek(0)
    return stream.read()


@pytest.fixture
def client(server_home: Path) -> Iterator[Client]:
    """The typed client of the shared server."""
    with Client.from_home(Home(server_home)) as client:
        yield client
