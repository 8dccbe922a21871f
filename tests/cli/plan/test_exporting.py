"""An export's files may know less than its runtime: the best plan that they can say is chosen."""

from typing import Any

import pytest
from tests.cli.plan.samples import node_of

from irongrid.cli.plan import exporting
from irongrid.domain.model import PRESETS
from irongrid.domain.plan import ParallelPlan
from irongrid.domain.training import Training
from irongrid.errors import Refused
from irongrid.planner.question import Question
from irongrid.sdk.plan import shipped_coefficients

QUESTION = Question(
    model=PRESETS["llama-1b"],
    training=Training(global_batch=64, seq_len=2048),
    fleet=node_of(8),
    pins={"recompute": "none"},
    keep=2,
)


def refusing(monkeypatch: pytest.MonkeyPatch, accepts: Any) -> list[ParallelPlan]:
    """Let the export refuse what `accepts` says no to; the plans that it was asked for."""
    asked: list[ParallelPlan] = []

    def export(name: str, plan: ParallelPlan, *_: object) -> dict[str, str]:
        asked.append(plan)
        if not accepts(plan):
            raise Refused("not_exportable", f"{name} does not know this", "ask for less")
        return {"plan.txt": "here"}

    monkeypatch.setattr(exporting, "export", export)
    return asked


def test_the_fastest_plan_is_exported_where_nothing_stands_against_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = refusing(monkeypatch, lambda plan: True)

    found = exporting.best_export("megatron", QUESTION, shipped_coefficients())

    assert found.files == {"plan.txt": "here"}
    assert found.obstacle == ""
    assert asked == [found.answer.best.plan]
    assert len(found.answer.plans) == 2


def test_a_plan_that_cannot_be_said_is_passed_over_and_the_reason_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = refusing(monkeypatch, lambda plan: plan.cp == 1 and plan.tp > 1)

    found = exporting.best_export("megatron", QUESTION, shipped_coefficients())

    assert found.obstacle == "megatron does not know this"
    assert found.answer.best.plan == asked[-1]
    assert found.answer.best.plan.tp > 1
    assert len(set(asked)) == len(asked)


def test_where_no_plan_can_be_said_the_first_reason_is_the_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refusing(monkeypatch, lambda plan: False)

    with pytest.raises(Refused) as caught:
        exporting.best_export("megatron", QUESTION, shipped_coefficients())

    assert caught.value.code == "not_exportable"
    assert "pin other degrees" in caught.value.fix
