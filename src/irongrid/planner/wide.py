"""Sites that are joined by wide links, and what it takes them to exchange what they learn.

Every site runs the same plan on an equal share of the batch. Every `sync_every` steps (H) the sites
average what they have changed, and an outer Nesterov step takes the average: DiLoCo,
arXiv:2311.08105 (2023-11). The exchange is streamed in fragments behind compute, as in Streaming
DiLoCo, arXiv:2501.18512 (2025-01), so it costs no time as long as it fits there.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from math import ceil

from irongrid.domain.fleet import Fleet, Pool, WideLink
from irongrid.planner.question import Question, goal_of

# Steps between two exchanges: DiLoCo was shown to learn well up to 500 (arXiv:2311.08105, 4.1).
EVERY = (1, 2, 5, 10, 20, 50, 100, 200, 500)
# Of the time between two exchanges, so that a slow spell of the link stalls nobody.
FILLED = 0.5
# Sites of which every pair is tried, the largest; the largest group of all is tried as well.
_PAIRED = 4


@dataclass(frozen=True, slots=True)
class Group:
    """One pool at each of several sites that are all joined, and the slowest link among them."""

    pools: tuple[Pool, ...]
    link_bytes_per_s: float
    latency_s: float

    @property
    def sites(self) -> int:
        """How many."""
        return len(self.pools)

    @property
    def name(self) -> str:
        """Of all pools."""
        return "+".join(pool.name for pool in self.pools)


def exchange_s(
    *, payload_bytes: float, sites: int, link_bytes_per_s: float, latency_s: float
) -> float:
    """Seconds for one ring all-reduce between sites, each of which sends as one over a wide link.

    Args:
        payload_bytes: what every site holds.
        link_bytes_per_s, latency_s: of the slowest link, one direction, one way.
    """
    hops = 2 * (sites - 1)
    return hops * (payload_bytes / sites / link_bytes_per_s + latency_s)


def steps_between(
    exchange_s: float, step_time_s: float, backward_s: float, pin: int | None = None
) -> int | None:
    """The fewest steps between two exchanges that hide one; None where none of `EVERY` does.

    Sites that meet in every step must do so behind the last micro-batch's backward pass: only
    then are gradients final.
    """
    for every in EVERY if pin is None else (pin,):
        room_s = backward_s if every == 1 else FILLED * every * step_time_s
        if exchange_s <= room_s:
            return every
    return None


def steps_needed(exchange_s: float, step_time_s: float) -> int:
    """Steps between two exchanges that would hide one, be they ever so many."""
    return max(ceil(exchange_s / (FILLED * step_time_s)), 2)


def rate_needed(
    group: Group, *, payload_bytes: float, step_time_s: float, backward_s: float, every: int
) -> float | None:
    """Bytes per second of a link that hides an exchange; None where its latency alone is more."""
    room_s = backward_s if every == 1 else FILLED * every * step_time_s
    hops = 2 * (group.sites - 1)
    left_s = room_s - hops * group.latency_s
    return hops * payload_bytes / group.sites / left_s if left_s > 0 else None


def groups(question: Question) -> Iterator[Group]:
    """Joined sites, for each type of device."""
    fleet = question.fleet
    wanted = int(question.pins["sites"]) if "sites" in question.pins else None
    usable = [pool for pool in question.pools if _comparable(question, pool)]
    for device in dict.fromkeys(pool.accelerator.name for pool in usable):
        largest: dict[str, Pool] = {}
        for pool in sorted(usable, key=lambda pool: -pool.devices):
            if pool.accelerator.name == device:
                largest.setdefault(pool.site, pool)
        pools = [pool for pool in usable if largest.get(pool.site) is pool]
        for members in _joined(fleet, pools, wanted):
            links = _links(fleet, members)
            yield Group(
                pools=members,
                link_bytes_per_s=min(link.bytes_per_s for link in links),
                latency_s=max(link.latency_s for link in links),
            )


def _comparable(question: Question, pool: Pool) -> bool:
    """Whether the pool computes in the precision and has the figures that the goal weighs."""
    weights, site = goal_of(question.goal).weights, question.fleet.site(pool.site)
    return (
        question.training.precision in pool.accelerator.flops_per_s
        and ("cost" not in weights or pool.usd_per_device_h is not None)
        and ("carbon" not in weights or site.carbon_g_per_kwh is not None)
    )


def _joined(fleet: Fleet, pools: list[Pool], wanted: int | None) -> list[tuple[Pool, ...]]:
    """Pairs of sites with a link between them, and the largest group where all have one."""
    pools = sorted(pools, key=lambda pool: -pool.devices)
    pairs = [pair for pair in combinations(pools[:_PAIRED], 2) if _links(fleet, pair)]
    largest = max((_grown(fleet, pools, pair) for pair in pairs), key=len, default=())
    if wanted is None:
        return [*pairs, *([largest] if len(largest) > 2 else [])]
    if wanted == 2:
        return list(pairs)
    return [largest[:wanted]] if 2 < wanted <= len(largest) else []


def _grown(fleet: Fleet, pools: list[Pool], pair: tuple[Pool, ...]) -> tuple[Pool, ...]:
    """The pair and every further site that is joined to all before it."""
    group = pair
    for pool in pools:
        if pool not in group and _links(fleet, (*group, pool)):
            group = (*group, pool)
    return group


def _links(fleet: Fleet, pools: tuple[Pool, ...]) -> tuple[WideLink, ...]:
    """The links between all of these pools' sites; empty where any is missing."""
    between = {frozenset(link.sites): link for link in fleet.wide_links if link.bytes_per_s > 0}
    ends = [frozenset((one.site, other.site)) for one, other in combinations(pools, 2)]
    return tuple(between[pair] for pair in ends) if all(pair in between for pair in ends) else ()
