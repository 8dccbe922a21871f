"""Stages of unequal depth: where they are proposed, what they cost, and what exports write."""

from dataclasses import replace
from typing import Any

import pytest
from tests.planner.world import A100, GIB, coefficients, pool, question

from irongrid.cost.columns import StepTime
from irongrid.cost.inputs import layout_of, machine_of, work_of
from irongrid.cost.step import step_time
from irongrid.domain.fleet import Accelerator
from irongrid.domain.model import ModelShape
from irongrid.domain.plan import ParallelPlan
from irongrid.domain.training import Training
from irongrid.errors import SpecError
from irongrid.planner.answer import Answer, PricedPlan
from irongrid.planner.exports import export
from irongrid.planner.search import search
from irongrid.planner.stage_split import head_blocks, relieved, stage_layers

COEFFICIENTS = coefficients()
# A vocabulary of 128k beside a width of 4096: the output layer is worth two blocks.
LARGE_VOCAB = ModelShape(
    layers=32, hidden=4096, heads=32, kv_heads=8, ffn=14336, vocab=128256, tied=False
)
RUN = Training(global_batch=128, seq_len=4096, runtime="megatron")


def best(model: ModelShape, runtime: str = "megatron", **pins: int | str) -> PricedPlan:
    training = Training(global_batch=128, seq_len=4096, runtime=runtime)
    asked = question(model, training, pool(32), pins={"schedule": "1f1b", **pins})
    return search(asked, COEFFICIENTS, explain=False).best


def time_of(*layers: int) -> StepTime:
    plan = ParallelPlan(
        world_size=32, pp=4, dp_replicate=1, dp_shard=8, micro_batch=1, grad_accum=16,
        precision="bf16", zero="1", stage_layers=layers,
    )  # fmt: skip
    machine = machine_of(pool(32), RUN)
    return step_time(work_of(LARGE_VOCAB, RUN), machine, layout_of([plan]), COEFFICIENTS)


@pytest.mark.parametrize(
    ("layers", "pp", "last", "stages"),
    [
        (32, 4, 8, (8, 8, 8, 8)),
        (30, 4, 7, (7, 8, 8, 7)),
        (31, 4, 7, (8, 8, 8, 7)),
        (29, 4, 7, (7, 8, 7, 7)),
        (32, 4, 5, (9, 9, 9, 5)),
        (61, 16, 1, (*(4,) * 15, 1)),
        (32, 16, 1, (*(2,) * 14, 3, 1)),
    ],
)
def test_all_layers_are_given_out(layers: int, pp: int, last: int, stages: tuple[int, ...]) -> None:
    assert stage_layers(layers, pp, last) == stages
    assert sum(stages) == layers


@pytest.mark.parametrize(
    ("layers", "pp", "head", "split"),
    [
        # 9 blocks, and 5 with a head of 2, where an even split has 8 and a head of 2.
        (32, 4, 2.0, (9, 5)),
        # A head of a third: 8.3 blocks cannot become fewer.
        (32, 4, 0.3, None),
        # DeepSeek-V3's layers: 15 stages of 4 leave one beside a head of 3.5, in place of 3.
        (61, 16, 3.5, (4, 1)),
        (32, 1, 2.0, None),
        (2, 2, 2.0, None),
    ],
)
def test_the_last_stage_is_relieved_where_the_slowest_gets_faster(
    layers: int, pp: int, head: float, split: tuple[int, int] | None
) -> None:
    assert relieved(layers, pp, head) == split


def test_a_large_vocabulary_is_worth_a_few_blocks() -> None:
    # 2 x 128256 x 4096 operations a token over those of a block: 218 M weights and attention.
    block = 2 * 218.1e6 + 4 * 4096 * 2048
    assert head_blocks(LARGE_VOCAB, RUN) == pytest.approx(2 * 128256 * 4096 / block, rel=0.01)


def test_the_search_relieves_the_stage_with_the_output_layer() -> None:
    plan = best(LARGE_VOCAB, pp=4).plan

    assert plan.stage_layers == (9, 9, 9, 5)
    assert plan.runnable_by == ("megatron",)


def test_layers_that_do_not_divide_are_spread_as_evenly_as_can_be() -> None:
    small_head = ModelShape(layers=30, hidden=4096, heads=32, kv_heads=8, ffn=14336, vocab=1000)

    assert best(small_head, pp=4).plan.stage_layers == (7, 8, 8, 7)


def test_a_runtime_with_equal_stages_only_gets_no_others() -> None:
    plan = best(LARGE_VOCAB, "maxtext", pp=4).plan

    assert plan.stage_layers == (8, 8, 8, 8)


