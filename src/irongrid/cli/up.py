"""`irongrid up`: the server in the foreground, or behind a detached process."""

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from irongrid.cli.failures import wrong_input
from irongrid.cli.screen import Screen
from irongrid.client.api import Client
from irongrid.client.home import Home
from irongrid.domain.codec import to_json
from irongrid.domain.messages import NodeRow, ServerStatus
from irongrid.errors import Refused, Unreachable
from irongrid.units import format_bytes

START_S = 120.0
POLL_S = 0.02
_LOG_LINES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class UpOptions:
    """What was asked for; empty is the default."""

    home: Home
    nodes: str = ""
    store: str = ""
    host: str = "127.0.0.1"
    port: int = 0
    tls_cert: str = ""
    tls_key: str = ""

    def argv(self) -> list[str]:
        """The same wishes as arguments of `irongrid up`, but for the store: see `environment`."""
        words = ["--home", str(self.home.path.absolute()), "--host", self.host]
        words += ["--port", str(self.port)]
        for option, value in (
            ("--nodes", self.nodes),
            ("--tls-cert", _absolute(self.tls_cert)),
            ("--tls-key", _absolute(self.tls_key)),
        ):
            words += [option, value] if value else []
        return words

    def environment(self) -> dict[str, str]:
        """What is too secret for arguments, which everybody on the machine can read."""
        return {"IRONGRID_STORE": self.store} if self.store else {}


def up(options: UpOptions, *, detach: bool, as_json: bool) -> int:
    """Start the server, or say that it runs already."""
    screen = Screen(as_json=as_json)
    running = running_server(options.home)
    if running is not None:
        _same_nodes(options, running)
        screen.say(f"irongrid is already up at {options.home.address()}")
        _tell(screen, options.home, running, already=True)
        return 0
    if not detach:
        return _serve_here(options, screen)
    start_detached(options, screen)
    with Client.from_home(options.home) as client:
        status = client.status()
        screen.say(f"irongrid is up at {client.address}", style="bold")
    _tell(screen, options.home, status, already=False)
    return 0


def running_server(home: Home) -> ServerStatus | None:
    """The status of the server that answers for this home; None where none does."""
    try:
        with Client.from_home(home, answer_s=5.0) as client:
            return client.status()
    except Unreachable:
        return None


def _same_nodes(options: UpOptions, running: ServerStatus) -> None:
    if not options.nodes:
        return
    layout = [node.devices for node in running.nodes]
    has = f"{len(layout)}x{layout[0]}" if len(set(layout)) == 1 else "another layout"
    if options.nodes.lower() != has:
        raise Refused(
            "already_up",
            f"a server with {has} nodes is already up, and you ask for {options.nodes}",
            "stop it first: irongrid down",
        )


def _serve_here(options: UpOptions, screen: Screen) -> int:
    """Run the server in this process until it is told to stop."""
    from irongrid.server.main import serve
    from irongrid.server.options import ServerOptions

    _trust_own_certificate(options)
    # Workers inherit the environment, and have no business with the store.
    os.environ.pop("IRONGRID_STORE", None)
    screen.note(f"irongrid is starting for {options.home.path}; Ctrl-C stops it, jobs go on")
    serve(
        ServerOptions(
            home=options.home.path,
            host=options.host,
            port=options.port,
            nodes=options.nodes,
            store_url=options.store,
            tls_cert=Path(options.tls_cert) if options.tls_cert else None,
            tls_key=Path(options.tls_key) if options.tls_key else None,
        )
    )
    screen.answer({"stopped": True, "home": str(options.home.path)})
    return 0


def _trust_own_certificate(options: UpOptions) -> None:
    """Let clients of this home accept the server's certificate, whoever has signed it."""
    if options.tls_cert and Path(options.tls_cert).is_file():
        options.home.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        shutil.copyfile(options.tls_cert, options.home.ca_file)


def start_detached(options: UpOptions, screen: Screen) -> int:
    """Start a server that outlives this process; its pid, once it answers.

    Raises:
        Refused: it ended at once; the message holds its own words.
        Unreachable: it did not answer in time.
    """
    home = options.home
    try:
        home.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        log = os.open(home.server_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError as error:
        raise wrong_input(
            f"{home.path} cannot be the home folder: {error.strerror}",
            "set IRONGRID_HOME to a folder of your own",
        ) from error
    start = os.fstat(log).st_size
    with os.fdopen(log, "ab") as file:
        child = subprocess.Popen(
            [sys.executable, "-m", "irongrid.cli.main", "up", *options.argv()],
            env={**os.environ, **options.environment()},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        _wait_until_it_answers(home, child, start, screen)
    except BaseException:
        child.terminate()  # what was not announced must not stay behind
        raise
    return child.pid


def _wait_until_it_answers(
    home: Home, child: subprocess.Popen[bytes], log_start: int, screen: Screen
) -> None:
    deadline = time.monotonic() + START_S
    told_at = time.monotonic() + 2.0
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise Refused("start_failed", _last_words(home, log_start), f"log: {home.server_log}")
        holder = home.holder()
        if holder is not None and holder.pid == child.pid and holder.address:
            with Client(holder.address, home.token(), ca_file=home.ca_file) as client:
                if client.healthy():
                    return
        if time.monotonic() > told_at:
            screen.note("still starting ...")
            told_at += 5.0
        time.sleep(POLL_S)
    raise Unreachable(str(home.path), "the server does not answer yet", f"log: {home.server_log}")


def _last_words(home: Home, log_start: int) -> str:
    with open(home.server_log, "rb") as file:
        file.seek(log_start)
        lines = file.read().decode(errors="replace").strip().splitlines()
    own = [line for line in lines if line.startswith(("irongrid: ", "  -> "))]
    words = own or lines[-_LOG_LINES:] or ["it wrote nothing"]
    return "the server did not start:\n" + "\n".join(f"  | {line}" for line in words)


def _tell(screen: Screen, home: Home, status: ServerStatus, *, already: bool) -> None:
    """Where things are, and what comes next."""
    screen.say(f"  home   {home.path}")
    screen.say(f"  nodes  {nodes_text(status.nodes)}")
    if Home.of(os.environ).path.absolute() != home.path.absolute():
        screen.say(f"  first  export IRONGRID_HOME={home.path}")
    screen.say("  next   irongrid submit FILE     see: irongrid ps     stop: irongrid down")
    holder = home.holder()
    value: dict[str, Any] = {
        "address": home.address(),
        "pid": holder.pid if holder else None,
        "home": str(home.path),
        "log": str(home.server_log),
        "already": already,
        "version": status.version,
        "nodes": to_json(status.nodes),
    }
    screen.answer(value)


def nodes_text(nodes: tuple[NodeRow, ...]) -> str:
    """`2 nodes of 4 cpu, 7.8 GiB each`, or the nodes one by one."""
    kinds = {(node.devices, node.device_type, node.memory_bytes) for node in nodes}
    if len(kinds) == 1 and nodes:
        devices, device_type, memory_bytes = kinds.pop()
        plural = "s" if len(nodes) > 1 else ""
        memory = format_bytes(memory_bytes)
        return f"{len(nodes)} node{plural} of {devices} x {device_type}, {memory} each"
    return ", ".join(f"{node.node}: {node.devices} x {node.device_type}" for node in nodes)


def _absolute(path: str) -> str:
    return str(Path(path).absolute()) if path else ""
