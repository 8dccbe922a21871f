"""One life from a seed: chaos until enough has happened, then peace, and everything must end."""

import hashlib
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from time import perf_counter
from typing import Any

from irongrid.domain.device import Node
from irongrid.domain.ids import JobId, NodeId
from irongrid.scheduler.cluster import Policy
from irongrid.twin.chaos.cluster import Cluster
from irongrid.twin.chaos.ledger import Ledger
from irongrid.twin.chaos.people import People
from irongrid.twin.chaos.server import PLACES, ControlPlane
from irongrid.twin.chaos.shuffle import Shuffle
from irongrid.twin.chaos.site import Files, Mail, Virtual
from irongrid.twin.faults import FaultModel, JobFailures, node_faults
from irongrid.twin.policies import Knowledge, Learner
from irongrid.twin.truth.futures import RestartCosts, RigidFutures
from irongrid.twin.truth.world import TraceJob
from irongrid.units import NS_PER_S

# What every life must have seen before it comes to peace.
JOBS, FAULTS, CRASHES, EVENTS = 50, 20, 3, 2_000
_MOST_LIVE_JOBS = 25
# Virtual hours: chaos that does not get there, and peace that does not come to rest.
_CHAOS_S, _PEACE_S = 24 * 3_600, 6 * 3_600
# The trace's concentration and bursts, on a clock on which minutes are days.
MODEL = FaultModel(
    per_node_day=40.0,
    repair_median_s=60.0,
    repair_mean_s=150.0,
    job_per_h=4.0,
    spot_per_node_h=3.0,
    spot_notice_s=30.0,
    spot_away_s=60.0,
    slow_per_node_day=20.0,
    slow_to_s=300.0,
)
# Mean seconds between two of each.
_SUBMIT_S, _ASK_S, _CUT_S, _KILL_S, _RANK_S, _CRASH_S = 25.0, 30.0, 200.0, 150.0, 200.0, 400.0
_ORDER_S = 1_500.0
_NO_FAULTS_OF_THE_WORLD = ("crash", "straggler")


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """What came of one seed.

    Attributes:
        policy: of the first server; later ones may have another.
        faults: by kind, with crashes of the control plane and what became of messages.
        broken: broken invariants, as sentences; empty when all held.
        trace: a word for the whole log: equal for equal lives.
    """

    seed: int
    policy: str
    events: int
    jobs: int
    virtual_s: float
    faults: dict[str, int]
    broken: tuple[str, ...]
    trace: str


@dataclass(slots=True)
class _Scene:
    """Everybody of one life."""

    time: Virtual
    mail: Mail
    ledger: Ledger
    cluster: Cluster
    server: ControlPlane
    people: People
    spot: tuple[NodeId, ...]

    @property
    def world_faults(self) -> int:
        """Faults of nodes, workers and ranks, without crashes and slow nodes."""
        counts = self.cluster.counts
        return sum(n for kind, n in counts.items() if kind not in _NO_FAULTS_OF_THE_WORLD)


def live(seed: int) -> Life:
    """Run a seed to its end; the same seed gives the same life."""
    scene, policy = _scene(seed)
    _begin(scene, seed)
    try:
        _chaos(scene)
        _peace(scene)
    except Exception as problem:
        # A server would have died of it: a bug like any other, with the seed that shows it again.
        last = traceback.extract_tb(problem.__traceback__)[-1]
        place = f"{Path(last.filename).name}:{last.lineno}"
        scene.ledger.says(f"the control plane fails at {place}: {problem!r}")
    counts = scene.cluster.counts | scene.mail.counts
    return Life(
        seed=seed,
        policy=policy,
        events=len(scene.ledger.log),
        jobs=len(scene.ledger.replica.jobs),
        virtual_s=round(scene.time.now_ns / NS_PER_S, 3),
        faults=dict(sorted(counts.items())),
        broken=tuple(scene.ledger.broken),
        trace=scene.ledger.trace(),
    )


def lives(first_seed: int, seeds: int) -> Iterator[Life]:
    """One life after another."""
    return map(live, range(first_seed, first_seed + seeds))


class Tally:
    """What many lives have shown."""

    def __init__(self, first_seed: int) -> None:
        self._first_seed = first_seed
        self._began = perf_counter()
        self._lives: list[Life] = []

    def add(self, life: Life) -> None:
        """Count a life."""
        self._lives.append(life)

    @property
    def failures(self) -> list[Life]:
        """Lives in which an invariant broke."""
        return [life for life in self._lives if life.broken]

    def summary(self) -> dict[str, Any]:
        """The figures of `--json`."""
        faults: dict[str, int] = {}
        for life in self._lives:
            for kind, count in life.faults.items():
                faults[kind] = faults.get(kind, 0) + count
        traces = hashlib.sha256("".join(life.trace for life in self._lives).encode())
        return {
            "seeds": len(self._lives),
            "first_seed": self._first_seed,
            "events": sum(life.events for life in self._lives),
            "jobs": sum(life.jobs for life in self._lives),
            "faults": dict(sorted(faults.items())),
            "policies": sorted({life.policy for life in self._lives}),
            "violations": sum(len(life.broken) for life in self._lives),
            "failures": [
                {
                    "seed": life.seed,
                    "policy": life.policy,
                    "broken": list(life.broken),
                    "replay": replay_command(life.seed),
                }
                for life in self.failures
            ],
            "trace": traces.hexdigest()[:16],
            "seconds": round(perf_counter() - self._began, 3),
        }


