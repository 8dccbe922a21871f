"""What we export is read by the libraries themselves, in an environment of their own."""

import pytest
from tests.planner.exports.cases import (
    DEEPSEEK_PAPER,
    DEEPSEEK_V3,
    GPT3_PAPER,
    LLAMA3_8B,
    LLAMA3_PAPER,
    MIXTRAL,
    MIXTRAL_8X7B,
    Case,
    case,
    device,
    pool,
)
from tests.planner.exports.conftest import Parse

from irongrid.planner.exports import export

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("real-parsers")]


def files(name: str, one: Case) -> dict[str, str]:
    made = export(name, one.plan, one.model, one.training, one.pool)
    return made | {
        "world": str(one.plan.world_size),
        "data_parallel": str(one.plan.dp * (one.plan.cp if name == "deepspeed-cp" else 1)),
    }


def test_megatron_core_builds_its_configs_from_the_argument_files(parse: Parse) -> None:
    cases = {
        "gpt3": GPT3_PAPER,
        "llama3": LLAMA3_PAPER,
        "deepseek": DEEPSEEK_PAPER,
        "mixtral": MIXTRAL,
        "long": case(LLAMA3_8B, 64, 131072, tp=2, cp=8, zero="1", context="ulysses"),
        "fsdp": case(LLAMA3_8B, 64, 8192, recompute="selective", dp_replicate=8),
        "mxfp8": case(LLAMA3_8B, 8, 8192, zero="1", tp=2, precision="mxfp8"),
        "nvfp4": case(LLAMA3_8B, 8, 8192, zero="1", tp=2, precision="nvfp4", offload="optimizer"),
        "partial": case(
            LLAMA3_8B, 16, 8192, pp=4, grad_accum=8, zero="1", schedule="interleaved",
            virtual_stages=2, recompute="full", recompute_layers=(4, 4, 4, 4),
        ),
    }  # fmt: skip

    read = parse("read_megatron", {name: files("megatron", one) for name, one in cases.items()})

    for name, one in cases.items():
        config = read[name]["config"]
        assert read[name]["unknown"] == [], name
        assert config["tensor_model_parallel_size"] == one.plan.tp
        assert config["pipeline_model_parallel_size"] == one.plan.pp
        assert config["context_parallel_size"] == one.plan.cp
        assert config["num_layers"] == one.model.layers
        assert read[name]["loop"]["global_batch_size"] == one.plan.global_batch
    assert read["llama3"]["stages"] == [7, *[8] * 14, 7]
    assert read["deepseek"]["stages"] == [*[4] * 13, *[3] * 3]
    deepseek = read["deepseek"]["config"]
    assert (deepseek["moe_router_num_groups"], deepseek["moe_router_group_topk"]) == (8, 4)
    assert (deepseek["expert_model_parallel_size"], deepseek["expert_tensor_parallel_size"]) == (
        64,
        1,
    )
    assert (deepseek["q_lora_rank"], deepseek["kv_lora_rank"]) == (1536, 512)
    assert deepseek["mtp_num_layers"] == 1
    assert read["gpt3"]["config"]["recompute_method"] == "uniform"
    assert read["gpt3"]["loop"]["num_virtual_stages_per_pipeline_rank"] == 2
    assert read["long"]["config"]["cp_comm_type"] == "a2a"
    assert read["fsdp"]["distributed"]["strategy"] == "optim_grads_params"
    assert read["mxfp8"]["config"]["fp8_recipe"] == "mxfp8"
    assert read["nvfp4"]["config"]["fp4"] == "e2m1"
    assert read["nvfp4"]["optimizer"]["offload"] is True
    # 4 of a stage's 8 blocks are recomputed: 2 of each of its two pieces.
    assert read["partial"]["config"]["recompute_num_layers"] == 2


def test_deepspeed_takes_the_config_and_the_launch_line(parse: Parse) -> None:
    cases = {
        "zero3": case(LLAMA3_8B, 64, 4096, grad_accum=4, zero="3", recompute="full"),
        "offload": case(LLAMA3_8B, 8, 4096, zero="3", offload="parameters", offload_tier="nvme"),
        "pipeline": case(LLAMA3_8B, 64, 4096, tp=2, pp=4, zero="1", grad_accum=8),
        "ulysses": case(LLAMA3_8B, 16, 32768, cp=8, zero="2", context="ulysses"),
        "experts": case(MIXTRAL_8X7B, 64, 4096, ep=8, zero="2", precision="fp16"),
    }

    read = parse("read_deepspeed", {name: files("deepspeed", one) for name, one in cases.items()})

    for name, one in cases.items():
        plan = one.plan
        assert read[name]["batch"] == [plan.global_batch, plan.micro_batch, plan.grad_accum]
        assert read[name]["stage"] == int(plan.zero)
        assert read[name]["script"] == "pretrain_gpt.py"
        assert read[name]["nodes"] == plan.world_size // 8
    assert read["offload"]["offload_param"] == "nvme"
    assert read["offload"]["offload_optimizer"] == "nvme"
    assert read["zero3"]["bf16"]
    assert read["experts"]["fp16"]


