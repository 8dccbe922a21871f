"""What a report shows: the table, the page, the object."""

import io
import json
import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import replace

import pytest
from tests.cli.plan.samples import PLAN, POOL, PRICED, REPORT

from irongrid.cli.plan import table, words
from irongrid.cli.plan.objects import matrix_object, report_object
from irongrid.cli.plan.page import page
from irongrid.cli.plan.steps import pipeline_of, timeline
from irongrid.cli.screen import Screen
from irongrid.domain.plan import Replicas
from irongrid.planner.matrix import CommunicationMatrix
from irongrid.planner.rank_map import rank_map

# The fields that the issue asks of every plan, beside those of the plan itself.
FIGURES = (
    "step_time_s", "step_time_s_p90", "parts_s", "tokens_per_s", "mfu", "hfu",
    "peak_memory_bytes", "peak_memory_bytes_p95", "memory_parts_bytes", "energy_j_per_step",
    "usd_per_step", "co2_g_per_step", "why",
)  # fmt: skip


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("COLUMNS", "80")
    out = io.StringIO()
    with redirect_stdout(out):
        screen = Screen()
        table.show(screen, REPORT)
        table.show_front(screen, REPORT.pareto)
        assert REPORT.curve is not None
        table.show_curve(screen, REPORT.curve)
        assert REPORT.matrix is not None
        table.show_matrix(screen, REPORT.matrix)
    return out.getvalue().splitlines()


def test_the_chosen_plan_comes_first_and_is_marked(shown: list[str]) -> None:
    (marked,) = [line for line in shown if line.startswith("*  ")]

    assert "tp8 pp16 dp128" in marked
    assert "interleaved x2" in marked
    assert "5.00 s" in marked


def test_tables_fit_80_columns(shown: list[str]) -> None:
    tables = [line for line in shown if "GiB" in line or "tp8" in line or "H100 " in line]

    assert max(len(line) for line in tables) <= 80


def test_the_bar_has_a_cell_for_every_part_and_the_reasons_follow(shown: list[str]) -> None:
    (bar,) = [line for line in shown if line.startswith("██")]

    assert len(bar) == table.BAR_CELLS
    assert set(bar) == {"█", "t", "p", "d", "·", "o", "+"}
    assert all(sentence in shown for sentence in PRICED.why)


def test_efficiency_is_against_the_smallest_size(shown: list[str]) -> None:
    rows = [line.split() for line in shown if re.match(r"H100 +[0-9,]+ ", line)]

    assert [row[-1] for row in rows] == ["100%", "100%", "100%", "100%"]
    assert [row[1] for row in rows] == ["2,048", "4,096", "8,192", "16,384"]


def test_the_object_has_every_figure_beside_the_plan() -> None:
    value = json.loads(json.dumps(report_object(REPORT), allow_nan=False))

    best = value["plans"][0]
    assert {"apiVersion", "tp", "pp", "world_size", "runnable_by", *FIGURES} <= best.keys()
    assert math.fsum(best["parts_s"].values()) == pytest.approx(best["step_time_s"])
    assert [plan["tp"] for plan in value["plans"]] == [8, 8, 4]
    assert len(value["curve"]["points"]) == 4


def test_traffic_is_listed_with_the_most_first(shown: list[str]) -> None:
    flows = [line.split()[:2] for line in shown if line.startswith(("tp ", "dp "))]

    assert flows == [["tp", "all-reduce"], ["dp", "reduce-scatter"]]


def test_a_large_plan_lists_groups_and_not_every_pair_of_ranks() -> None:
    matrix = report_object(REPORT)["matrix"]

    assert matrix["bytes_per_rank"] == {"dp": 4 * 2**30, "tp": 30 * 2**30}
    assert "pairs" not in matrix
    assert matrix["rank_map"] == {"order": "node-major", "sides": []}


def test_a_small_plan_lists_pairs_and_the_place_of_each_rank() -> None:
    plan = replace(PLAN, world_size=16, pp=1, tp=8, dp_replicate=2, grad_accum=1, stage_layers=())
    flow = replace(REPORT.matrix.flows[1], groups=2)  # type: ignore[union-attr]
    matrix = matrix_object(CommunicationMatrix(plan=plan, flows=(flow,)), rank_map(plan, POOL))

    assert len(matrix["pairs"]) == 16  # a ring of 8 in each of 2 groups
    assert matrix["pairs"][0] == [0, 1, 30.0 * 2**30]
    assert matrix["rank_map"]["places"][:9] == [[0, i] for i in range(8)] + [[1, 0]]


