"""Peak memory: hand counts, published needs, and what must only ever help or hurt."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.cost.memory_cases import (
    COEFFICIENTS,
    GIB,
    GPT_175B,
    LLAMA_8B,
    layout,
    machine,
    peak,
    work,
)

from irongrid.cost.columns import Layout
from irongrid.cost.memory import PARTS, peak_memory, stage_memory
from irongrid.domain.model import Experts, Latent, ModelShape
from irongrid.domain.plan import PRECISIONS

GPT_6B = ModelShape(
    layers=30, hidden=4096, heads=32, kv_heads=32, ffn=16384, vocab=50304, gated=False
)
MIXTRAL = ModelShape(
    layers=32, hidden=4096, heads=32, kv_heads=8, ffn=14336, vocab=32000, tied=False,
    experts=Experts(count=8, top_k=2, ffn=14336),
)  # fmt: skip
DEEPSEEK = ModelShape(
    layers=61, hidden=7168, heads=128, kv_heads=128, head_dim=128, ffn=18432, vocab=129280,
    tied=False, prediction_layers=1,
    experts=Experts(count=256, top_k=8, ffn=2048, shared_ffn=2048, dense_layers=3),
    latent=Latent(query_rank=1536, kv_rank=512, rotary_dim=64, value_dim=128),
)  # fmt: skip


def parts_gib(shape: ModelShape, plan: Layout, **training: Any) -> dict[str, float]:
    return {
        name: float(part) / GIB for name, part in peak(shape, plan, **training).parts_bytes.items()
    }


def p50(shape: ModelShape, plan: Layout, **training: Any) -> float:
    return float(peak(shape, plan, **training).p50_bytes) / GIB


@pytest.mark.parametrize("shape", [GPT_175B, LLAMA_8B, MIXTRAL, DEEPSEEK])
def test_one_device_counts_every_weight_of_the_model_once(shape: ModelShape) -> None:
    # 2 bytes of weight, 4 of gradient, 4 of master copy and 8 of Adam's moments; the model's own
    # count also has a last norm and the projections that join prediction blocks.
    parts = peak(shape, layout()).parts_bytes

    assert float(parts["weights"]) == pytest.approx(2 * shape.parameters, rel=1e-3)
    assert float(parts["gradients"]) == pytest.approx(4 * shape.parameters, rel=1e-3)
    assert float(parts["optimizer"]) == pytest.approx(12 * shape.parameters, rel=1e-3)


def test_a_gpt_block_keeps_the_34_and_5_of_the_textbook() -> None:
    # s b h (34 + 5 a s / h) bytes with attention that writes its scores, for 30 blocks.
    one, two = (
        parts_gib(replace(GPT_6B, layers=layers), layout(), seq_len=1024, runtime=1)["activations"]
        for layers in (30, 60)
    )
    linear, scores = 34 * 1024 * 4096, 5 * 32 * 1024**2
    kept = COEFFICIENTS.software[1].kept_share
    expected = (1 + COEFFICIENTS.fragmentation) * 30 * (kept * linear + scores) / GIB

    assert two - one == pytest.approx(expected, rel=1e-6)


def test_tensor_ranks_without_sequence_parallelism_keep_10_of_the_34_whole() -> None:
    def of_30_blocks(sequence_parallel: int) -> float:
        plan = layout(tp=8, sequence_parallel=sequence_parallel)
        one, two = (
            parts_gib(replace(GPT_6B, layers=n), plan, seq_len=1024)["activations"]
            for n in (30, 60)
        )
        return two - one

    unit = (1 + COEFFICIENTS.fragmentation) * 30 * 1024 * 4096 / GIB
    statistics = (1 + COEFFICIENTS.fragmentation) * 30 * 1024 * 4 * 32 / 8 / GIB
    assert of_30_blocks(1) == pytest.approx(34 / 8 * unit + statistics)
    assert of_30_blocks(0) == pytest.approx((10 + 24 / 8) * unit + statistics)


def test_the_published_175b_layout_fits_80_gb_and_none_of_its_parts_can_be_dropped() -> None:
    # tp 8, pp 12 (Narayanan et al., arXiv:2104.04473, table 1) with full recompute.
    published = {"tp": 8, "pp": 12, "micro_batch": 1, "recompute": "full", "runtime": 1}

    def need(**changes: Any) -> float:
        plan = published | changes
        runtime = plan.pop("runtime")
        return float(peak(GPT_175B, layout(**plan), runtime=runtime).p95_bytes) / GIB

    assert need() < 80
    assert need(tp=1) > 80
    assert need(pp=1) > 80
    assert need(tp=4, pp=6) > 80


def test_175b_on_eight_devices_fits_under_no_zero_stage_or_offload_of_the_optimizer() -> None:
    for zero in ("none", "1", "2", "3", "fsdp"):
        assert p50(GPT_175B, layout(dp_shard=8, zero=zero, recompute="full")) > 80
    assert p50(GPT_175B, layout(dp_shard=64, zero="3", recompute="full")) < 80


@pytest.mark.parametrize(
    ("zero", "weights", "gradients", "optimizer"),
    [("none", 1, 1, 1), ("1", 1, 1, 16), ("2", 1, 16, 16), ("3", 16, 16, 16), ("fsdp", 16, 16, 16)],
)
def test_each_zero_stage_shards_one_more_of_the_states(
    zero: str, weights: int, gradients: int, optimizer: int
) -> None:
    whole = parts_gib(LLAMA_8B, layout(dp_shard=16))
    cut = parts_gib(LLAMA_8B, layout(dp_shard=16, zero=zero))

    assert whole["weights"] / cut["weights"] == pytest.approx(weights)
    assert whole["gradients"] / cut["gradients"] == pytest.approx(gradients)
    assert whole["optimizer"] / cut["optimizer"] == pytest.approx(optimizer)


def test_replicas_share_nothing_and_context_ranks_share_the_states() -> None:
    alone = parts_gib(LLAMA_8B, layout(dp_shard=8, zero="fsdp"))

    assert parts_gib(LLAMA_8B, layout(dp_shard=8, dp_replicate=4, zero="fsdp")) == alone
    context = parts_gib(LLAMA_8B, layout(dp_shard=4, cp=2, zero="fsdp"))
    assert context["optimizer"] == pytest.approx(alone["optimizer"])
    assert context["activations"] < 0.6 * alone["activations"]


def test_expert_ranks_cut_the_experts_and_nothing_else() -> None:
    routed = 32 * 8 * 3 * 4096 * 14336
    alone = parts_gib(MIXTRAL, layout(dp_shard=8))["weights"]
    spread = parts_gib(MIXTRAL, layout(dp_shard=8, ep=8))["weights"]

    assert alone - spread == pytest.approx(2 * routed * 7 / 8 / GIB)
    # All 8 ranks hold different experts: there is nothing left over which ZeRO could shard them.
    sharded = parts_gib(MIXTRAL, layout(dp_shard=8, ep=8, zero="1"))["optimizer"]
    dense = MIXTRAL.parameters - routed
    assert sharded == pytest.approx(12 * (dense / 8 + routed / 8) / GIB, rel=1e-3)


@pytest.mark.parametrize(
    ("schedule", "virtual_stages", "in_flight"),
    [("1f1b", 1, 8), ("zb-1p", 1, 8), ("zb-2p", 1, 16), ("zbv", 2, 8), ("dualpipev", 2, 9)],
)
def test_a_schedule_keeps_its_micro_batches_in_flight(
    schedule: str, virtual_stages: int, in_flight: int
) -> None:
    def activations(layers: int) -> float:
        plan = layout(pp=8, schedule=schedule, virtual_stages=virtual_stages)
        return parts_gib(replace(GPT_6B, layers=layers), plan)["activations"]

    def alone(layers: int) -> float:
        return parts_gib(replace(GPT_6B, layers=layers), layout())["activations"]

    # Eight more blocks are one more on each stage, for each micro-batch in flight.
    block = alone(2) - alone(1)
    assert activations(40) - activations(32) == pytest.approx(in_flight * block)


def test_interleaving_keeps_more_than_1f1b_and_less_than_zb_2p() -> None:
    plain, interleaved, double = (
        p50(GPT_6B, layout(pp=8, schedule=schedule, virtual_stages=v, short_ends=1))
        for schedule, v in (("1f1b", 1), ("interleaved", 4), ("zb-2p", 1))
    )

    assert plain < interleaved < double


def test_few_micro_batches_keep_few_in_flight() -> None:
    assert p50(GPT_6B, layout(pp=8, grad_accum=1)) < p50(GPT_6B, layout(pp=8, grad_accum=4))
    assert p50(GPT_6B, layout(pp=8, grad_accum=8)) == p50(GPT_6B, layout(pp=8, grad_accum=64))


def test_a_large_vocabulary_makes_the_last_stage_the_fullest() -> None:
    # One micro-batch in flight, so that the first stage has no more activations than the last.
    plan = layout(pp=8, grad_accum=1, micro_batch=4)
    small, large = (
        parts_gib(replace(LLAMA_8B, vocab=v), plan)["activations"] for v in (1024, 256000)
    )

    assert large - small > 0.9 * 4 * 2048 * (256000 - 1024) * 12 / GIB


def test_adapters_need_a_fraction_of_full_training() -> None:
    full = parts_gib(LLAMA_8B, layout(recompute="full"))
    adapters = parts_gib(LLAMA_8B, layout(recompute="full"), lora_rank=16)

    # Rank 16 on every matrix of an 8B Llama is 42 million weights, half a per cent.
    trained = adapters["gradients"] * GIB / 4
    assert trained == pytest.approx(41.9e6, rel=0.01)
    assert adapters["weights"] == pytest.approx(full["weights"])
    assert sum(adapters.values()) < 0.25 * sum(full.values())


def test_frozen_weights_need_neither_gradient_nor_optimizer() -> None:
    parts = parts_gib(LLAMA_8B, layout(), frozen_share=1.0)

    assert parts["gradients"] == parts["optimizer"] == 0.0
    assert parts["weights"] > 0


def test_an_8_bit_optimizer_saves_6_bytes_and_sgd_4_a_weight() -> None:
    adam, eight_bit, sgd = (
        parts_gib(LLAMA_8B, layout(), optimizer=code)["optimizer"] for code in (1, 2, 0)
    )

    assert adam - eight_bit == pytest.approx(6 * LLAMA_8B.parameters / GIB, rel=1e-3)
    assert adam - sgd == pytest.approx(4 * LLAMA_8B.parameters / GIB, rel=1e-3)


def test_full_precision_keeps_one_copy_of_each_weight() -> None:
    parts = parts_gib(LLAMA_8B, layout(), precision=PRECISIONS.index("fp32"))

    assert parts["weights"] == pytest.approx(4 * LLAMA_8B.parameters / GIB, rel=1e-3)
    assert parts["optimizer"] == pytest.approx(8 * LLAMA_8B.parameters / GIB, rel=1e-3)


def test_offload_moves_bytes_to_the_host_and_loses_none_of_the_states() -> None:
    kept = peak(LLAMA_8B, layout())
    optimizer = peak(LLAMA_8B, layout(offload="optimizer"))
    parameters = peak(LLAMA_8B, layout(offload="parameters"))
    activations = peak(LLAMA_8B, layout(offload="activations", micro_batch=8))
    whole = peak(LLAMA_8B, layout(micro_batch=8))

    assert float(optimizer.host_bytes) == float(kept.parts_bytes["optimizer"])
    assert float(parameters.host_bytes) == float(
        kept.parts_bytes["optimizer"] + kept.parts_bytes["weights"]
    )
    assert parameters.p50_bytes < optimizer.p50_bytes < kept.p50_bytes
    assert activations.p50_bytes < whole.p50_bytes
    assert float(activations.host_bytes) > 0 == float(kept.host_bytes)


def test_recompute_saves_memory_and_a_share_of_the_blocks_saves_a_share() -> None:
    def of(recompute: str, share: float = 1.0) -> float:
        plan = layout(recompute=recompute, recompute_share=share, micro_batch=8)
        return parts_gib(GPT_6B, plan, runtime=1)["activations"]

    none, selective, full = of("none"), of("selective"), of("full")
    assert full < selective < none
    assert full < of("full", 0.5) < none


@pytest.mark.parametrize(
    ("name", "values", "grows"),
    [
        ("micro_batch", (1, 2, 4, 8), True),
        ("tp", (1, 2, 4, 8), False),
        ("dp_shard", (1, 2, 8, 64), False),
        ("cp", (1, 2, 4, 8), False),
        ("pp", (1, 2, 4, 8), False),
    ],
)
@pytest.mark.parametrize("zero", ["1", "fsdp"])
@pytest.mark.parametrize("recompute", ["none", "full"])
def test_more_ranks_never_need_more_and_a_larger_micro_batch_always_does(
    name: str, values: tuple[int, ...], grows: bool, zero: str, recompute: str
) -> None:
    fixed = {"dp_shard": 2, "zero": zero, "recompute": recompute, "grad_accum": 1}
    plan = layout(**(fixed | {name: np.array(values)}))
    need = peak(LLAMA_8B, plan, seq_len=8192, runtime=2).p50_bytes

    steps = np.diff(need)
    # FSDP under a pipeline keeps a stage's weights gathered: the first cut may cost more.
    if name == "pp" and zero == "fsdp":
        steps = steps[1:]
    # The first rank of a new axis brings buffers of its own.
    slack = 0.01 * need[-len(steps) - 1 : -1]
    assert np.all(steps > 0) if grows else np.all(steps <= slack)


def test_longer_sequences_and_larger_models_need_more() -> None:
    need = [p50(LLAMA_8B, layout(), seq_len=seq) for seq in (1024, 4096, 16384)]
    assert need == sorted(need)
    sizes = [p50(replace(LLAMA_8B, layers=n), layout()) for n in (16, 32, 64)]
    assert sizes == sorted(sizes)


def test_columns_give_what_single_plans_give() -> None:
    rng = np.random.default_rng(3)
    n = 60
    fields = {
        "pp": 2 ** rng.integers(0, 4, n), "tp": 2 ** rng.integers(0, 4, n),
        "dp_shard": 2 ** rng.integers(0, 6, n), "cp": 2 ** rng.integers(0, 3, n),
        "ep": 2 ** rng.integers(0, 4, n), "zero": rng.integers(0, 5, n),
        "recompute": rng.integers(0, 3, n), "schedule": rng.integers(0, 6, n),
        "offload": rng.integers(0, 4, n), "virtual_stages": rng.integers(1, 3, n),
        "micro_batch": 2 ** rng.integers(0, 4, n), "short_ends": rng.integers(0, 2, n),
    }  # fmt: skip
    together = peak(DEEPSEEK, layout(**fields))

    for i in range(n):
        alone = peak(DEEPSEEK, layout(**{name: column[i] for name, column in fields.items()}))
        assert float(alone.p95_bytes) == pytest.approx(float(together.p95_bytes[i]))
    total = sum(together.parts_bytes[name] for name in PARTS)
    np.testing.assert_allclose(total, together.p50_bytes)
    assert np.all(np.isfinite(together.p95_bytes))
    assert np.all(together.host_bytes >= 0)
    assert np.all(together.p95_bytes > together.p50_bytes)


def test_p95_is_wider_where_nothing_like_it_was_measured() -> None:
    def spread(shape: ModelShape, runtime: int) -> float:
        said = peak(shape, layout(), runtime=runtime)
        return float(said.p95_bytes / said.p50_bytes)

    known, unknown = 2, 3
    assert spread(LLAMA_8B, known) < spread(LLAMA_8B, unknown)
    assert spread(LLAMA_8B, known) < spread(MIXTRAL, known)


def test_old_devices_write_attention_scores_whatever_the_software() -> None:
    figures = work(LLAMA_8B, runtime=0)
    modern = peak_memory(figures, machine(), layout(), COEFFICIENTS)
    volta = peak_memory(figures, machine(generation=0), layout(), COEFFICIENTS)

    assert volta.p50_bytes > modern.p50_bytes


def test_the_peak_is_that_of_the_fullest_of_all_stages() -> None:
    plans: list[tuple[ModelShape, dict[str, Any]]] = [
        (GPT_6B, {"pp": 8, "short_ends": 1}),
        (GPT_6B, {"pp": 2, "short_ends": 1}),
        (LLAMA_8B, {"pp": 4, "grad_accum": 1, "micro_batch": 4}),
        (LLAMA_8B, {"pp": 4, "schedule": "interleaved", "virtual_stages": 2}),
        (DEEPSEEK, {"pp": 16, "ep": 8, "dp_shard": 8, "schedule": "dualpipev"}),
        (DEEPSEEK, {"pp": 8, "ep": 8, "dp_shard": 8, "zero": "1"}),
        (MIXTRAL, {"pp": 1, "zero": "fsdp", "dp_shard": 8}),
    ]
    for shape, fields in plans:
        plan = layout(**fields)
        stages = stage_memory(work(shape), machine(), plan, COEFFICIENTS)

        assert stages.p50_bytes.shape == (fields["pp"],)
        assert float(stages.p50_bytes.max()) == pytest.approx(float(peak(shape, plan).p50_bytes))


def test_the_stages_of_1f1b_hold_less_and_less_in_flight() -> None:
    stages = stage_memory(work(GPT_6B), machine(), layout(pp=5), COEFFICIENTS)
    activations = stages.parts_bytes["activations"]

    assert np.all(np.diff(activations[:-1]) < 0)


def test_a_stage_with_fewer_blocks_needs_less() -> None:
    plan = layout(pp=4)
    even = stage_memory(work(LLAMA_8B), machine(), plan, COEFFICIENTS)
    uneven = stage_memory(work(LLAMA_8B), machine(), plan, COEFFICIENTS, (6, 8, 9, 9))

    assert uneven.p50_bytes[0] < even.p50_bytes[0]
    assert uneven.p50_bytes[1] == even.p50_bytes[1]
    assert uneven.p50_bytes[2] > even.p50_bytes[2]
