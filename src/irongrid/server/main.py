"""Starts a server and stops it in order: the only place where all parts meet."""

import asyncio
import signal
import socket
import sys
import time
from contextlib import AbstractContextManager, ExitStack, nullcontext

import uvicorn

from irongrid.engines.local import LocalEngine
from irongrid.errors import IrongridError, Refused
from irongrid.server.home import Home
from irongrid.server.journal import open_journal
from irongrid.server.options import ServerOptions
from irongrid.server.parts import Parts
from irongrid.server.protocol import bounded_protocol
from irongrid.store import open_store
from irongrid.telemetry import procfs
from irongrid.telemetry.machine import discover_nodes

# With two busy threads, 5 ms (Python's default) is how long an answer would wait for its turn.
SWITCH_S = 0.0005
KEEP_ALIVE_S = 75
GRACEFUL_S = 5
BACKLOG = 1024


def serve(options: ServerOptions) -> int:
    """Run a server until it is told to stop; jobs go on without it. Returns 0.

    Raises:
        IrongridError: it cannot start, or cannot go on.
    """
    options.check()
    home = Home(options.home)
    home.prepare()
    started_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with ExitStack() as stack:
        home.lock(started_at)
        stack.callback(home.unlock)
        listener = stack.enter_context(_listener(options))
        engine = LocalEngine(home.root, discover_nodes(options.nodes or None), procfs)
        target = options.store_url or str(home.database)
        store = open_store(target, holder=f"the server of {home.root}")
        stack.callback(store.close)
        sys.setswitchinterval(SWITCH_S)
        parts = Parts(options, home, target, store, engine, open_journal(options.log_path))
        server = _Uvicorn(options, parts, listener, started_at)
        with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
            runner.run(server.run())
        if parts.fatal:
            raise IrongridError(parts.fatal)
    return 0


class _Uvicorn(uvicorn.Server):
    """The HTTP server, with our own start, signals and stop around it."""

    def __init__(
        self, options: ServerOptions, parts: Parts, listener: socket.socket, started_at: str
    ) -> None:
        super().__init__(
            uvicorn.Config(
                parts.asgi,
                http=bounded_protocol(options.head_timeout_s),
                loop="uvloop",
                ws="none",
                lifespan="off",
                access_log=False,
                proxy_headers=False,
                log_config=None,
                server_header=False,
                date_header=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=GRACEFUL_S,
                backlog=BACKLOG,
                ssl_certfile=options.tls_cert,
                ssl_keyfile=options.tls_key,
            )
        )
        self._options = options
        self._parts = parts
        self._listener = listener
        self._started_at = started_at
        self._leaving: asyncio.Task[None] | None = None

    async def run(self) -> None:  # type: ignore[override]
        """Serve until `stop`."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop, False)
        try:
            self._parts.start(loop, self.stop)
            await self.serve(sockets=[self._listener])
        finally:
            self._parts.home.withdraw()
            self._parts.stop()

    def stop(self, stop_jobs: bool) -> None:
        """Begin to stop; called again, it no longer waits for jobs."""
        if self._leaving is None and stop_jobs:
            self._leaving = asyncio.create_task(self._leave())
        else:
            self._parts.feed.close()
            self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then tell everybody where."""
        await super().startup(sockets)
        address = self._address()
        self._parts.home.announce(address, self._started_at)
        self._parts.journal.info("serving", address=address)
        sys.stderr.write(f"irongrid is serving at {address}\n")

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        """Signals are ours."""
        return nullcontext()

    async def _leave(self) -> None:
        await self._parts.stop_jobs()
        self._parts.feed.close()
        self.should_exit = True

    def _address(self) -> str:
        host, port = self._listener.getsockname()[:2]
        if host in ("0.0.0.0", "::"):  # noqa: S104 - asked, not bound
            host = socket.gethostname()
        name = f"[{host}]" if ":" in host else host
        return f"{self._options.scheme}://{name}:{port}"


def _listener(options: ServerOptions) -> socket.socket:
    """A bound socket; nobody can connect before the server is ready.

    Raises:
        Refused: the address cannot be had.
    """
    host = options.host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, options.port))
    except (OSError, OverflowError) as problem:
        listener.close()
        raise Refused(
            "bad_address",
            f"{options.host}:{options.port} cannot be listened on: {problem}",
            "choose another --host or --port; port 0 takes a free one",
        ) from problem
    return listener
