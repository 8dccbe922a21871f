"""Domain values into the columns that the formulas read."""

from collections.abc import Sequence

import numpy as np

from irongrid.cost.coefficients import BEHAVIOURS
from irongrid.cost.columns import Layout, Machine, Work
from irongrid.domain.fleet import GENERATIONS, Level, Pool
from irongrid.domain.model import ModelShape
from irongrid.domain.plan import (
    COMPRESSIONS,
    CONTEXT_KINDS,
    OFFLOAD_TIERS,
    OFFLOADS,
    PRECISIONS,
    RECOMPUTE,
    SCHEDULES,
    ZERO,
    ParallelPlan,
)
from irongrid.domain.training import OPTIMIZERS, Training
from irongrid.errors import Refused

HOSTS = ("x86", "grace", "other")


def behaviour_of(runtime: str) -> str:
    """The behaviour that a runtime's name means; an unknown one behaves like the average."""
    return runtime if runtime in BEHAVIOURS else "generic"


def work_of(model: ModelShape, training: Training) -> Work:
    """What is trained, as numbers."""
    experts, latent = model.experts, model.latent
    return Work(
        layers=model.layers,
        hidden=model.hidden,
        heads=model.heads,
        kv_heads=model.kv_heads,
        head_dim=model.head,
        ffn=model.ffn,
        vocab=model.vocab,
        gated=int(model.gated),
        tied=int(model.tied),
        causal=int(model.causal),
        window=model.window,
        windowed_layers=model.windowed_layers,
        positions=model.positions,
        conditioning=model.conditioning,
        prediction_layers=model.prediction_layers,
        experts=experts.count if experts else 0,
        top_k=experts.top_k if experts else 0,
        expert_layers=model.expert_layers,
        expert_ffn=experts.ffn if experts else 0,
        shared_ffn=experts.shared_ffn if experts else 0,
        expert_groups=experts.groups if experts else 1,
        groups_per_token=experts.groups_per_token if experts else 1,
        latent_query=latent.query_rank if latent else 0,
        latent_kv=latent.kv_rank if latent else 0,
        latent_rotary=latent.rotary_dim if latent else 0,
        latent_value=latent.value_dim if latent else 0,
        seq_len=training.seq_len,
        global_batch=training.global_batch,
        precision=PRECISIONS.index(training.precision),
        optimizer=OPTIMIZERS.index(training.optimizer),
        lora_rank=training.lora_rank,
        frozen_share=training.frozen_share,
        runtime=BEHAVIOURS.index(behaviour_of(training.runtime)),
    )


def machine_of(pool: Pool, training: Training) -> Machine:
    """The hardware of one pool, as numbers.

    Raises:
        Refused: the device does not support the precision, or a rate is zero.
    """
    device = pool.accelerator
    peak = device.flops_per_s.get(training.precision)
    if peak is None:
        raise Refused(
            "unsupported_precision",
            f"{device.name} has no rate for {training.precision}",
            f"use one of {', '.join(device.flops_per_s)}",
        )
    half = max(device.flops_per_s.get(p, 0.0) for p in ("bf16", "fp16")) or peak
    islands = [level for level in pool.levels if level.name == "island"]
    node = max(pool.devices_per_node, 1)
    island = max(islands[0].devices, 1) if islands else 1
    inside = [level for level in pool.levels if level.name == "node"]
    near = device.link_bytes_per_s or (islands or inside or pool.levels)[0].bytes_per_s
    outer = [level for level in pool.levels if level.name not in ("island", "node")]
    far, block, spine = _network(outer, near)
    for name, rate in (("memory", device.memory_bytes_per_s), ("link", near), ("network", spine)):
        if not rate > 0:
            raise Refused(
                "zero_bandwidth",
                f"{pool.name}: the {name} rate is {rate}",
                "give a rate above zero",
            )
    return Machine(
        peak_flops_per_s=peak,
        half_flops_per_s=half,
        hbm_bytes_per_s=device.memory_bytes_per_s,
        memory_bytes=device.memory_bytes,
        generation=GENERATIONS.index(device.generation),
        host=HOSTS.index(device.host),
        island_devices=island if islands else node,
        island_bytes_per_s=near,
        island_latency_s=(islands or inside or pool.levels)[0].latency_s,
        node_devices=node,
        net_bytes_per_s=far,
        block_devices=block,
        spine_bytes_per_s=spine,
        net_latency_s=max((level.latency_s for level in outer), default=0.0),
        host_bytes_per_s=device.host_bytes_per_s,
        host_memory_bytes=pool.host_memory_bytes / node,
        nvme_bytes_per_s=pool.nvme_bytes_per_s / node,
        cxl_bytes_per_s=pool.cxl_bytes_per_s / node,
        peak_watts=device.peak_watts,
        idle_watts=device.idle_watts,
        power_exponent=device.power_exponent,
    )


def _network(levels: Sequence[Level], near: float) -> tuple[float, float, float]:
    """Byte/s of a device in its block, the block's devices, and byte/s beyond it.

    A block ends where a level carries less than those below it.
    """
    rates = [level.bytes_per_s / level.oversubscription for level in levels]
    if not rates or min(rates) >= rates[0]:
        rate = rates[0] if rates else near
        return rate, float("inf"), rate
    wide = next(i for i, rate in enumerate(rates) if rate < rates[0])
    return rates[0], float(levels[wide - 1].devices), min(rates)


def layout_of(plans: Sequence[ParallelPlan]) -> Layout:
    """The plans, one column entry each."""

    def column(values: list[float]) -> np.ndarray:
        return np.array(values, dtype=float)

    def codes(words: tuple[str, ...], values: list[str]) -> np.ndarray:
        return np.array([words.index(value) for value in values], dtype=np.int64)

    return Layout(
        tp=column([p.tp for p in plans]),
        pp=column([p.pp for p in plans]),
        dp_replicate=column([p.dp_replicate for p in plans]),
        dp_shard=column([p.dp_shard for p in plans]),
        cp=column([p.cp for p in plans]),
        ep=column([p.ep for p in plans]),
        micro_batch=column([p.micro_batch for p in plans]),
        grad_accum=column([p.grad_accum for p in plans]),
        virtual_stages=column([p.virtual_stages for p in plans]),
        schedule=codes(SCHEDULES, [p.schedule for p in plans]),
        zero=codes(ZERO, [p.zero for p in plans]),
        recompute=codes(RECOMPUTE, [p.recompute for p in plans]),
        recompute_share=column([_recompute_share(p) for p in plans]),
        offload=codes(OFFLOADS, [p.offload for p in plans]),
        offload_tier=codes(OFFLOAD_TIERS, [p.offload_tier for p in plans]),
        sequence_parallel=column([float(p.sequence_parallel and p.tp > 1) for p in plans]),
        context=codes(CONTEXT_KINDS, [p.context for p in plans]),
        compression=codes(COMPRESSIONS, [p.compression for p in plans]),
        short_ends=column([float(_has_short_ends(p.stage_layers)) for p in plans]),
        most_blocks=column([max(p.stage_layers, default=0) for p in plans]),
        last_blocks=column([p.stage_layers[-1] if p.stage_layers else 0 for p in plans]),
    )


def _recompute_share(plan: ParallelPlan) -> float:
    """Share of the blocks to which recomputation applies."""
    blocks = sum(plan.stage_layers)
    return sum(plan.recompute_layers) / blocks if plan.recompute_layers and blocks else 1.0


def _has_short_ends(layers: Sequence[int]) -> bool:
    """Whether first and last stage have fewer blocks than those between."""
    return len(layers) > 1 and max(layers[0], layers[-1]) < max(layers)
