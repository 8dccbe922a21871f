"""`--export`: the best plan that the software's own files can say.

A runtime's table says what it can run; its files may know less, such as no context parallelism for
a model with local attention. Then the best plan that they do know is chosen, and why is said.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from irongrid.cost.coefficients import Coefficients
from irongrid.domain.plan import ParallelPlan
from irongrid.errors import Refused
from irongrid.planner.answer import Answer
from irongrid.planner.exports import export
from irongrid.planner.question import Pin, Question
from irongrid.planner.search import search

# Plans of each search that are tried.
TRIES = 12
# What exports most often do not know, given up one after the other.
NARROWER: tuple[Mapping[str, Pin], ...] = (
    {},
    {"offload": "none"},
    {"cp": 1},
    {"cp": 1, "offload": "none"},
    {"cp": 1, "offload": "none", "pp": 1},
)


@dataclass(frozen=True, slots=True)
class Exported:
    """An answer whose best plan is exported.

    Attributes:
        obstacle: why a faster plan was passed over; empty where the fastest is exported.
    """

    answer: Answer
    files: dict[str, str]
    obstacle: str = ""


def best_export(name: str, question: Question, coefficients: Coefficients) -> Exported:
    """The best plan that can be exported, first in its answer.

    Raises:
        Refused: none of those that were tried can be.
    """
    refusal: Refused | None = None
    seen: set[ParallelPlan] = set()
    for narrower in NARROWER:
        pins = {**narrower, **question.pins}
        asked = replace(question, pins=pins, keep=max(TRIES, question.keep))
        answer = search(asked, coefficients)
        if not answer.plans and not narrower:
            return Exported(answer, {})
        for number, priced in enumerate(answer.plans):
            if priced.plan in seen:
                continue
            seen.add(priced.plan)
            pool = question.fleet.pool(priced.pool)
            try:
                files = export(name, priced.plan, question.model, question.training, pool)
            except Refused as refused:
                refusal = refusal or refused
                continue
            plans = (priced, *answer.plans[:number], *answer.plans[number + 1 :])
            return Exported(
                replace(answer, plans=plans[: question.keep]),
                files,
                refusal.problem if refusal is not None else "",
            )
    assert refusal is not None, "a search without plans has returned"
    raise Refused(refusal.code, refusal.problem, "name another export, or pin other degrees")
