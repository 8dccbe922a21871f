"""Where a server may listen."""

from pathlib import Path

import pytest

from irongrid.errors import Refused
from irongrid.server.options import ServerOptions, is_loopback


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "localhost", "::1", "[::1]"])
def test_a_loopback_address_needs_no_tls(host: str) -> None:
    ServerOptions(home=Path("h"), host=host).check()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "example.org", "127.0.0.1.evil"])
def test_any_other_address_is_refused_without_tls(host: str) -> None:
    assert not is_loopback(host)
    with pytest.raises(Refused, match="tokens would go in the clear"):
        ServerOptions(home=Path("h"), host=host).check()


def test_tls_needs_both_files(tmp_path: Path) -> None:
    cert = tmp_path / "cert.pem"
    cert.touch()

    with pytest.raises(Refused, match="a certificate and a key"):
        ServerOptions(home=Path("h"), tls_cert=cert).check()
    with pytest.raises(Refused, match="there is no file"):
        ServerOptions(home=Path("h"), tls_cert=cert, tls_key=tmp_path / "key.pem").check()
