"""What the routes work with."""

from collections.abc import Callable
from dataclasses import dataclass

from irongrid.server.beats import Beats
from irongrid.server.brain import Brain
from irongrid.server.feed import Feed
from irongrid.server.history import History
from irongrid.server.home import Home
from irongrid.server.journal import Journal
from irongrid.server.metrics import Metrics
from irongrid.server.options import ServerOptions
from irongrid.server.tokens import Tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """One server's parts, put together in `main`.

    Attributes:
        store_name: the database as people may see it, without a password.
        stop: begins an orderly stop; True stops the jobs as well.
    """

    options: ServerOptions
    home: Home
    tokens: Tokens
    brain: Brain
    feed: Feed
    beats: Beats
    history: History
    metrics: Metrics
    journal: Journal
    engine_name: str
    store_name: str
    server_epoch: int
    started_at_ns: int
    stop: Callable[[bool], None]
