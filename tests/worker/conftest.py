"""A scripted server, and workers that are gone when the test is."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
from tests.worker.stage import ScriptedServer, Worker, order_for, run_spec, start_worker

from irongrid.domain.job import JobSpec


class Launch(Protocol):
    """Starts a worker for a command, or for a whole spec."""

    def __call__(
        self,
        *argv: str,
        ranks: int = 1,
        spec: JobSpec | None = None,
        inherited: dict[str, str] | None = None,
        **fields: Any,
    ) -> Worker: ...


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ScriptedServer]:
    scripted = ScriptedServer(tmp_path / "address")
    scripted.up()
    yield scripted
    scripted.down()


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    workers: list[Worker] = []

    def start(
        *argv: str,
        ranks: int = 1,
        spec: JobSpec | None = None,
        inherited: dict[str, str] | None = None,
        **fields: Any,
    ) -> Worker:
        order = order_for(tmp_path, spec or run_spec(tmp_path, *argv), ranks, **fields)
        worker = start_worker(order, inherited or {})
        workers.append(worker)
        return worker

    yield start
    for worker in workers:
        worker.process.kill()
        worker.process.wait()
        for pid in worker.others():
            os.kill(pid, signal.SIGKILL)