def test_what_was_not_computed_is_not_in_the_object() -> None:
    value = report_object(replace(REPORT, pareto=(), curve=None, matrix=None))

    assert not {"pareto", "curve", "matrix", "files"} & value.keys()


@pytest.fixture(scope="module")
def text() -> str:
    return page(REPORT)


def test_the_page_needs_nothing_but_itself(text: str) -> None:
    assert not re.search(r"(src|href)=|https?:|<script|@import|url\(", text)


def _drawings(text: str) -> Iterator[ElementTree.Element]:
    for drawing in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        yield ElementTree.fromstring(drawing)


def test_every_drawing_is_well_formed_and_says_in_words_what_it_is(text: str) -> None:
    labels = [drawing.get("aria-label") or "" for drawing in _drawings(text)]

    assert len(labels) == 8  # step, times, memory of plans and of stages, three fronts, curve
    assert all(labels)


def test_nothing_is_drawn_outside_of_its_drawing(text: str) -> None:
    for drawing in _drawings(text):
        width, height = (float(side) for side in drawing.attrib["viewBox"].split()[2:])
        for part in drawing.iter():
            x, y = part.get("x"), part.get("y")
            if x is not None and y is not None:
                assert 0 <= float(x) + float(part.get("width", 0)) <= width
                assert 0 <= float(y) + float(part.get("height", 0)) <= height


def test_memory_bars_show_the_limit_of_the_device(text: str) -> None:
    assert "the device has 80.0 GiB" in text
    assert 'class="limit"' in text


def test_names_from_outside_are_text_on_the_page_and_not_markup() -> None:
    text = page(replace(REPORT, model_name="<b onload=x>"))

    assert "<b onload" not in text
    assert "&lt;b onload=x&gt;" in text


def test_a_plan_without_price_or_carbon_leaves_their_charts_out() -> None:
    bare = replace(PRICED, usd_per_step=None, co2_g_per_step=None)
    answer = replace(REPORT.answer, plans=(bare,))

    text = page(replace(REPORT, answer=answer, pareto=(bare, bare)))

    assert "dollars a step" not in text
    assert "joules a step" in text


def test_a_long_step_is_drawn_in_part_and_says_so() -> None:
    plan = replace(PLAN, grad_accum=4096)

    drawn, left_out = pipeline_of(plan, PRICED.parts_s)
    picture, said = timeline(plan, PRICED.parts_s)

    assert drawn.micro_batches + left_out == 4096
    assert len(picture) < 1_000_000
    assert said.startswith(f"{drawn.micro_batches} of 4096 micro-batches")


def test_the_boxes_of_a_stage_add_up_to_the_work_of_the_step() -> None:
    drawn, _ = pipeline_of(PLAN, PRICED.parts_s)

    each_s = drawn.lengths_s["F"] + drawn.lengths_s["B"]
    # compute 3.4 s and tensor parallel 0.4 s.
    assert each_s * drawn.chunks * drawn.micro_batches == pytest.approx(3.8)


def test_the_output_layer_makes_its_stage_longer() -> None:
    plan = replace(PLAN, pp=4, schedule="1f1b", virtual_stages=1, stage_layers=(9, 9, 9, 5))

    assert pipeline_of(plan, PRICED.parts_s, head_blocks=2.0)[0].weights == (1, 1, 1, 7 / 9)
    v_shaped = replace(plan, schedule="zbv", virtual_stages=2, stage_layers=(8, 8, 8, 8))
    assert pipeline_of(v_shaped, PRICED.parts_s, 2.0)[0].weights == (1, 0.8, 0.8, 0.8)


def test_stages_of_two_pools_take_about_as_long_whatever_their_layers() -> None:
    plan = replace(
        PLAN, pp=4, schedule="1f1b", stage_layers=(22, 22, 9, 8),
        stage_pools=("new", "new", "old", "old"),
    )  # fmt: skip

    assert pipeline_of(plan, PRICED.parts_s, 2.0)[0].weights == (1, 1, 1, 8 / 9)


