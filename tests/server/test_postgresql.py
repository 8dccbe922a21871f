"""The same server on PostgreSQL: a job's trip, a restart, and one server per store."""

from pathlib import Path
from typing import Any

from tests.server.conftest import DEADLINE_S

PASSWORD = "pw-canary-9c1d"


def with_password(target: str) -> str:
    """The URL with a password in it, which this server does not check, and nobody may see."""
    return target.replace("postgresql://postgres@", f"postgresql://postgres:{PASSWORD}@")


def test_a_server_on_postgresql_runs_jobs_and_finds_them_again(
    start: Any, tmp_path: Path, postgres_target: str
) -> None:
    target = with_password(postgres_target)
    server = start(tmp_path / "one", store_url=target, snapshot_every=5)
    first = server.submit("true", env={"SECRET": "value"})
    server.wait_state(first, "succeeded")
    status = server.call("GET", "/v1/status")
    held = start(tmp_path / "two", ready=False, store_url=target)
    assert held.process.wait(timeout=DEADLINE_S) == 1
    server.kill()

    again = start(tmp_path / "one", store_url=target, snapshot_every=5)
    assert again.job(first)["row"]["state"] == "succeeded"
    second = again.submit("true", key="after")
    again.wait_state(second, "succeeded")
    assert (first, second) == ("j000001", "j000002")
    assert again.stop() == 0

    refused = (tmp_path / "two" / "stderr").read_text()
    assert "the store is held by" in refused
    assert status.json["store"].startswith("postgresql")
    for text in (refused, status.body.decode(), (tmp_path / "one" / "stderr").read_text()):
        assert PASSWORD not in text
        assert "irongrid snapshot" not in text
