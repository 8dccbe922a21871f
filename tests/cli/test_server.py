"""`up` and `down`, each with a home of its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.conftest import TIMEOUT_S, Irongrid, command_line

from irongrid.cli.up import UpOptions
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
    assert command_line(tmp_path, ["schema", "fleet", "--json"]).value["title"] == "Irongrid fleet"


def test_the_foreground_server_stops_on_an_interrupt(own_home: Path) -> None:
    server = subprocess.Popen(
        [sys.executable, "-m", "irongrid.cli.main", "up", "--nodes", "1x1", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "IRONGRID_HOME": str(own_home)},
    )
    assert server.stderr is not None
    assert any("is serving at" in line for line in iter(server.stderr.readline, ""))
    server.send_signal(signal.SIGINT)
    out, _ = server.communicate(timeout=TIMEOUT_S)

    assert server.returncode == 0
    assert json.loads(out) == {"stopped": True, "home": str(own_home)}
    assert not (own_home / "address").exists()


def test_a_server_with_a_certificate_of_its_own_runs_jobs(own_home: Path, tmp_path: Path) -> None:
    key, certificate = certificate_for_loopback(tmp_path)
    up = ["up", "--detach", "--nodes", "1x1", "--tls-cert", certificate, "--tls-key", key]
    said = command_line(own_home, [*up, "--json"])
    assert said.exit_code == 0, said.err
    assert said.value["address"].startswith("https://127.0.0.1:")

    job = command_line(own_home, ["submit", "--wait", "--json", "--", "true"])
    assert job.value["state"] == "succeeded", "worker and client trust the server's certificate"

    (own_home / "ca.pem").unlink()
    said = command_line(own_home, ["ps", "--json"])
    assert said.exit_code == 3
    assert "certificate is not trusted" in said.value["error"]["problem"]
    shutil.copyfile(certificate, own_home / "ca.pem")


def certificate_for_loopback(folder: Path) -> tuple[str, str]:
    """Paths of a new private key and of its certificate, signed by itself."""
    if shutil.which("openssl") is None:
        assert os.environ.get("CI") != "true", "CI must have openssl"
        pytest.skip("openssl is missing: apt-get install openssl")
    key, certificate = str(folder / "key.pem"), str(folder / "cert.pem")
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names]
    subprocess.run(
        ["openssl", *words, "-keyout", key, "-out", certificate], check=True, capture_output=True
    )
    return key, certificate


def test_a_log_moves_to_a_new_home(own_home: Path, tmp_path: Path) -> None:
    up, exported = ["up", "--detach", "--nodes", "1x1", "--json"], str(tmp_path / "log.ndjson")
    command_line(own_home, up)
    job = command_line(own_home, ["submit", "--wait", "--json", "--", "true"]).value["job_id"]
    command_line(own_home, ["events", "--export", exported, "--json"])
    refused = command_line(own_home, ["events", "--import", exported, "--json"])
    command_line(own_home, ["down"])
    full = command_line(own_home, ["events", "--import", exported, "--json"])
    moved = tmp_path / "moved"

    count = command_line(moved, ["events", "--import", exported, "--json"]).value["count"]
    command_line(moved, up)
    shown = command_line(moved, ["show", job, "--json"])
    command_line(moved, ["down"])

    assert count > 5
    assert shown.value["row"]["state"] == "succeeded"
    assert refused.exit_code != 0
    assert "server with pid" in refused.err
    assert full.exit_code != 0
    assert "empty store" in full.err


def test_a_store_url_with_a_password_is_in_nobodys_arguments(own_home: Path) -> None:
    url = "postgresql://somebody:canary-7f3a@127.0.0.1:1/none"

    said = command_line(own_home, ["up", "--detach", "--store", url, "--json"])

    assert said.exit_code != 0
    assert "canary-7f3a" not in said.out + said.err
    log = (own_home / "server.log").read_text()
    assert "canary-7f3a" not in log
    assert UpOptions(home=Home(own_home), store=url).argv() == UpOptions(home=Home(own_home)).argv()