def test_recomputing_everything_makes_backward_three_times_as_long() -> None:
    drawn, _ = pipeline_of(replace(PLAN, recompute="full"), PRICED.parts_s)

    assert drawn.lengths_s["B"] == pytest.approx(3 * drawn.lengths_s["F"])


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.0123, "12.3 ms"),
        (0.9999, "1.00 s"),
        (5.0, "5.00 s"),
        (42.0, "42.0 s"),
        (130.0, "2m 10s"),
    ],
)
def test_times_have_three_digits(value: float, said: str) -> None:
    assert words.seconds(value) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [(940, "940"), (8_120, "8,120"), (812_000, "812 k"), (3.2e6, "3.2 M"), (0.5, "0.5")],
)
def test_large_numbers_have_letters(value: float, said: str) -> None:
    assert words.number(value) == said


def test_what_is_unusual_about_a_plan_is_said() -> None:
    plan = replace(PLAN, recompute="selective", offload="optimizer", offload_tier="nvme")

    assert words.extras(plan) == (
        "selective recompute, optimizer offloaded to nvme, stages of 7, 14 x 8, 7 layers"
    )


def test_replicas_in_two_pools_are_said_with_their_shares() -> None:
    parts = (
        Replicas(pool="new", count=48, micro_batch=1, grad_accum=16),
        Replicas(pool="old", count=80, micro_batch=2, grad_accum=5),
    )
    plan = replace(PLAN, replicas=parts, stage_layers=())

    assert words.micro_batch(plan) == "1/2"
    assert words.extras(plan) == (
        "replicas 48 on new with 1 x 16 samples each, 80 on old with 2 x 5 samples each"
    )


def test_memory_by_stage_names_the_fullest_and_the_emptiest() -> None:
    assert words.stages_memory(PRICED) == (
        "p95 of memory by stage: from 55.0 GiB on stage 15 to 70.0 GiB on stage 0"
    )


def test_the_object_lists_every_stage_of_which_the_fullest_is_the_plans_figure() -> None:
    best = report_object(REPORT)["plans"][0]

    assert [stage["stage"] for stage in best["stage_memory"]] == list(range(16))
    assert best["peak_memory_bytes"] == max(s["peak_memory_bytes"] for s in best["stage_memory"])
    assert best["memory_parts_bytes"] == best["stage_memory"][0]["parts_bytes"]


def test_every_stages_bar_ends_at_its_own_devices_limit() -> None:
    small = replace(POOL, name="small", accelerator=replace(POOL.accelerator, memory_bytes=2**35))
    fleet = replace(REPORT.fleet, pools=(POOL, small))
    stages = tuple(
        replace(stage, pool="small" if stage.stage > 7 else "h100") for stage in PRICED.stage_memory
    )
    best = replace(PRICED, stage_memory=stages)

    text = page(replace(REPORT, fleet=fleet, answer=replace(REPORT.answer, plans=(best,))))

    drawing = next(text for text in re.findall(r"<svg.*?</svg>", text) if "for each stage" in text)
    marks = re.findall(r'<line x1="([0-9.]+)"[^>]*class="limit"', drawing)
    assert len(marks) == 16
    assert len(set(marks[:8])) == len(set(marks[8:])) == 1
    assert float(marks[8]) < float(marks[0])
    assert "stage 8 on small" in drawing


def test_pools_and_sizes_are_columns_where_plans_differ_in_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    elsewhere = replace(PRICED, pool="a100", devices=64)
    out = io.StringIO()
    with redirect_stdout(out):
        Screen().say(table.plans_table((PRICED, elsewhere)))

    head, first, second = out.getvalue().splitlines()
    assert head.split()[:2] == ["pool", "degrees"]
    assert "devices" in head
    assert first.split()[1] == "h100"
    assert second.split()[0] == "a100"


@pytest.mark.parametrize(
    ("usd", "said"),
    [(None, "-"), (0.02, "$0.020"), (0.37, "$0.37"), (5.0, "$5.00"), (1234.5, "$1,234")],
)
def test_money_has_two_digits_at_least(usd: float | None, said: str) -> None:
    assert words.money(usd) == said


def test_each_type_of_device_has_a_curve_of_its_own() -> None:
    assert REPORT.curve is not None
    slower = tuple(
        replace(point, device_type="A100", work_per_s_p50=point.work_per_s_p50 / 3)
        for point in REPORT.curve.points
    )
    both = replace(REPORT.curve, points=(*REPORT.curve.points, *slower))

    text = page(replace(REPORT, curve=both))

    assert "tokens a second over H100 devices" in text
    assert "tokens a second over A100 devices" in text
