"""The JSON of a plan's report; docs/reference/plan-json.md describes it."""

from typing import Any

from irongrid.cli.failures import THE_ANSWER_IS_NO
from irongrid.cli.plan.report import Report
from irongrid.domain.codec import to_json
from irongrid.domain.plan import ParallelPlan
from irongrid.planner.answer import Misfit, PricedPlan
from irongrid.planner.matrix import CommunicationMatrix
from irongrid.planner.question import Question
from irongrid.planner.rank_map import RankMap

API_VERSION = "irongrid/v1"
# Up to so many ranks the matrix lists each pair and each rank's place; beyond, groups say it all.
RANKS_MAX = 1024
# Figures of a priced plan, in the order in which they are printed.
FIGURES = (
    "pool", "devices", "step_time_s", "step_time_s_p90", "parts_s", "tokens_per_s", "mfu", "hfu",
    "peak_memory_bytes", "peak_memory_bytes_p95", "memory_parts_bytes", "stage_memory",
    "host_bytes",
    "energy_j_per_step", "usd_per_step", "co2_g_per_step", "why",
)  # fmt: skip


def plan_object(plan: ParallelPlan) -> dict[str, Any]:
    """A plan alone, in the form that a plan file has."""
    return {"apiVersion": API_VERSION, **to_json(plan)}


def priced_object(priced: PricedPlan) -> dict[str, Any]:
    """A plan with its figures beside its degrees."""
    figures = {name: to_json(getattr(priced, name)) for name in FIGURES}
    return {**plan_object(priced.plan), **figures}


def report_object(report: Report) -> dict[str, Any]:
    """Everything that was computed; what was not asked for is left out."""
    training = report.training
    value: dict[str, Any] = {
        "plans": [priced_object(priced) for priced in report.answer.plans],
        "model": {
            "name": report.model_name,
            "parameters": report.model.parameters,
            "active_parameters": report.model.active_parameters,
        },
        "training": to_json(training),
        "fleet": {"name": report.fleet.name, "devices": report.fleet.devices},
        "goal": report.goal,
        "effort": to_json(report.answer.effort),
    }
    if report.pareto:
        value["pareto"] = [priced_object(priced) for priced in report.pareto]
    if report.curve is not None:
        value["curve"] = to_json(report.curve)
    if report.matrix is not None and report.ranks is not None:
        value["matrix"] = matrix_object(report.matrix, report.ranks)
    return value


def matrix_object(matrix: CommunicationMatrix, ranks: RankMap) -> dict[str, Any]:
    """Traffic by kind, and for plans that are not too large by rank, with each rank's place."""
    value: dict[str, Any] = {
        "flows": to_json(matrix.flows),
        "bytes_per_rank": dict(matrix.bytes_by_axis()),
        "rank_map": {"order": ranks.order, "sides": list(ranks.sides)},
    }
    if matrix.plan.world_size <= RANKS_MAX:
        senders, receivers, sent = matrix.pairs()
        value["pairs"] = [
            [int(sender), int(receiver), float(size)]
            for sender, receiver, size in zip(senders, receivers, sent, strict=True)
        ]
        value["rank_map"]["places"] = ranks.coordinates.tolist()
    return value


def misfit_object(model_name: str, question: Question, misfit: Misfit) -> dict[str, Any]:
    """The answer where nothing works: no plans, and what is missing."""
    return {
        "plans": [],
        "misfit": to_json(misfit),
        "model": {"name": model_name, "parameters": question.model.parameters},
        "fleet": {"name": question.fleet.name, "devices": question.fleet.devices},
        "exit_code": THE_ANSWER_IS_NO,
    }
