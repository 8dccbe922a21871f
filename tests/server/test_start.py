"""How a server starts: quickly, privately, and not at all where that would be unsafe."""

import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from tests.pace import at_known_pace
from tests.server.conftest import DEADLINE_S


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that it has signed itself, and its key."""
    if shutil.which("openssl") is None:
        message = "openssl is missing. Install it: apt-get install openssl"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1"
    names = ["-subj", "/CN=irongrid", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-out", str(cert), "-keyout", str(key)]
    subprocess.run([*command.split(), *names, *files], check=True, capture_output=True)
    return cert, key


def test_with_a_certificate_it_speaks_tls_only(
    start: Any, tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    cert, key = certificate
    server = start(tmp_path / "home", tls_cert=str(cert), tls_key=str(key))
    context = ssl.create_default_context(cafile=str(cert))
    connection = http.client.HTTPSConnection(
        "127.0.0.1", server.port, context=context, timeout=DEADLINE_S
    )
    connection.request("GET", "/v1/status", headers={"authorization": f"Bearer {server.token}"})
    status = json.loads(connection.getresponse().read())
    connection.close()

    assert status["engine"] == "local"
    assert (tmp_path / "home" / "address").read_text().startswith("https://127.0.0.1:")
    with pytest.raises((http.client.HTTPException, OSError)):
        server.call("GET", "/healthz")
    assert server.stop() == 0


def test_it_refuses_to_serve_others_in_the_clear(start: Any, tmp_path: Path) -> None:
    server = start(tmp_path, ready=False, host="0.0.0.0")

    assert server.process.wait(timeout=DEADLINE_S) == 1
    assert "tokens would go in the clear" in (tmp_path / "stderr").read_text()
    assert not (tmp_path / "irongrid.db").exists()


def test_an_address_that_is_taken_is_named(start: Any, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = start(tmp_path, ready=False, port=port)

        assert server.process.wait(timeout=DEADLINE_S) == 1
        assert f"127.0.0.1:{port} cannot be listened on" in (tmp_path / "stderr").read_text()


def test_an_idle_server_uses_hardly_any_processor_time(start: Any, tmp_path: Path) -> None:
    server = start(tmp_path)
    server.call("GET", "/v1/status")

    def share() -> float:
        before_s, began_s = server.processor_time_s(), time.monotonic()
        time.sleep(2.0)
        return float(server.processor_time_s() - before_s) / (time.monotonic() - began_s)

    assert at_known_pace(share, 0.03) < 0.03
    assert server.stop() == 0
