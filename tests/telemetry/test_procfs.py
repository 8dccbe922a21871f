"""The process table tells the living from the dead, and whose they are."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from irongrid.telemetry import procfs

MARK = (f"/a home/{os.getpid()}/jobs/j000001", "j000001.1", "n0")
MARKED = dict(zip(procfs.MARK_VARIABLES, MARK, strict=True))


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "600"], env=dict(os.environ) | MARKED)
    yield process
    process.kill()
    process.wait()


def test_a_process_is_found_by_its_mark(sleeper: subprocess.Popen[bytes]) -> None:
    assert procfs.marked()[MARK] == {sleeper.pid}


def test_a_zombie_is_dead_although_it_is_still_listed(sleeper: subprocess.Popen[bytes]) -> None:
    born_ticks = procfs.start_ticks(sleeper.pid)
    assert born_ticks is not None
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)

    zombie = procfs.stat(sleeper.pid)
    assert zombie is not None
    assert (zombie.state, zombie.start_ticks) == ("Z", born_ticks)
    assert procfs.start_ticks(sleeper.pid) is None
    assert MARK not in procfs.marked()
    assert sleeper.pid not in procfs.descendants(os.getpid())


def test_a_process_that_never_was_has_no_start() -> None:
    assert procfs.start_ticks(2**22 + 1) is None


def test_descendants_reach_over_generations() -> None:
    code = "import subprocess; subprocess.run(['sh', '-c', 'echo $$; exec sleep 600'])"
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    grandchild = int(parent.stdout.readline())
    try:
        assert procfs.descendants(os.getpid()) >= {parent.pid, grandchild}
        assert procfs.descendants(parent.pid) == {grandchild}
    finally:
        os.kill(grandchild, 9)
        parent.wait()


def test_a_process_name_may_look_like_anything(tmp_path: os.PathLike[str]) -> None:
    # The kernel shows the name in brackets, unescaped.
    program = os.path.join(tmp_path, "a) Z 1 (b")
    os.symlink("/bin/sleep", program)
    process = subprocess.Popen([program, "600"])
    try:
        found = procfs.stat(process.pid)
        assert found is not None
        assert found.parent == os.getpid()
    finally:
        process.kill()
        process.wait()
