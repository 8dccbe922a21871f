import json
import re

from tests.planner.exports.cases import (
    LLAMA3_8B,
    LLAMA3_PAPER,
    MIXTRAL,
    Case,
    case,
    device,
    pool,
)

from irongrid.domain.fleet import Level
from irongrid.planner.exports import export
from irongrid.planner.exports.compile import cache_key
from irongrid.planner.exports.nccl import advice, all_reduce_s


def advised(one: Case) -> dict[str, str | None]:
    return {found.variable: found.value for found in advice(one.plan, one.pool)}


def test_a_ring_pays_for_nodes_and_a_tree_for_bytes() -> None:
    # 1 MB over 128 nodes of a 50 GB/s network: 254 hops of 9.6 us against 2 x 7 hops of 50 us.
    ring_s, tree_s = all_reduce_s(128, 128, 10**6, 50e9)
    assert ring_s > 254 * 9.6e-6 > tree_s > 14 * 50e-6
    # 1 GB over 2 nodes: bytes decide.
    ring_s, tree_s = all_reduce_s(2, 2, 10**9, 50e9)
    assert ring_s < tree_s


def test_every_advice_has_a_reason() -> None:
    assert all(len(found.reason) > 40 for found in advice(LLAMA3_PAPER.plan, LLAMA3_PAPER.pool))


def test_rails_matter_only_between_nodes() -> None:
    assert advised(LLAMA3_PAPER)["NCCL_CROSS_NIC"] == "0"
    assert "NCCL_CROSS_NIC" not in advised(case(LLAMA3_8B, 8, 4096))


def test_one_gpu_and_tpus_get_no_nccl_advice() -> None:
    assert advised(case(LLAMA3_8B, 1, 4096)) == {}
    assert advised(case(LLAMA3_8B, 8, 4096, on=pool(1, device("TPU v5p", "tpu")))) == {}


def test_grace_hosts_get_more_channels_for_what_goes_between_nodes() -> None:
    grace = pool(8, device("GH200", "hopper", "grace"))
    assert advised(case(LLAMA3_8B, 64, 4096, pp=8, on=grace))["NCCL_NCHANNELS_PER_NET_PEER"] == "4"
    assert "NCCL_NCHANNELS_PER_NET_PEER" not in advised(MIXTRAL)


def test_ethernet_in_tiers_gets_more_queue_pairs() -> None:
    from dataclasses import replace

    flat = pool(64)
    tiers = (
        flat.levels[0],
        Level(name="rack", devices=64, bytes_per_s=50e9, latency_s=5e-6, link="ethernet"),
        Level(name="site", devices=512, bytes_per_s=50e9, latency_s=9e-6, link="ethernet"),
    )
    one = case(LLAMA3_8B, 512, 4096, on=replace(flat, levels=tiers))

    assert advised(one)["NCCL_IB_QPS_PER_CONNECTION"] == "4"
    assert "NCCL_IB_QPS_PER_CONNECTION" not in advised(case(LLAMA3_8B, 512, 4096))


def test_a_shell_can_read_the_environment_file() -> None:
    made = export("fsdp2", *_parts(case(LLAMA3_8B, 64, 4096)))

    for line in made["nccl.env"].splitlines():
        assert re.fullmatch(r"#.*|[A-Z_]+=\w+", line), line


def _parts(one: Case):  # type: ignore[no-untyped-def]
    return one.plan, one.model, one.training, one.pool


def test_the_cache_key_follows_hardware_and_shapes_and_nothing_else() -> None:
    one = case(LLAMA3_8B, 64, 4096, tp=2)
    key = cache_key(*_parts(one))

    assert cache_key(*_parts(one.but(grad_accum=8))) == key
    assert cache_key(*_parts(one.but(micro_batch=2))) != key
    assert cache_key(*_parts(one.but(precision="fp8"))) != key
    other = case(LLAMA3_8B, 64, 4096, tp=2, on=pool(8, device("B200", "blackwell")))
    assert cache_key(*_parts(other)) != key
    assert key.startswith("hopper-bf16-")


def test_compile_advice_says_what_and_why_and_where_to_keep_it() -> None:
    plan = case(LLAMA3_8B, 16, 4096, pp=4, grad_accum=8, schedule="zbv", virtual_stages=2)
    advised = json.loads(export("torchtitan", *_parts(plan))["compile.json"])

    assert advised["compile"] == "the loss"
    assert "backward apart" in advised["reasons"][0]
    assert advised["cache_key"] in advised["environment"]["TORCHINDUCTOR_CACHE_DIR"]
