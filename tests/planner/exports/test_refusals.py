import pytest
from tests.planner.exports.cases import (
    DEEPSEEK_PAPER,
    GPT3_PAPER,
    LLAMA3_8B,
    LLAMA3_PAPER,
    MIXTRAL,
    TINY,
    Case,
    case,
    device,
    pool,
)

from irongrid.errors import Refused
from irongrid.planner.exports import NAMES, export


def refusal(name: str, one: Case) -> str:
    with pytest.raises(Refused) as caught:
        export(name, one.plan, one.model, one.training, one.pool)
    return str(caught.value)


def test_an_unknown_name_is_told_the_known_ones() -> None:
    text = refusal("colossalai", case(TINY, 8, 128))

    assert "colossalai" in text
    assert all(name in text for name in NAMES)


def test_everything_that_stands_against_a_plan_is_named_at_once() -> None:
    one = case(
        LLAMA3_8B,
        64,
        4096,
        tp=2,
        pp=4,
        zero="1",
        schedule="dualpipev",
        virtual_stages=2,
        precision="fp8",
        stage_layers=(9, 8, 8, 7),
    )

    text = refusal("fsdp2", one)

    for part in ("pp=4", "dualpipev", "zero=1", "precision=fp8", "9, 8, 8, 7"):
        assert part in text


def test_a_refusal_names_who_could_run_the_plan() -> None:
    assert "megatron" in refusal("fsdp2", MIXTRAL)


def test_a_plan_for_another_batch_than_the_training_is_refused() -> None:
    one = case(LLAMA3_8B, 64, 4096, grad_accum=2)

    assert "global batch" in refusal("fsdp2", one.but(grad_accum=4))


def test_ranks_that_leave_a_node_half_empty_are_refused() -> None:
    assert "do not fill" in refusal("fsdp2", case(LLAMA3_8B, 12, 4096, on=pool(2)))


@pytest.mark.parametrize(
    ("name", "one", "part"),
    [
        ("megatron", GPT3_PAPER.but(grad_accum=96, recompute_layers=(3,) * 12), "virtual stages"),
        (
            "megatron",
            LLAMA3_PAPER.but(recompute="full", recompute_layers=(4, *[3] * 15)),
            "more layers on one stage",
        ),
        ("megatron", case(LLAMA3_8B, 8, 4096, on=pool(1, device("TPU v5p", "tpu"))), "CUDA"),
        ("torchtitan", MIXTRAL.but(zero="none"), "none of its models"),
        (
            "torchtitan",
            DEEPSEEK_PAPER.but(zero="fsdp", stage_layers=()),
            "predict further tokens",
        ),
        ("torchtitan", case(LLAMA3_8B, 16, 4096, tp=16, on=pool(2)), "8 key-value heads"),
        ("deepspeed", DEEPSEEK_PAPER.but(stage_layers=()), "latent attention"),
        (
            "deepspeed",
            case(LLAMA3_8B, 64, 4096, dp_replicate=8, zero="3"),
            "sharding inside replicas",
        ),
        ("fsdp2", MIXTRAL.but(pp=1, dp_shard=32, grad_accum=4, ep=1, zero="fsdp"), "experts"),
        (
            "maxtext",
            case(LLAMA3_8B, 64, 4096, pp=4, grad_accum=6),
            "6 micro-batches, not a multiple of pp=4",
        ),
        (
            "maxtext",
            case(LLAMA3_8B, 64, 4096, cp=2, context="ulysses"),
            "Ulysses, which it has on TPUs only",
        ),
    ],
)
def test_what_a_framework_itself_would_not_take_is_refused(name: str, one: Case, part: str) -> None:
    assert part in refusal(name, one)
