"""Snapshots are made beside a busy server, and a restart starts from the newest one."""

from pathlib import Path
from typing import Any

from tests.server.conftest import wait_until

from irongrid.control.snapshot import state_hash
from irongrid.server.replay import load_state
from irongrid.store import open_reader


def test_a_restart_starts_from_a_snapshot_that_a_child_has_made(start: Any, tmp_path: Path) -> None:
    server = start(tmp_path, snapshot_every=20)
    blocker = server.submit("sleep 300", resources={"count": 2})
    server.wait_state(blocker, "running")
    jobs = [server.submit("true", name=f"n{number}") for number in range(40)]
    reader = open_reader(tmp_path / "irongrid.db")
    wait_until(lambda: reader.latest_snapshot() is not None, say=(tmp_path / "stderr").read_text)
    newest = reader.latest_snapshot()
    server.kill()

    assert newest is not None
    assert newest[0] >= 20
    with_snapshot = load_state(reader)
    reader.latest_snapshot = lambda: None  # type: ignore[method-assign]
    assert state_hash(load_state(reader)) == state_hash(with_snapshot)
    reader.close()
    again = start(tmp_path, snapshot_every=20)
    assert again.call("GET", "/v1/jobs").json["counts"]["queued"] == len(jobs)
    again.call("POST", f"/v1/jobs/{blocker}/cancel")
    again.wait_state(blocker, "cancelled")
    assert "irongrid snapshot" not in (tmp_path / "stderr").read_text()
    again.stop()
