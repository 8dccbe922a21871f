"""A virtual experiment: who asks for what on which fleet, and whose decisions are tried."""

from dataclasses import dataclass

from irongrid.domain.fleet import Fleet


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """Jobs that somebody has recorded.

    Attributes:
        file: path of the workload.
        dataset: the format of the file and the rules that come with it.
        head: only so many jobs, the first ones; 0 is all.
    """

    file: str
    dataset: str
    head: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """Jobs that are drawn at random from a few figures.

    Attributes:
        per_hour: mean arrivals.
        daily_swing: how much the rate rises at noon and falls at midnight, 0 to 1.
        sizes: devices of a job with their weights.
        median_s, p90_s: of the durations, which are log-normal.
        teams: names with the weights of their submits.
    """

    jobs: int
    per_hour: float
    daily_swing: float
    sizes: tuple[tuple[int, float], ...]
    median_s: float
    p90_s: float
    teams: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One experiment.

    Attributes:
        fleet: None is the data set's own cluster.
        policy: by name; whoever runs the scenario knows which there are.
        seed: of everything random.
    """

    name: str
    fleet: Fleet | None
    workload: Recorded | Generated
    policy: str
    seed: int = 0
