"""`up` and `down`, each with a home of its own."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.conftest import Irongrid, command_line

from irongrid.client.api import Client
from irongrid.client.home import Home


@pytest.fixture
def own_home(tmp_path: Path) -> Iterator[Path]:
    home = tmp_path / "home"
    yield home
    command_line(home, ["down", "--stop-jobs"])


def test_up_twice_says_that_it_runs_already(irongrid: Irongrid, server_home: Path) -> None:
    again = irongrid("up", "--detach", "--json")

    assert again.exit_code == 0
    assert again.value["already"] is True
    assert again.value["address"] == Home(server_home).address()
    assert "already up" in again.err


def test_up_with_other_nodes_than_the_running_ones_is_refused(irongrid: Irongrid) -> None:
    said = irongrid("up", "--detach", "--nodes", "9x1")

    assert said.exit_code == 1
    assert "2x2 nodes is already up" in said.err


def test_a_server_that_cannot_start_says_why(own_home: Path) -> None:
    said = command_line(own_home, ["up", "--detach", "--nodes", "many", "--json"])

    assert said.exit_code != 0
    assert "many" in said.value["error"]["problem"]


def test_another_address_without_a_certificate_is_refused(own_home: Path) -> None:
    said = command_line(own_home, ["up", "--host", "0.0.0.0"])

    assert said.exit_code == 1
    assert "--tls-cert" in said.err


def test_a_job_outlives_the_server_and_is_found_again(own_home: Path) -> None:
    up = ["up", "--detach", "--nodes", "1x1", "--json"]
    assert command_line(own_home, up).exit_code == 0
    code = "echo first; until test -e go; do sleep 0.05; done; echo second"
    job = command_line(own_home, ["submit", "--json", "--", "sh", "-c", code], cwd=own_home).value[
        "job_id"
    ]
    with Client.from_home(Home(own_home)) as client:
        stream = client.follow_log(job)
        assert next(chunk for chunk in stream if chunk.text).text == "first\n"

        down = command_line(own_home, ["down", "--json"])
        assert down.exit_code == 0
        assert [row["job_id"] for row in down.value["jobs"]] == [job]
        assert f"1 job goes on without it: {job}" in down.err
        assert not (own_home / "address").exists()

        assert command_line(own_home, up).exit_code == 0
        (own_home / "go").touch()
        assert "".join(chunk.text for chunk in stream) == "second\n"
        assert client.job(job).row.state == "succeeded"
        assert client.job(job).row.epoch == 1


def test_down_without_a_server_is_done_already(own_home: Path) -> None:
    said = command_line(own_home, ["down", "--json"])

    assert said.exit_code == 0
    assert said.value["stopped"] is False


def test_the_home_is_the_owners_alone(server_home: Path) -> None:
    assert server_home.stat().st_mode & 0o777 == 0o700
    for name in ("token", "address", "server.log"):
        assert (server_home / name).stat().st_mode & 0o777 == 0o600, name


def test_the_servers_log_is_json_lines_after_its_greeting(server_home: Path) -> None:
    lines = (server_home / "server.log").read_text().splitlines()

    assert any(line.startswith("{") and json.loads(line)["event"] == "serving" for line in lines)


def test_doctor_sees_the_server(irongrid: Irongrid) -> None:
    said = irongrid("doctor", "--json")

    checks = {check["name"]: check for check in said.value["checks"]}
    assert checks["server"]["level"] == "ok"
    assert said.exit_code == (0 if said.value["healthy"] else 1)
    assert {"python", "disk", "cgroups", "clock", "torch", "open files"} <= checks.keys()
    assert all(check["fix"] for check in checks.values() if check["level"] != "ok")


def test_doctor_names_a_home_that_cannot_be_used(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    os.chmod(home, 0o755)

    said = command_line(home, ["doctor", "--json"])

    (check,) = [check for check in said.value["checks"] if check["name"] == "home"]
    assert check["level"] == "warn"
    assert check["fix"] == f"chmod 700 {home}"


def test_the_schema_is_one_object(tmp_path: Path) -> None:
    said = command_line(tmp_path, ["schema", "job", "--json"])

    assert said.value["$schema"].startswith("https://json-schema.org/")
    assert json.loads(command_line(tmp_path, ["schema"]).out) == said.value
