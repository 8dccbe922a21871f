"""What `irongrid up` can ask for, and the refusal of an address that is not safe to serve."""

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from irongrid.errors import Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """How to start a server.

    Attributes:
        home: folder for everything that the server keeps (IRONGRID_HOME).
        host: address to listen on; any but a loopback one needs `tls_cert` and `tls_key`.
        port: 0 takes a free one.
        nodes: `4x2` presents this machine as four nodes of two CPU devices; empty: as it is.
        store_url: `postgresql://...`; empty is SQLite in the home folder.
        log_path: file for the structured log; None is stderr.
        log_requests: one log line per HTTP request.
        snapshot_every: events between two snapshots of the state.
        long_poll_s: longest wait of a worker for its next directive.
        head_timeout_s: longest wait for the head of a request.
    """

    home: Path
    host: str = "127.0.0.1"
    port: int = 0
    nodes: str = ""
    store_url: str = ""
    tls_cert: Path | None = None
    tls_key: Path | None = None
    log_path: Path | None = None
    log_requests: bool = False
    snapshot_every: int = 20_000
    long_poll_s: float = 20.0
    head_timeout_s: float = 30.0

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect."""
        return is_loopback(self.host)

    @property
    def scheme(self) -> str:
        """`https` with a certificate, else `http`."""
        return "https" if self.tls_cert is not None else "http"

    def check(self) -> None:
        """Refuse what would serve other machines in the clear.

        Raises:
            Refused: with what to do about it.
        """
        if (self.tls_cert is None) != (self.tls_key is None):
            raise Refused("tls_incomplete", "TLS needs a certificate and a key", "give both files")
        for path in (self.tls_cert, self.tls_key):
            if path is not None and not path.is_file():
                raise Refused("tls_missing", f"there is no file {path}", "check the path")
        if not self.loopback and self.tls_cert is None:
            raise Refused(
                "insecure_address",
                f"{self.host} can be reached from other machines, and tokens would go in the clear",
                "use 127.0.0.1, or give --tls-cert and --tls-key",
            )


def is_loopback(host: str) -> bool:
    """Whether a listening address stays on this machine. A name other than localhost does not."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
