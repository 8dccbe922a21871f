"""Closed nodes that a waiting job could use: which, why they are closed, and what opens them."""

from collections.abc import Iterator
from dataclasses import replace

from irongrid.control.state import State
from irongrid.domain.decision import Start
from irongrid.domain.ids import JobId, NodeId
from irongrid.scheduler.first_come import decide
from irongrid.scheduler.view import ClusterView

# Closed nodes that are tried one by one; each trial is a round of the policy.
_TRIED = 16


def would_do(state: State, view: ClusterView, job: JobId) -> tuple[NodeId, ...]:
    """Closed nodes that would start a waiting job at once if they were open: one, else all.

    Empty where no opening would. The policy itself is asked, so a job that only stands behind
    others is not told to open a node that they would take.
    """
    for nodes in _choices(state):
        if any(
            isinstance(act, Start) and act.job == job for act in decide(_open(state, view, nodes))
        ):
            return nodes
    return ()


def why_closed(state: State, nodes: tuple[NodeId, ...]) -> str:
    """A clause: these nodes would do, and why they take no new work."""
    whys = " and ".join(dict.fromkeys(state.closed[node] for node in nodes))
    takes = "takes" if len(nodes) == 1 else "take"
    return f"{', '.join(nodes)} would do, but {takes} no new work: {whys}"


def how_to_open(nodes: tuple[NodeId, ...]) -> str:
    """The command that opens these nodes."""
    return " && ".join(f"irongrid undrain {node}" for node in nodes)


def _choices(state: State) -> Iterator[tuple[NodeId, ...]]:
    idle = tuple(node for node in sorted(state.closed) if state.free[node].devices)
    yield from ((node,) for node in idle[:_TRIED])
    if len(idle) > 1:
        yield idle


def _open(state: State, view: ClusterView, nodes: tuple[NodeId, ...]) -> ClusterView:
    opened = (
        replace(node, free_devices=tuple(sorted(state.free[node.id].devices)))
        if node.id in nodes
        else node
        for node in view.nodes
    )
    return replace(view, nodes=tuple(opened))
