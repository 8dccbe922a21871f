"""The rank's calls: nothing outside a job, never a wait and never an error inside one."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.pace import at_known_pace

# For whatever has to happen at all. It may take long on a busy machine; a test fails only then.
DEADLINE_S = 90.0
PRELUDE = "from irongrid import session\n"


class Listener:
    """A worker's socket that the test reads by hand."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(path))
        self.socket.listen()
        self.socket.settimeout(DEADLINE_S)

    def run(self, code: str) -> "subprocess.Popen[str]":
        environment = dict(os.environ) | {
            "IRONGRID_SOCKET": str(self.path),
            "IRONGRID_RANK": "3",
            "IRONGRID_GENERATION": "2",
        }
        return subprocess.Popen(
            [sys.executable, "-c", PRELUDE + code],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def accept(self) -> socket.socket:
        connection, _ = self.socket.accept()
        connection.settimeout(DEADLINE_S)
        return connection


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    made = Listener(tmp_path / "s")
    yield made
    made.socket.close()


def read_all(connection: socket.socket) -> list[dict[str, Any]]:
    data = b""
    while part := connection.recv(65536):
        data += part
    return [json.loads(line) for line in data.splitlines()]


def test_outside_a_job_every_call_does_nothing() -> None:
    code = (
        "session.phase('build'); session.ready(3); session.progress(1, loss=2)\n"
        "session.checkpointed(step=1, path='p', size_bytes=1)\n"
        "session.checkpoint_failed(step=1, code='io_error', message='m'); session.close()\n"
        "print(session.should_checkpoint(), session.should_stop(), session.stop_wants_save())"
    )
    environment = {name: value for name, value in os.environ.items() if "IRONGRID" not in name}
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + code],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "False False False\n"


def test_the_session_brings_nothing_but_the_standard_library() -> None:
    code = "import sys, irongrid.session; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())

    assert {name for name in loaded if name.startswith("irongrid")} == {
        "irongrid",
        "irongrid.session",
        "irongrid.session.protocol",
        "irongrid.session.rank",
    }
    assert not loaded & {"dataclasses", "asyncio", "subprocess"}


def test_what_a_rank_says_arrives_in_order_after_its_name(listener: Listener) -> None:
    code = (
        "session.phase('build'); session.ready(7, 9); session.progress(8, loss=1.5)\n"
        "session.checkpointed(step=8, path='p', size_bytes=2, written_bytes=1)\n"
        "session.checkpoint_failed(step=9, code='disk_full', message='no room')"
    )
    process = listener.run(code)
    lines = read_all(listener.accept())

    assert process.wait() == 0
    assert lines == [
        {"t": "hello", "rank": 3, "generation": 2, "pid": process.pid},
        {"t": "phase", "name": "build"},
        {"t": "ready", "resumed_step": 7, "reached_step": 9},
        {"t": "progress", "step": 8, "metrics": {"loss": 1.5}},
        {
            "t": "checkpoint", "step": 8, "path": "p", "size_bytes": 2,
            "written_bytes": 1, "age_ns": 0, "stall_ns": 0,
        },
        {"t": "checkpoint_failed", "step": 9, "code": "disk_full", "message": "no room"},
    ]  # fmt: skip


def test_requests_reach_the_rank_and_a_checkpoint_is_due_once_for_each(listener: Listener) -> None:
    code = (
        "import time\n"
        "def until(call):\n"
        "    while not call(): time.sleep(0.002)\n"
        "until(session.should_checkpoint); print('one', session.should_checkpoint(), flush=True)\n"
        "until(session.should_checkpoint); print('two', session.should_stop(), flush=True)\n"
        "until(session.should_stop); print('stop', session.stop_wants_save(), flush=True)"
    )
    process = listener.run(code)
    connection = listener.accept()
    assert process.stdout is not None
    connection.send(b'{"t":"checkpoint"}\n')
    assert process.stdout.readline() == "one False\n"
    connection.send(b'{"t":"something newer"}\n{"t":"check')
    connection.send(b'point"}\n')
    assert process.stdout.readline() == "two False\n"
    connection.send(b'{"t":"stop","save":true}\n')
    assert process.stdout.readline() == "stop True\n"
    assert process.wait() == 0


def test_a_worker_that_does_not_read_never_holds_a_rank_up(listener: Listener) -> None:
    code = (
        "for step in range(20_000): session.progress(step, loss=1.0)\n"
        "session.checkpointed(step=20_000, path='last', size_bytes=1)\n"
        "print('done', flush=True); input()"
    )
    process = listener.run(code)
    connection = listener.accept()
    assert process.stdout is not None
    assert process.stdout.readline() == "done\n", "though nobody has read anything yet"
    # When it reads again, what is a fact is still there, though most of the progress is not.
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    lines = read_all(connection)

    assert process.wait() == 0
    assert lines[-1]["path"] == "last"
    assert 100 < len(lines) < 20_000


def test_a_rank_outlives_its_worker(listener: Listener) -> None:
    code = (
        "import sys\n"
        "session.phase('step'); print('up', flush=True); input()\n"
        "for step in range(1000): session.progress(step)\n"
        "print(session.should_stop(), flush=True)"
    )
    process = listener.run(code)
    connection = listener.accept()
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    connection.close()
    out, _ = process.communicate("\n", timeout=DEADLINE_S)

    assert (out, process.returncode) == ("False\n", 0)


def test_a_worker_that_is_not_there_is_no_error(listener: Listener) -> None:
    listener.socket.close()
    process = listener.run("session.progress(1); print(session.should_checkpoint())")
    out, _ = process.communicate(timeout=DEADLINE_S)

    assert (out, process.returncode) == ("False\n", 0)


def test_a_forked_child_neither_speaks_for_its_parent_nor_cuts_it_off(listener: Listener) -> None:
    # Like the workers of a data loader, which inherit everything and end on their own.
    code = (
        "import os, sys\n"
        "session.progress(1)\n"
        "if os.fork() == 0: sys.exit()\n"
        "os.wait(); session.progress(2)"
    )
    process = listener.run(code)
    lines = read_all(listener.accept())

    assert process.wait() == 0
    assert [line["step"] for line in lines if line["t"] == "progress"] == [1, 2]
    assert sum(line["t"] == "hello" for line in lines) == 1


def test_a_figure_that_is_no_number_is_the_callers_mistake() -> None:
    from irongrid import session

    with pytest.raises((TypeError, ValueError)):
        session.progress(1, loss="high")  # type: ignore[arg-type]


def test_a_call_costs_microseconds(listener: Listener) -> None:
    code = (
        "import time; session.should_stop(); begun = time.process_time()\n"
        "for step in range(2000):\n"
        "    session.should_checkpoint(); session.should_stop()\n"
        "print(time.process_time() - begun)"
    )

    def call_s() -> float:
        process = listener.run(code)
        listener.accept()
        out, _ = process.communicate(timeout=DEADLINE_S)
        return float(out) / 2000

    assert at_known_pace(call_s, 200e-6) < 200e-6
