"""People and their clients: they submit, cancel, pause and resume, and ask again until answered."""

from collections.abc import Callable
from itertools import count

from irongrid.control import requests
from irongrid.control.state import State
from irongrid.domain.device import Node
from irongrid.domain.event import Event
from irongrid.domain.ids import JobId
from irongrid.domain.job import JobSpec, Resources, Retries, RunTask
from irongrid.errors import Conflict, IrongridError
from irongrid.twin.chaos.cluster import Cluster
from irongrid.twin.chaos.server import ControlPlane

_AGAIN_S = 8.0
_TASK = RunTask(argv=("true",))


class People:
    """Everybody who wants something of the server.

    Attributes:
        accepted: jobs whose submit was answered.
    """

    def __init__(
        self, cluster: Cluster, server: ControlPlane, submitted: Callable[[JobId], None]
    ) -> None:
        self.accepted: dict[JobId, None] = {}
        self._cluster = cluster
        self._server = server
        self._time = cluster.time
        self._submitted = submitted
        self._keys = count(1)
        by_type: dict[str, list[Node]] = {}
        for node in cluster.nodes:
            by_type.setdefault(node.device_type, []).append(node)
        self._by_type = by_type

    def submit(self) -> None:
        """A new job, by a client that asks until it is told the job's name."""
        spec, key = self._spec(), f"key-{next(self._keys)}"
        work = round(self._time.draw.expovariate(1 / 150) * 1_000) + 1_000

        def request(state: State) -> tuple[Event, ...]:
            found = requests.submit(state, spec, key)
            if isinstance(found, str):
                return ()
            # The world knows how long the job takes from the moment when it has a name.
            self._cluster.total_steps[found.job] = work
            self._submitted(found.job)
            return (found,)

        def told(job: JobId) -> None:
            self.accepted[job] = None
            self._cluster.ledger.promised(key, job)

        self._ask(request, lambda state: state.by_key[key], told)

    def ask_something(self) -> None:
        """Somebody cancels, pauses or resumes a job of theirs."""
        if not self.accepted:
            return
        draw = self._time.draw
        job = draw.choice(list(self.accepted))
        verb = draw.choice(["cancel", "pause", "pause", "resume"])
        self._verb(verb, job)
        if verb == "pause":
            self._time.after(draw.expovariate(1 / 100), lambda: self._verb("resume", job))

    def resume(self, job: JobId) -> None:
        """Somebody wants a paused job to go on."""
        self._verb("resume", job)

    def _verb(self, verb: str, job: JobId) -> None:
        def request(state: State) -> tuple[Event, ...]:
            event: Event | None = getattr(requests, verb)(state, job)
            return () if event is None else (event,)

        def told(job: JobId) -> None:
            if verb == "cancel":
                self._cluster.ledger.promised_end(job)

        self._ask(request, lambda state: job, told)

    def _ask(
        self,
        request: Callable[[State], tuple[Event, ...]],
        answer: Callable[[State], JobId],
        told: Callable[[JobId], None],
    ) -> None:
        """Ask again and again until there is an answer, yes or no."""
        done: list[bool] = []

        def reply(state: State, problem: IrongridError | None) -> None:
            if problem is not None and not isinstance(problem, Conflict):
                raise AssertionError(f"a client was told: {problem}") from problem
            job = answer(state) if problem is None else None

            def arrive() -> None:
                if not done:
                    done.append(True)
                    if job is not None:
                        told(job)

            self._cluster.mail.send(arrive)

        def again() -> None:
            if not done:
                self._time.after(_AGAIN_S, again)
                self._cluster.mail.send(lambda: self._server.ask(request, reply))

        again()

    def _spec(self) -> JobSpec:
        draw = self._time.draw
        device_type = draw.choice(list(self._by_type))
        nodes = self._by_type[device_type]
        most = len(nodes) * nodes[0].devices
        size = min(draw.choice([1, 1, 1, 2, 2, 3, 4, 4, 6, 8, 12]), most)
        sizes = (size,) if draw.random() < 0.7 else tuple(sorted({1, size}))
        anywhere = draw.random() < 0.5 and len(self._by_type) == 1
        resources = Resources(
            accelerator="any" if anywhere else device_type,
            sizes=sizes,
            cpus=draw.choice([0.0, 0.0, 1.0, 2.0]),
            memory_bytes=draw.choice([0, 0, 2**30]),
        )
        return JobSpec(
            name=draw.choice(["one", "two", "three"]),
            task=_TASK,
            workdir="/",
            resources=resources,
            retries=Retries(max=draw.choice([0, 3, 3, 50])),
            max_duration_s=draw.choice([None, None, None, 90.0]),
        )
