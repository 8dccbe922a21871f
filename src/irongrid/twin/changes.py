"""One change to a trial: another policy, another number of nodes, another fleet."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from irongrid.domain.fleet import Fleet
from irongrid.errors import Problem, SpecError
from irongrid.twin.trials import Trial, on_fleet

_NODES = re.compile(r"(?:([A-Za-z0-9][A-Za-z0-9 ._/()-]*):)?([+-]?)([0-9]{1,7})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is to be different.

    Attributes:
        policy: empty leaves it.
        nodes: `+8`, `-2` or `12`, with a pool before it (`h100:+8`) where there are several; empty
            leaves them.
        fleet: in place of the trial's; None leaves it.
    """

    policy: str = ""
    nodes: str = ""
    fleet: Fleet | None = None

    def __bool__(self) -> bool:
        return bool(self.policy or self.nodes or self.fleet)


def changed(trial: Trial, change: Change) -> Trial:
    """The trial with the change.

    Raises:
        SpecError: the change does not go with the trial.
        Refused: a job needs more than the changed fleet has.
    """
    words = []
    if change.fleet is not None:
        trial = on_fleet(trial, change.fleet)
        words.append(change.fleet.name)
    if change.nodes:
        trial, count = _with_nodes(trial, change.nodes)
        words.append(f"{count:,} nodes")
    if change.policy:
        trial = replace(trial, options=replace(trial.options, policy=change.policy))
        words.append(change.policy)
    return replace(trial, name=f"{trial.name}, {', '.join(words)}") if words else trial


def resized(pools: Mapping[str, int], text: str) -> dict[str, int]:
    """Nodes of each pool after `+8`, `-2`, `12` or `POOL:+8`.

    Raises:
        SpecError: the text is none of these, names no pool or the wrong one, or leaves no node.
    """
    found = _NODES.fullmatch(text.strip())
    if found is None:
        raise _wrong(f"{text[:40]!r} is no number of nodes", "Write +8, -2, 12, or POOL:+8")
    name, sign, digits = found.groups()
    if name is None and len(pools) > 1:
        fix = f"Write {next(iter(pools))}:{text}"
        raise _wrong(f"there are several pools: {', '.join(pools)}", fix)
    if name is not None and name not in pools:
        fix = f"Use one of {', '.join(pools)}" if any(pools) else "Leave the name out"
        raise _wrong(f"there is no pool {name!r}", fix)
    pool = next(iter(pools)) if name is None else name
    count = int(digits)
    nodes = count if not sign else pools[pool] + (count if sign == "+" else -count)
    if nodes < 1:
        raise _wrong(f"{text} leaves {nodes} nodes of {pools[pool]}", "Leave 1 or more")
    return {**pools, pool: nodes}


def _with_nodes(trial: Trial, text: str) -> tuple[Trial, int]:
    if trial.fleet is None:
        now = trial.options.nodes or trial.workload.nodes
        (nodes,) = resized({"": now}, text).values()
        return replace(trial, options=replace(trial.options, nodes=nodes)), nodes
    counts = resized({pool.name: pool.nodes for pool in trial.fleet.pools}, text)
    # The network's levels stay those of the old size: they play no part in the twin.
    pools = tuple(replace(pool, nodes=counts[pool.name]) for pool in trial.fleet.pools)
    return on_fleet(trial, replace(trial.fleet, pools=pools)), sum(counts.values())


def _wrong(problem: str, fix: str) -> SpecError:
    return SpecError([Problem(field="--nodes", problem=problem, fix=fix, source="irongrid")])
