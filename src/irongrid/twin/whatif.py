"""What would have changed: a live server's log, replayed as it was and with a change."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from irongrid.domain.device import Node
from irongrid.domain.event import Recorded
from irongrid.domain.ids import NodeId
from irongrid.errors import SpecError
from irongrid.scheduler import first_come
from irongrid.twin.changes import Change, resized
from irongrid.twin.comparing import compared
from irongrid.twin.learning import Learnt, gaps, learn
from irongrid.twin.replay import ReplayOptions
from irongrid.twin.runs import Run
from irongrid.twin.trials import Trial, refuse_misfits, verified
from irongrid.twin.truth.futures import RestartCosts, RigidFutures
from irongrid.twin.truth.traces import Workload


@dataclass(frozen=True, slots=True)
class Question:
    """Two trials over one log.

    Attributes:
        before: as it was; `after`: with the change.
        notes: what is assumed, a sentence each.
    """

    before: Trial
    after: Trial
    learnt: Learnt
    notes: tuple[str, ...]


def question(records: Iterable[Recorded], source: str, change: Change) -> Question:
    """The two trials of a what-if.

    Raises:
        SpecError: the log is of no use, or the change does not go with it.
        Refused: a job needs more than the changed fleet has.
    """
    learnt = learn(records, source)
    notes = [
        *learnt.notes,
        "Jobs are handed in at the same moments, however long they wait.",
        "A job runs as long on any device of the type that it asked for, whatever its nodes.",
        f"A restart costs {learnt.start_s:g} s, the median start in the log.",
    ]
    policy = learnt.policy or first_come.NAME
    try:
        before = verified(_trial(learnt, learnt.nodes, policy, f"{Path(source).name} as it was"))
    except SpecError:
        notes.append(f"The twin has no policy {policy!r}, so both sides begin with first-come.")
        policy = first_come.NAME
        before = verified(_trial(learnt, learnt.nodes, policy, f"{Path(source).name} as it was"))
    nodes, words = learnt.nodes, []
    if change.nodes:
        nodes = with_nodes(nodes, change.nodes)
        words.append(f"{len(nodes)} nodes")
    if change.policy:
        words.append(change.policy)
    after = _trial(learnt, nodes, change.policy or policy, f"with {', '.join(words)}")
    return Question(before, verified(after), learnt, tuple(notes))


def _trial(learnt: Learnt, nodes: tuple[Node, ...], policy: str, name: str) -> Trial:
    refuse_misfits(learnt.jobs, nodes)
    costs = RestartCosts(learnt.start_s, learnt.start_s, learnt.start_s)
    workload = Workload(
        jobs=learnt.jobs,
        history=(),
        nodes=len(nodes),
        rules={"durations": "learnt from the log", "restart_s": learnt.start_s},
        fleet=lambda _: nodes,
        futures=lambda _: RigidFutures(costs),
    )
    options = ReplayOptions(dataset="log", workload=Path(), policy=policy)
    return Trial(name=name, workload=workload, options=options, fleet=None)


def with_nodes(nodes: tuple[Node, ...], text: str) -> tuple[Node, ...]:
    """More or fewer nodes like those that there are, by `+8`, `-2`, `12` or `TYPE:+8`.

    Raises:
        SpecError: see `changes.resized`.
    """
    counts: Mapping[str, int] = Counter(node.device_type for node in nodes)
    wanted = resized(counts, text)
    out: list[Node] = []
    for kind, count in wanted.items():
        group = [node for node in nodes if node.device_type == kind]
        last = group[-1]
        more = range(len(group), count)
        out += group[:count]
        out += [replace(last, id=NodeId(f"{kind}-more-{number}")) for number in more]
    return tuple(out)


def answered(asked: Question, run: Callable[[Trial], Run]) -> tuple[Run, Run, dict[str, Any]]:
    """Both runs, and the object of `--json`."""
    before, after = run(asked.before), run(asked.after)
    found = compared(before, after)
    found["replay_of_the_log"] = gaps(asked.learnt, before.keys, before.jct_s, before.queue_s)
    found["assumptions"] = list(asked.notes)
    return before, after, found
