"""The folder that a server and its clients share: where to find each other, and the token."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from irongrid.errors import Unreachable

CA_FILE = "ca.pem"
START_ONE = "start one: irongrid up --detach"


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A server process; the address is empty while it is still starting."""

    pid: int
    address: str


@dataclass(frozen=True, slots=True)
class Home:
    """`IRONGRID_HOME`: one lock, one token file, one address file.

    To use a server on another machine, make a folder with that server's `address` and `token`, and
    `ca.pem` where its certificate is not signed by an authority that this machine trusts.
    """

    path: Path

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Home":
        """The home that an environment names: `IRONGRID_HOME`, else `~/.irongrid`."""
        named = environment.get("IRONGRID_HOME", "")
        return cls(Path(named).expanduser() if named else Path.home() / ".irongrid")

    @property
    def ca_file(self) -> Path:
        """Certificate to trust beside the machine's own; need not exist."""
        return self.path / CA_FILE

    @property
    def server_log(self) -> Path:
        """What a detached server writes."""
        return self.path / "server.log"

    def job_dir(self, job: str) -> Path:
        """Logs, metrics and checkpoints of one job."""
        return self.path / "jobs" / job

    def address(self) -> str:
        """URL of the server; empty when none is up, as a server removes the file when it stops."""
        return self._text("address")

    def token(self) -> str:
        """The user's bearer token; empty before the first server started here."""
        return self._text("token")

    def holder(self) -> Holder | None:
        """The server that holds this home, as it wrote itself down; it may have been killed."""
        try:
            noted = json.loads(self._text("lock") or "null")
            return Holder(pid=int(noted["pid"]), address=str(noted["address"]))
        except (ValueError, KeyError, TypeError):
            return None  # empty after an orderly stop, or just being written

    def endpoint(self) -> tuple[str, str]:
        """Address and token.

        Raises:
            Unreachable: no server has left them here.
        """
        address, token = self.address(), self.token()
        if not address:
            raise Unreachable(str(self.path), "no server is running for this home", START_ONE)
        if not token:
            raise Unreachable(str(self.path), "the token file is missing or empty", START_ONE)
        return address, token

    def _text(self, name: str) -> str:
        try:
            return (self.path / name).read_text().strip()
        except (FileNotFoundError, NotADirectoryError):
            return ""
        except PermissionError as error:
            user = os.environ.get("USER", "you")
            raise Unreachable(
                str(self.path / name), f"{user} may not read it", "use your own IRONGRID_HOME"
            ) from error
