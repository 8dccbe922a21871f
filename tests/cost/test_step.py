"""Step time: its parts, its limits, and the directions in which it must move."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.cost.cases import FORMULAS, GPT3, LLAMA_8B, SHIPPED, plan, pool, time_of

from irongrid.cost.step import PARTS
from irongrid.domain.model import Experts
from irongrid.spec.catalog import model


def test_parts_add_up_to_the_whole() -> None:
    step = time_of([plan(), plan(tp=4, pp=16)], coefficients=SHIPPED)

    assert set(step.parts_s) == set(PARTS)
    assert np.sum(list(step.parts_s.values()), axis=0) == pytest.approx(step.p50_s)


def test_p90_is_later_than_p50() -> None:
    step = time_of([plan()], coefficients=SHIPPED)

    assert np.all(step.p90_s > step.p50_s)


def test_a_case_unlike_any_measured_one_is_less_certain() -> None:
    known = time_of([plan()], coefficients=SHIPPED, precision="fp16", runtime="megatron-2022")
    novel = time_of([plan()], coefficients=SHIPPED, machines=pool("Gaudi3"), runtime="maxtext")

    assert novel.p90_s / novel.p50_s > 1.1 * known.p90_s / known.p50_s


def test_gpt3_on_64_a100_takes_what_korthikanti_measured() -> None:
    # arXiv:2205.05198, table 5: 13.75 s with selective recomputation, 18.13 s with full.
    step = time_of([plan(), plan(recompute="full")], precision="fp16", runtime="megatron-2022")

    assert step.p50_s == pytest.approx([13.75, 18.13], rel=0.08)


def test_more_micro_batches_leave_a_smaller_share_to_the_bubble() -> None:
    few, many = (time_of([plan(grad_accum=m)]) for m in (16, 256))

    assert many.parts_s["bubble"] / many.p50_s < 0.3 * few.parts_s["bubble"] / few.p50_s


def test_zero_bubble_schedules_idle_less() -> None:
    step = time_of([plan(schedule=s, virtual_stages=1) for s in ("1f1b", "zb-1p", "zb-2p")])

    assert np.all(np.diff(step.parts_s["bubble"]) < 0)


def test_a_faster_network_helps_sharding_more_than_a_pipeline() -> None:
    sharded = plan(pp=1, tp=1, dp_shard=64, grad_accum=1, virtual_stages=1, zero="fsdp")
    deep = plan(virtual_stages=1, schedule="1f1b")

    gains = [
        time_of([one], machines=pool(net_bytes_per_s=12.5e9)).p50_s
        / time_of([one], machines=pool(net_bytes_per_s=25e9)).p50_s
        for one in (sharded, deep)
    ]

    assert gains[0] > gains[1] > 1.0


def test_a_narrow_spine_slows_only_what_is_wider_than_a_block() -> None:
    # Blocks of 8 nodes; the spine carries a sixteenth of what their devices could send.
    whole = pool()
    site = whole.levels[-1]
    block = replace(site, name="block", devices=64)
    narrow = replace(whole, levels=(whole.levels[0], block, replace(site, oversubscription=16.0)))
    wide = plan(pp=1, tp=8, dp_shard=128, zero="fsdp", grad_accum=1, virtual_stages=1)

    slower = [
        time_of([one], machines=narrow).p50_s / time_of([one], machines=whole).p50_s
        for one in (plan(), wide)
    ]

    assert slower[0] == pytest.approx(1.0)
    assert slower[1] > 1.2


def test_tensor_parallelism_beyond_the_node_is_slower_than_inside() -> None:
    inside, beyond = (
        time_of([plan(tp=t, pp=64 // t, schedule="1f1b", virtual_stages=1)]) for t in (8, 16)
    )

    assert beyond.parts_s["tp"] > 3 * inside.parts_s["tp"]


def test_a_small_model_waits_for_its_host() -> None:
    small = plan(pp=1, tp=8, world_size=8, grad_accum=8, schedule="1f1b", virtual_stages=1)
    step = time_of([small], model=LLAMA_8B, machines=pool("H100-80GB", 1), seq_len=256)

    assert step.parts_s["overhead"] > 0.5 * step.p50_s


def test_flops_of_a_step_are_those_of_the_megatron_paper() -> None:
    # arXiv:2104.04473, appendix: 96 B s l h^2 (1 + s/(6h) + V/(16 l h)), recomputation included;
    # attention there counts the whole square, here the half that a token sees.
    step = time_of([plan(recompute="full")])
    b, s, layers, h, vocab = 64, 2048, 96, 12288, 51200
    paper = 96 * b * s * layers * h**2 * (1 + s / 2 / (6 * h) + vocab / (16 * layers * h))

    assert step.hardware_flops[0] == pytest.approx(paper, rel=0.01)


def test_adapters_need_less_than_all_weights() -> None:
    from irongrid.cost.flops import step_flops
    from irongrid.cost.inputs import layout_of, work_of
    from irongrid.domain.training import Training

    layout = layout_of([plan()])
    whole, lora = (
        step_flops(work_of(GPT3, Training(global_batch=64, seq_len=2048, lora_rank=r)), layout)[0]
        for r in (0, 16)
    )

    assert 0.6 * whole < lora < 0.75 * whole


@settings(max_examples=60, deadline=None)
@given(
    tp=st.sampled_from([1, 2, 4, 8, 16]),
    pp=st.sampled_from([1, 2, 8, 96]),
    cp=st.sampled_from([1, 2, 16]),
    dp=st.sampled_from([1, 3, 512]),
    micro=st.integers(1, 64),
    accum=st.integers(1, 4096),
    zero=st.sampled_from(["none", "1", "2", "3", "fsdp"]),
    recompute=st.sampled_from(["none", "selective", "full"]),
    offload=st.sampled_from(["none", "optimizer", "parameters", "activations"]),
    seq=st.sampled_from([1, 128, 8192, 2**20]),
    runtime=st.sampled_from(["megatron", "torchtitan", "deepspeed", "unheard-of"]),
)
def test_any_plan_has_a_finite_positive_time(
    tp: int, pp: int, cp: int, dp: int, micro: int, accum: int, zero: str, recompute: str,
    offload: str, seq: int, runtime: str,
) -> None:  # fmt: skip
    one = plan(
        world_size=tp * pp * cp * dp, tp=tp, pp=pp, cp=cp, dp_shard=dp, micro_batch=micro,
        grad_accum=accum, zero=zero, recompute=recompute, offload=offload, virtual_stages=1,
        schedule="1f1b",
    )  # fmt: skip
    step = time_of([one], seq_len=seq, runtime=runtime, coefficients=SHIPPED)

    assert np.all(np.isfinite(step.p90_s))
    assert np.all(step.p50_s > 0)
    assert all(np.all(np.isfinite(part)) and np.all(part >= 0) for part in step.parts_s.values())


def test_columns_and_single_plans_agree() -> None:
    plans = [plan(), plan(tp=4, pp=16), plan(recompute="full")]

    together = time_of(plans).p50_s
    apart = np.concatenate([time_of([one]).p50_s for one in plans])

    assert together == pytest.approx(apart)
    assert FORMULAS.residual.pull.size == 0


def test_dualpipe_hides_the_all_to_all_behind_compute() -> None:
    mixtral = replace(LLAMA_8B, experts=Experts(count=64, top_k=8, ffn=2048))
    one = {"pp": 8, "tp": 1, "dp_shard": 8, "ep": 8, "zero": "1", "virtual_stages": 2}

    plain, paired = (
        time_of([plan(**one, schedule=s)], model=mixtral) for s in ("interleaved", "dualpipev")
    )

    assert paired.parts_s["ep"] < 0.5 * plain.parts_s["ep"]


def test_deepseek_v3_under_dualpipe_takes_what_its_report_says() -> None:
    # arXiv:2412.19437, table 1: 180,000 H800 hours for a million million tokens, 19.9 s a step of
    # 15,360 sequences of 4,096 tokens; section 3.2: pp 16, ep 64, ZeRO-1 and no recomputed blocks.
    published = plan(
        world_size=2048, tp=1, pp=16, ep=64, dp_shard=128, grad_accum=120, zero="1",
        schedule="dualpipev", virtual_stages=2, recompute="none",
    )  # fmt: skip

    step = time_of(
        [published], model=model("deepseek-v3"), machines=pool("H800", 256, net_bytes_per_s=50e9),
        precision="fp8", seq_len=4096,
    )  # fmt: skip

    assert step.p50_s == pytest.approx([19.9], rel=0.1)


@given(
    tp=st.sampled_from([1, 2, 4, 8]),
    pp=st.sampled_from([1, 2, 4, 8]),
    micro_batch=st.sampled_from([1, 2, 4]),
    recompute=st.sampled_from(["none", "selective", "full"]),
)
@settings(max_examples=20, deadline=None)
def test_a_plans_time_does_not_depend_on_the_plans_beside_it(
    tp: int, pp: int, micro_batch: int, recompute: str
) -> None:
    wanted = plan(
        tp=tp, pp=pp, dp_replicate=64 // (tp * pp), micro_batch=micro_batch, recompute=recompute,
        schedule="1f1b", virtual_stages=1,
    )  # fmt: skip
    others = [plan(), plan(tp=1, pp=1, dp_shard=64, zero="fsdp", micro_batch=8, grad_accum=1)]

    alone = time_of([wanted], coefficients=SHIPPED)
    beside = time_of([wanted, *others], coefficients=SHIPPED)

    assert beside.p50_s[0] == pytest.approx(alone.p50_s[0], rel=1e-9)
    assert beside.p90_s[0] == pytest.approx(alone.p90_s[0], rel=1e-9)