def replay_command(seed: int) -> str:
    """What shows the life of a seed again."""
    return f"irongrid twin chaos --seeds 1 --first-seed {seed}"


def fleet(draw: Random) -> tuple[Node, ...]:
    """A few nodes, of one type or two."""
    nodes: list[Node] = []
    for kind in ("A100", "H100")[: draw.choice([1, 1, 2])]:
        devices = draw.choice([2, 4, 4, 8])
        for at in range(draw.randint(2, 5)):
            name = NodeId(f"{kind.lower()}-{at}")
            cpus, memory_bytes = 4.0 * devices, devices * 2**32
            node = Node(
                id=name, device_type=kind, devices=devices, cpus=cpus, memory_bytes=memory_bytes
            )
            nodes.append(node)
    return tuple(nodes)


def _policies(
    seed: int, futures: RigidFutures, learner: Learner
) -> tuple[str, list[Policy | None]]:
    """Each policy that needs no profiles gets its turn to be the first; so does one that moves."""
    knowledge = Knowledge(futures, learner)
    named = [(name, knowledge.policy(name)) for name in knowledge.names]
    named.append((Shuffle.name, Shuffle(seed)))
    first = seed % len(named)
    turned = named[first:] + named[:first]
    return turned[0][0], [policy for _, policy in turned]


def _scene(seed: int) -> tuple[_Scene, str]:
    time, files = Virtual(seed), Files()
    nodes = fleet(time.draw)
    mail, ledger = Mail(time), Ledger(time, files)
    cluster = Cluster(nodes, time, mail, files, ledger, JobFailures(MODEL, seed))
    futures = RigidFutures(RestartCosts())
    learner = Learner()
    name, policies = _policies(seed, futures, learner)
    learner.state = ledger.replica
    ledger.readers.append(learner)
    server = ControlPlane(cluster, policies)

    def known(job: JobId) -> None:
        service_s = cluster.total_steps[job] / 1_000
        futures.add(job, TraceJob(job, 0.0, "", 1, service_s))

    people = People(cluster, server, known)
    spot = tuple(node.id for node in nodes[: len(nodes) // 3])
    return _Scene(time, mail, ledger, cluster, server, people, spot), name


def _begin(scene: _Scene, seed: int) -> None:
    """Everything that comes again and again."""
    time, cluster, draw = scene.time, scene.cluster, scene.time.draw
    faults = node_faults(MODEL, cluster.nodes, scene.spot, seed)

    def next_fault() -> None:
        fault = next(faults)

        def due() -> None:
            if not scene.mail.healed:
                cluster.breaks(fault)
                next_fault()

        time.at(fault.at_ns, due)

    def often(mean_s: float, entry: Callable[[], None]) -> None:
        def due() -> None:
            if not scene.mail.healed:
                entry()
                time.after(draw.expovariate(1 / mean_s), due)

        time.after(draw.expovariate(1 / mean_s), due)

    def cut() -> None:
        cluster.cut(draw.choice(cluster.nodes).id, draw.uniform(5, 200))

    def crash() -> None:
        # Moments at which a decision is in the air are few, so half of all crashes aim at one.
        place = draw.choice(["", draw.choice(PLACES)])
        scene.server.crash_at(place, draw.randrange(80 if place == "" else 8))

    def submit() -> None:
        replica = scene.ledger.replica
        if len(replica.queue) + len(replica.active) + len(replica.paused) < _MOST_LIVE_JOBS:
            scene.people.submit()

    next_fault()
    often(_SUBMIT_S, submit)
    often(_ASK_S, scene.people.ask_something)
    often(_CUT_S, cut)
    often(_KILL_S, cluster.kill_one)
    often(_RANK_S, cluster.fail_one)
    often(_CRASH_S, crash)
    often(_ORDER_S, scene.server.restart)
    often(_ORDER_S, scene.server.evacuate)


def _enough(scene: _Scene) -> bool:
    return (
        len(scene.ledger.log) >= EVENTS
        and len(scene.ledger.replica.jobs) >= JOBS
        and scene.world_faults >= FAULTS
        and scene.cluster.counts.get("crash", 0) >= CRASHES
    )


def _chaos(scene: _Scene) -> None:
    until_ns = _CHAOS_S * NS_PER_S
    while not _enough(scene) and not scene.ledger.broken:
        assert scene.time.advance(), "the world never stands still"
        if scene.time.now_ns > until_ns:
            scene.ledger.says("I10: nothing goes on: too little has happened in a day")
            return


def _peace(scene: _Scene) -> None:
    """Nothing breaks any more; people let paused jobs go on; all must come to its end."""
    scene.cluster.heal()
    time, replica = scene.time, scene.ledger.replica

    def resume() -> None:
        for job in list(replica.paused):
            scene.people.resume(job)
        time.after(60, resume)

    resume()
    until_ns = time.now_ns + _PEACE_S * NS_PER_S
    quiet_ns: int | None = None
    while time.now_ns < until_ns and not scene.ledger.broken and time.advance():
        if replica.active or replica.queue or replica.paused or scene.server.state is None:
            quiet_ns = None
        elif quiet_ns is None:
            quiet_ns = time.now_ns
        elif time.now_ns - quiet_ns > 200 * NS_PER_S:
            break
    if scene.ledger.broken:
        return  # What comes after a broken invariant says nothing more.
    if scene.server.state is None:
        scene.ledger.says("I10: no server is up")
    else:
        scene.ledger.at_rest(scene.server.state)