def test_torchtitan_builds_its_trainers_config(parse: Parse) -> None:
    cases = {
        "llama3": LLAMA3_PAPER.but(zero="fsdp", recompute="full", grad_accum=16),
        "hsdp": case(LLAMA3_8B, 64, 8192, dp_replicate=8, recompute="selective"),
        "long": case(LLAMA3_8B, 64, 131072, tp=2, cp=8),
        "zerobubble": case(
            LLAMA3_8B, 16, 8192, pp=4, grad_accum=8, schedule="zbv", virtual_stages=2
        ),
        "ours": case(MIXTRAL_8X7B, 8, 4096),
        "deepseek": case(DEEPSEEK_V3, 256, 4096, ep=64, tp=2),
    }
    # A Llama of no published size: torchtitan's own blocks, our numbers.
    cases["ours"] = case(
        LLAMA3_PAPER.model.__class__(
            layers=10, hidden=1024, heads=16, kv_heads=4, ffn=2816, vocab=32000, tied=False
        ),
        8,
        2048,
        tp=2,
        zero="none",
    )

    read = parse("read_torchtitan", {name: files("torchtitan", one) for name, one in cases.items()})

    for name, one in cases.items():
        plan, got = one.plan, read[name]
        sharded = (plan.dp_replicate, plan.dp_shard) if plan.zero == "fsdp" else (plan.dp, 1)
        assert got["dims"] == [*sharded, plan.cp, plan.tp, plan.pp, plan.ep]
        assert got["layers"] == one.model.layers
        assert got["global_batch"] == plan.global_batch
    assert read["llama3"]["flavour"] == "405B"
    assert read["llama3"]["recompute"] == "FullAC.Config"
    assert [len(stage) for stage in read["llama3"]["stages"]] == [8, *[8] * 14, 9]
    assert read["llama3"]["local_batch"] == 16
    assert read["zerobubble"]["schedule"] == "ZBVZeroBubble"
    assert read["zerobubble"]["compile"] == ["loss"]
    assert len(read["zerobubble"]["stages"]) == 8
    assert read["ours"]["flavour"] == "irongrid"
    assert read["deepseek"]["loss"] == "MTPLoss.Config"


def test_maxtext_takes_the_config_and_lays_the_mesh(parse: Parse) -> None:
    cases = {
        "one_node": case(
            LLAMA3_8B, 16, 4096, tp=4, grad_accum=2, on=pool(1, per_node=16)
        ),
        "llama3": LLAMA3_PAPER.but(
            zero="fsdp", pp=1, stage_layers=(), dp_shard=2048, grad_accum=1, recompute="full"
        ),
        "gpt3": GPT3_PAPER.but(zero="none"),
        "mixtral": MIXTRAL.but(zero="fsdp", pp=1, dp_shard=32, grad_accum=4),
        "deepseek": case(DEEPSEEK_V3, 256, 4096, ep=64, zero="fsdp"),
        "tpu": case(
            LLAMA3_8B, 256, 32768, cp=4, context="ulysses", rank_map="torus",
            on=pool(1, device("TPU v5p", "tpu"), per_node=256), grad_accum=2,
        ),
    }  # fmt: skip

    read = parse("read_maxtext", {name: files("maxtext", one) for name, one in cases.items()})

    for name, one in cases.items():
        assert read[name]["global_batch"] == one.plan.global_batch, name
        assert read[name]["layers"] == one.model.layers
    assert read["one_node"]["mesh"] == {"fsdp": 4, "tensor_sequence": 4}
    assert read["llama3"]["ici"]["tensor_sequence"] == 8
    assert read["llama3"]["dcn"]["fsdp"] == 2048
    assert read["gpt3"]["block"] == "gpt3"
    assert read["gpt3"]["repeats"] == 2
    assert read["mixtral"]["experts"] == [8, 2, 0]
    assert read["deepseek"]["experts"] == [256, 8, 1]
    assert read["deepseek"]["groups"] == [8, 4]
    assert read["tpu"]["context"] == "ulysses"
