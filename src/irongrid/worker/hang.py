"""When silence is a hang: each phase of a rank has a bound of its own.

A rank is watched from its start if it runs the recipe, which reports what it does; a rank of a
user's command only from its first `phase()` on, so a command that reports nothing is never called
hung. Ranks that report no steps themselves are left to those that do: in a gang that trains
together, one that stands still stops the others.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median

from irongrid.session.lines import Line, PhaseLine, ProgressLine, ReadyLine

# Seconds in a phase without a word. A step is judged by the rank's own steps as well.
BOUND_S = {
    "import": 120.0,
    "build": 300.0,
    "compile": 1800.0,
    "first_step": 600.0,
    "step": 60.0,
    "eval": 600.0,
    "save": 600.0,
    "load": 600.0,
}
STEP_MEDIANS = 20.0
_STEPS_KEPT = 32


@dataclass(frozen=True, slots=True)
class Hang:
    """A rank that has said nothing for longer than its phase allows."""

    rank: int
    phase: str
    silent_s: float
    bound_s: float


@dataclass(slots=True)
class _Watched:
    phase: str
    heard_at_s: float
    step_at_s: float | None = None
    step_times_s: deque[float] = field(default_factory=lambda: deque(maxlen=_STEPS_KEPT))


class HangWatch:
    """Watches the ranks of one generation. `scale` stretches every bound."""

    def __init__(self, scale: float = 1.0) -> None:
        self._scale = scale
        self._ranks: dict[int, _Watched] = {}

    def begin(self, ranks: Iterable[int], now_s: float) -> None:
        """Watch these ranks from their start; all others are forgotten."""
        self._ranks = {rank: _Watched("import", now_s) for rank in ranks}

    def forget(self, rank: int) -> None:
        """The rank has ended."""
        self._ranks.pop(rank, None)

    def excuse(self, pause_s: float) -> None:
        """Nobody could hear anything for a while: the worker itself stood still."""
        for watched in self._ranks.values():
            watched.heard_at_s += pause_s
            watched.step_at_s = None

    def note(self, rank: int, line: Line, now_s: float) -> None:
        """A rank says something."""
        watched = self._ranks.get(rank)
        if watched is None:
            if not isinstance(line, PhaseLine):
                return
            watched = self._ranks[rank] = _Watched(line.name, now_s)
        match line:
            case PhaseLine():
                watched.phase, watched.heard_at_s = line.name, now_s
                if line.name != "step":
                    watched.step_at_s = None
            case ReadyLine():
                watched.phase, watched.heard_at_s = "first_step", now_s
            case ProgressLine():
                if watched.step_at_s is not None:
                    watched.step_times_s.append(now_s - watched.step_at_s)
                watched.phase, watched.heard_at_s, watched.step_at_s = "step", now_s, now_s

    def check(self, now_s: float) -> Hang | None:
        """The rank that has been silent beyond its bound for longest; None while all is well."""
        worst: Hang | None = None
        for rank, watched in sorted(self._ranks.items()):
            hang = Hang(rank, watched.phase, now_s - watched.heard_at_s, self._bound_s(watched))
            over_s = hang.silent_s - hang.bound_s
            if over_s > 0 and (worst is None or over_s > worst.silent_s - worst.bound_s):
                worst = hang
        return worst

    def _bound_s(self, watched: _Watched) -> float:
        bound_s = BOUND_S[watched.phase] * self._scale
        if watched.phase != "step":
            return bound_s
        if not watched.step_times_s and watched.step_at_s is None:
            return float("inf")
        typical_s = median(watched.step_times_s) if watched.step_times_s else 0.0
        return max(bound_s, STEP_MEDIANS * typical_s)
