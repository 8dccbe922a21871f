"""A full disk: nobody is told a lie, reads go on, and writes do so once there is space."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.server.conftest import wait_until

SMALL_DISK_BYTES = 4 * 2**20


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A home folder on a file system of 4 MiB."""
    folder = Path(tempfile.mkdtemp(prefix="irongrid-disk-"))
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK_BYTES}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        folder.rmdir()
        message = "this needs root, to mount a small tmpfs: sudo make test"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
    folder.rmdir()


def test_a_full_disk_is_refused_with_the_way_out_and_forgotten_once_there_is_space(
    start: Any, small_disk: Path
) -> None:
    server = start(small_disk)
    blocker = server.submit("sleep 300", resources={"count": 2})
    server.wait_state(blocker, "running")
    ballast = small_disk / "ballast"
    kept = []
    with ballast.open("wb") as file:
        # All but a few pages of what is free.
        left = os.statvfs(small_disk)
        file.write(b"x" * (left.f_bavail * left.f_frsize - 200_000))
    refused = None
    for number in range(2000):
        body = {"job": {"run": "true " + "x" * 2000, "workdir": "/"}, "key": f"k{number}"}
        answer = server.call("POST", "/v1/jobs", body)
        if answer.status != 201:
            refused = answer
            break
        kept.append(answer.json["job_id"])

    assert refused is not None
    assert (refused.status, refused.json["code"]) == (503, "store_unavailable")
    assert "disk" in refused.json["problem"]
    assert "with the same key" in refused.json["fix"]
    rows = server.call("GET", "/v1/jobs?limit=1000").json["jobs"]
    assert {row["job_id"] for row in rows} == {blocker, *kept}

    ballast.unlink()
    wait_until(
        lambda: server.call("POST", "/v1/jobs", body).status == 201,
        say=lambda: "no submit was accepted when the disk had space again",
    )
    server.kill()
    again = start(small_disk)
    rows = again.call("GET", "/v1/jobs?limit=1000").json["jobs"]
    assert {row["job_id"] for row in rows} >= {blocker, *kept}
    assert len(rows) == len(kept) + 2
    # The blocker last: nothing may begin on a disk that is about to go.
    for job in (*(row["job_id"] for row in rows if row["job_id"] != blocker), blocker):
        again.call("POST", f"/v1/jobs/{job}/cancel")
    again.wait_state(blocker, "cancelled")
    again.stop()