def test_a_step_takes_as_long_as_its_slowest_stage() -> None:
    even, relieved_end, heavy_end = time_of(8, 8, 8, 8), time_of(9, 9, 9, 5), time_of(5, 9, 9, 9)
    # Two stages differ by blocks alone where the head is on neither of the slowest.
    ten, nine = time_of(10, 10, 10, 2), relieved_end
    block_s = ten.parts_s["compute"] - nine.parts_s["compute"]

    assert nine.parts_s["compute"] == pytest.approx(9 * block_s, rel=0.05)
    head_s = even.parts_s["compute"] - 8 * block_s
    assert heavy_end.parts_s["compute"] == pytest.approx(9 * block_s + head_s, rel=0.05)
    assert relieved_end.p50_s < even.p50_s < heavy_end.p50_s


def test_the_offered_split_is_priced_as_the_same_plan_is_elsewhere() -> None:
    priced = best(LARGE_VOCAB, pp=4)
    machine, layout = machine_of(pool(32, A100), RUN), layout_of([priced.plan])

    again = step_time(work_of(LARGE_VOCAB, RUN), machine, layout, COEFFICIENTS)

    # What measured rows teach is cut off by the reach of all rows priced together.
    assert priced.step_time_s == pytest.approx(float(again.p50_s[0]), rel=1e-4)


def test_a_fixed_split_is_kept_and_priced_with_its_own_blocks() -> None:
    wanted = best(LARGE_VOCAB, stage_layers="10, 9,8,5")
    middle = best(LARGE_VOCAB, stage_layers="7,7,11,7")

    assert wanted.plan.stage_layers == (10, 9, 8, 5)
    assert wanted.plan.pp == 4
    assert best(LARGE_VOCAB, pp=4).step_time_s < wanted.step_time_s < middle.step_time_s
    # Not one of the stages that are the fullest where blocks are spread as the search spreads them.
    peaks = [stage.peak_memory_bytes_p95 for stage in middle.stage_memory]
    assert peaks[2] > max(peaks[1], peaks[3])


def test_a_fixed_split_of_which_only_the_average_stage_fits_is_not_offered() -> None:
    pins = {"stage_layers": "5,5,17,5", "tp": 1, "micro_batch": 1, "recompute": "none"}

    def plans(device: Accelerator) -> Answer:
        asked = question(LARGE_VOCAB, RUN, pool(32, device), pins={"schedule": "1f1b", **pins})
        return search(asked, COEFFICIENTS)

    roomy = replace(A100, memory_bytes=200 * GIB)
    stages = plans(roomy).best.stage_memory
    needs = [stage.peak_memory_bytes_p95 for stage in stages]
    average = sum(needs) // len(needs)
    assert needs.index(max(needs)) == 2

    answer = plans(replace(roomy, memory_bytes=(average + max(needs)) // 2))

    assert all(stage.peak_memory_bytes_p95 <= (average + max(needs)) // 2
               for plan in answer.plans for stage in plan.stage_memory)  # fmt: skip
    assert stages not in [plan.stage_memory for plan in answer.plans]


@pytest.mark.parametrize(
    ("pins", "runtime", "said"),
    [
        ({"stage_layers": "8,8,8"}, "megatron", "they add up to 24. Give out all 32 layers"),
        ({"stage_layers": "8,8,8,x"}, "megatron", "is '8,8,8,x'"),
        ({"stage_layers": "0,16,16"}, "megatron", "Give the layers of each stage"),
        ({"stage_layers": "9,9,9,5", "pp": 8}, "megatron", "there are 4 stages, and pp=8"),
        ({"stage_layers": "9,9,9,5"}, "deepspeed", "deepspeed has stages of equal depth only"),
    ],
)
def test_a_split_that_cannot_be_says_why(pins: dict[str, Any], runtime: str, said: str) -> None:
    training = Training(global_batch=128, seq_len=4096, runtime=runtime)

    with pytest.raises(SpecError, match=said):
        search(question(LARGE_VOCAB, training, pool(32), pins=pins), COEFFICIENTS)


@pytest.mark.parametrize(
    ("runtime", "file", "written"),
    [
        ("megatron", "megatron.args", "E" + "|".join(["t" * 9] * 3 + ["t" * 5]) + "L"),
        ("torchtitan", "irongrid_plan.py", '"layers.26"],\n    ["layers.27"'),
    ],
)
def test_exports_write_the_stages_where_the_runtime_knows_them(
    runtime: str, file: str, written: str
) -> None:
    priced = best(LARGE_VOCAB, runtime, pp=4)
    training = Training(global_batch=128, seq_len=4096, runtime=runtime)

    files = export(runtime, priced.plan, LARGE_VOCAB, training, pool(32))

    text = "\n".join(line.rstrip() for line in files[file].splitlines())
    assert written in text
