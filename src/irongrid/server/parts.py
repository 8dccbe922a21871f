"""The parts of one server, wired together, with the order in which they start and stop."""

import asyncio
from collections.abc import Callable

from irongrid import __version__
from irongrid.control.decide import DEFAULT_BUDGET, evacuate
from irongrid.control.requests import wanted_workers
from irongrid.control.state import State
from irongrid.domain.event import Decided, Recorded, ServerStarted, ServerStopped
from irongrid.errors import IrongridError
from irongrid.ports import Engine
from irongrid.server.api.app import Api
from irongrid.server.api.context import Context
from irongrid.server.beats import Beats
from irongrid.server.brain import Brain
from irongrid.server.clock import SteadyClock
from irongrid.server.effects import Effects
from irongrid.server.feed import Feed, wait_for
from irongrid.server.history import History
from irongrid.server.home import Home
from irongrid.server.journal import Journal
from irongrid.server.launches import Launches
from irongrid.server.metrics import Metrics
from irongrid.server.observer import Observer
from irongrid.server.options import ServerOptions
from irongrid.server.snapshots import Snapshots
from irongrid.server.tokens import Tokens
from irongrid.server.work import Change
from irongrid.store import EventStore

# Longer than the grace for a last checkpoint and the force after it.
STOP_JOBS_S = 90.0


class Parts:
    """Everything behind the HTTP server.

    Attributes:
        fatal: why the server cannot go on; empty while it can.
    """

    def __init__(
        self,
        options: ServerOptions,
        home: Home,
        target: str,
        store: EventStore,
        engine: Engine,
        journal: Journal,
    ) -> None:
        clock, metrics = SteadyClock(), Metrics()
        tokens = Tokens(home.token(), home.secret())
        capabilities = engine.capabilities()
        launches = Launches(store, home, tokens, capabilities.lease_s)
        self.fatal = ""
        self.home = home
        self.journal = journal
        self.feed = Feed()
        self._stop: Callable[[bool], None] = lambda stop_jobs: None
        self._store = store
        self._engine = engine
        self._brain = Brain(store, clock, journal, metrics, DEFAULT_BUDGET)
        self._observer = Observer(self._brain, engine, journal, proof="process_table")
        self._effects = Effects(
            self._brain, engine, journal, launches.orders, self._observer.look_soon
        )
        self._snapshots = Snapshots(target, options.snapshot_every, journal)
        self._history = History(target, self.feed)
        self._api = Api(
            Context(
                options=options,
                home=home,
                tokens=tokens,
                brain=self._brain,
                feed=self.feed,
                beats=Beats(),
                history=self._history,
                metrics=metrics,
                journal=journal,
                engine_name=capabilities.name,
                store_name=store.name,
                server_epoch=store.server_epoch,
                started_at_ns=clock.now_ns(),
                stop=lambda stop_jobs: self._stop(stop_jobs),
            )
        )
        self.asgi = self._api.asgi

    def start(self, loop: asyncio.AbstractEventLoop, stop: Callable[[bool], None]) -> None:
        """Load the state, take back what still runs, and begin to decide.

        Args:
            stop: begins the server's stop; for use on the event loop.

        Raises:
            StoreError: the log cannot be read or written.
        """
        self._stop = stop

        def fatal(sentence: str) -> None:
            self.fatal = sentence
            self.journal.error("fatal", problem=sentence)
            loop.call_soon_threadsafe(stop, False)

        self.feed.attach(loop)
        self._brain.on_fatal = fatal
        self._brain.on_commit = self._committed
        self._brain.on_commands = self._effects.put
        started = ServerStarted(
            server_epoch=self._store.server_epoch,
            irongrid_version=__version__,
            nodes=self._engine.nodes(),
        )
        # The store is the state thread's own as soon as that runs.
        self._snapshots.began_at(self._store.head_seq())
        self._brain.start(started)
        self._effects.start()
        self._observer.start()

    async def stop_jobs(self) -> None:
        """Let every job save and stop; each is queued again for the next server."""
        self._brain.drain()

        def stop(state: State, now_ns: int) -> Change[None]:
            decision = evacuate(state)
            events = () if decision is None else (Decided(decision=decision),)
            return Change(events, lambda state, now_ns: None)

        try:
            await self._brain.ask(stop)
            async with asyncio.timeout(STOP_JOBS_S):
                with self.feed.watch_all() as grown:
                    while await self._brain.read(lambda state, now_ns: wanted_workers(state)):
                        await wait_for(grown, STOP_JOBS_S)
        except (IrongridError, TimeoutError) as problem:
            self.journal.warning("jobs_left", problem=str(problem))

    def stop(self) -> None:
        """Hand the store back in order. What runs goes on."""
        self._observer.stop()
        self._effects.stop()
        self._brain.stop(ServerStopped(server_epoch=self._store.server_epoch))
        self._snapshots.stop()
        self._history.close()
        self._api.close()

    def _committed(self, records: tuple[Recorded, ...]) -> None:
        self.feed.publish(records)
        self._snapshots.saw(records[-1].seq)
