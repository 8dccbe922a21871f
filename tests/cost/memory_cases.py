"""Columns for tests of memory: one model, one plan, and any field changed by keyword."""

import json
from pathlib import Path
from typing import Any

from irongrid.cost.columns import Layout, Machine, PeakMemory, Work
from irongrid.cost.memory import peak_memory
from irongrid.cost.memory_coefficients import MemoryCoefficients
from irongrid.domain.fleet import GENERATIONS
from irongrid.domain.model import ModelShape
from irongrid.domain.plan import OFFLOADS, PRECISIONS, RECOMPUTE, SCHEDULES, ZERO

SOFTWARE = ("megatron", "megatron-2021", "torchtitan", "deepspeed")
COEFFICIENTS = MemoryCoefficients.from_json(
    json.loads(
        (Path(__file__).parents[2] / "src/irongrid/catalog/memory.json").read_text(encoding="utf-8")
    ),
    SOFTWARE,
)
GIB = 2.0**30

GPT_175B = ModelShape(
    layers=96, hidden=12288, heads=96, kv_heads=96, ffn=49152, vocab=51200, gated=False,
    positions=2048,
)  # fmt: skip
LLAMA_8B = ModelShape(
    layers=32, hidden=4096, heads=32, kv_heads=8, ffn=14336, vocab=128256, tied=False
)


def work(shape: ModelShape, **changes: Any) -> Work:
    """A model's columns; pre-training in bf16 with Adam under Megatron unless told otherwise."""
    experts, latent = shape.experts, shape.latent
    figures: dict[str, Any] = {
        name: getattr(shape, name)
        for name in (
            "layers", "hidden", "heads", "kv_heads", "ffn", "vocab", "gated", "tied", "causal",
            "window", "windowed_layers", "positions", "conditioning", "prediction_layers",
            "expert_layers",
        )
    }  # fmt: skip
    figures |= {
        "head_dim": shape.head,
        "experts": experts.count if experts else 0,
        "top_k": experts.top_k if experts else 0,
        "expert_ffn": experts.ffn if experts else 0,
        "shared_ffn": experts.shared_ffn if experts else 0,
        "expert_groups": experts.groups if experts else 1,
        "groups_per_token": experts.groups_per_token if experts else 1,
        "latent_query": latent.query_rank if latent else 0,
        "latent_kv": latent.kv_rank if latent else 0,
        "latent_rotary": latent.rotary_dim if latent else 0,
        "latent_value": latent.value_dim if latent else 0,
        "seq_len": 2048,
        "global_batch": 1536,
        "precision": PRECISIONS.index("bf16"),
        "optimizer": 1,
        "lora_rank": 0,
        "frozen_share": 0.0,
        "runtime": 0,
    }
    return Work(**(figures | changes))


def layout(**changes: Any) -> Layout:
    """A plan's columns: one device, nothing sharded; words may be given as words."""
    figures: dict[str, Any] = {
        "tp": 1, "pp": 1, "dp_replicate": 1, "dp_shard": 1, "cp": 1, "ep": 1, "micro_batch": 1,
        "grad_accum": 64, "virtual_stages": 1, "schedule": "1f1b", "zero": "none",
        "recompute": "none", "recompute_share": 1.0, "offload": "none", "offload_tier": 0,
        "sequence_parallel": 1, "context": 0, "compression": 0, "short_ends": 0,
    }  # fmt: skip
    figures |= changes
    words = {"schedule": SCHEDULES, "zero": ZERO, "recompute": RECOMPUTE, "offload": OFFLOADS}
    for name, vocabulary in words.items():
        if isinstance(figures[name], str):
            figures[name] = vocabulary.index(figures[name])
    return Layout(**figures)


def machine(**changes: Any) -> Machine:
    """An A100 of 80 GB in a node of 8."""
    figures: dict[str, Any] = {
        "peak_flops_per_s": 312e12, "half_flops_per_s": 312e12, "hbm_bytes_per_s": 2.0e12,
        "memory_bytes": 80 * GIB, "generation": GENERATIONS.index("ampere"), "host": 0,
        "island_devices": 8, "island_bytes_per_s": 300e9, "island_latency_s": 3e-6,
        "node_devices": 8, "net_bytes_per_s": 25e9, "net_latency_s": 1e-5,
        "block_devices": float("inf"), "spine_bytes_per_s": 25e9,
        "host_bytes_per_s": 25e9, "host_memory_bytes": 128e9, "nvme_bytes_per_s": 0.0,
        "cxl_bytes_per_s": 0.0, "peak_watts": 400.0, "idle_watts": 60.0, "power_exponent": 1.0,
    }  # fmt: skip
    return Machine(**(figures | changes))


def peak(shape: ModelShape, plan: Layout, **training: Any) -> PeakMemory:
    """Peak memory of a model under a plan on that A100."""
    return peak_memory(work(shape, **training), machine(), plan, COEFFICIENTS)
