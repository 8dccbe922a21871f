"""What each training runtime can run: the planner searches no further than that."""

from dataclasses import dataclass

from irongrid.domain.plan import COMPRESSIONS, OFFLOADS, RECOMPUTE, SCHEDULES, ZERO, ParallelPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class Ability:
    """The plans that one runtime runs.

    Attributes:
        axes: of pp, tp, cp, ep: those that may be more than 1.
        mixed_devices: stages, or shares of the batch, by the speed of their devices. The runtimes
            here take one micro-batch and one number of passes for all ranks.
        composed: whether `zero` 2, 3 and fsdp go with pp and tp as well.
    """

    axes: frozenset[str]
    schedules: frozenset[str]
    zero: frozenset[str]
    recompute: frozenset[str]
    offload: frozenset[str]
    precisions: frozenset[str]
    contexts: frozenset[str] = frozenset({"ring"})
    compressions: frozenset[str] = frozenset({"none"})
    hybrid_sharding: bool = True
    uneven_stages: bool = False
    partial_recompute: bool = False
    low_communication: bool = False
    mixed_devices: bool = False
    composed: bool = True


_ALL_AXES = frozenset({"pp", "tp", "cp", "ep"})
_NVIDIA = frozenset({"fp32", "tf32", "fp16", "bf16", "fp8", "mxfp8", "nvfp4"})

# Read off the projects' own documentation, 2026-11: Megatron-LM core_r0.14 arguments.py,
# torchtitan docs, DeepSpeed config reference, torch 2.13 FSDP2, MaxText base.yml.
RUNTIMES: dict[str, Ability] = {
    "irongrid": Ability(
        axes=frozenset(),
        schedules=frozenset({"1f1b"}),
        zero=frozenset({"fsdp"}),
        recompute=frozenset({"none"}),
        offload=frozenset({"none"}),
        precisions=frozenset({"fp32", "bf16"}),
    ),
    "megatron": Ability(
        axes=_ALL_AXES,
        schedules=frozenset({"1f1b", "interleaved"}),
        zero=frozenset({"none", "1", "fsdp"}),
        recompute=frozenset(RECOMPUTE),
        offload=frozenset({"none", "optimizer"}),
        precisions=_NVIDIA,
        contexts=frozenset({"ring", "ulysses"}),
        uneven_stages=True,
        partial_recompute=True,
        composed=False,
    ),
    "torchtitan": Ability(
        axes=_ALL_AXES,
        schedules=frozenset({"1f1b", "interleaved", "zb-1p", "zbv", "dualpipev"}),
        zero=frozenset({"none", "fsdp"}),
        recompute=frozenset(RECOMPUTE),
        offload=frozenset({"none"}),
        precisions=frozenset({"fp32", "bf16", "fp8", "mxfp8"}),
        uneven_stages=True,
    ),
    "deepspeed": Ability(
        axes=frozenset({"pp", "tp", "ep", "cp"}),
        schedules=frozenset({"1f1b"}),
        zero=frozenset({"none", "1", "2", "3"}),
        recompute=frozenset({"none", "full"}),
        offload=frozenset({"none", "optimizer", "parameters"}),
        precisions=frozenset({"fp32", "fp16", "bf16"}),
        contexts=frozenset({"ulysses"}),
        compressions=frozenset({"none"}),
        composed=False,
        hybrid_sharding=False,
    ),
    "fsdp2": Ability(
        axes=frozenset({"tp"}),
        schedules=frozenset({"1f1b"}),
        zero=frozenset({"none", "fsdp"}),
        recompute=frozenset({"none", "full"}),
        offload=frozenset({"none", "parameters"}),
        precisions=frozenset({"fp32", "tf32", "bf16"}),
    ),
    "maxtext": Ability(
        axes=_ALL_AXES,
        schedules=frozenset({"1f1b", "interleaved"}),
        zero=frozenset({"none", "fsdp"}),
        recompute=frozenset(RECOMPUTE),
        offload=frozenset({"none", "activations", "optimizer"}),
        precisions=frozenset({"fp32", "bf16", "fp8"}),
        contexts=frozenset({"ring", "ulysses"}),
    ),
    # Every plan that can be written down, whether or not any software runs it yet.
    "any": Ability(
        axes=_ALL_AXES,
        schedules=frozenset(SCHEDULES),
        zero=frozenset(ZERO),
        recompute=frozenset(RECOMPUTE),
        offload=frozenset(OFFLOADS),
        precisions=_NVIDIA,
        contexts=frozenset({"ring", "ulysses"}),
        compressions=frozenset(COMPRESSIONS),
        uneven_stages=True,
        partial_recompute=True,
        low_communication=True,
        mixed_devices=True,
    ),
}


def has_unequal_replicas(plan: ParallelPlan) -> bool:
    """Whether data-parallel ranks differ in micro-batch or number of passes."""
    return len({(part.micro_batch, part.grad_accum) for part in plan.replicas}) > 1


def can_run(ability: Ability, plan: ParallelPlan) -> bool:
    """Whether a runtime of this ability runs the plan."""
    degrees = {"pp": plan.pp, "tp": plan.tp, "cp": plan.cp, "ep": plan.ep}
    sharded = plan.zero in ("2", "3", "fsdp") and plan.dp_shard > 1
    return (
        all(degree == 1 or axis in ability.axes for axis, degree in degrees.items())
        and (plan.pp == 1 or plan.schedule in ability.schedules)
        and plan.zero in ability.zero
        and plan.recompute in ability.recompute
        and plan.offload in ability.offload
        and plan.precision in ability.precisions
        and (plan.cp == 1 or plan.context in ability.contexts)
        and plan.compression in ability.compressions
        and (plan.dp_replicate == 1 or plan.dp_shard == 1 or ability.hybrid_sharding)
        and (len(set(plan.stage_layers)) <= 1 or ability.uneven_stages)
        and (not plan.recompute_layers or ability.partial_recompute)
        and (plan.sites * plan.sync_every == 1 or ability.low_communication)
        and (len(set(plan.stage_pools)) <= 1 or ability.mixed_devices)
        and (not has_unequal_replicas(plan) or ability.mixed_devices)
        and (ability.composed or not sharded or (plan.pp == 1))
    )


def runnable_by(plan: ParallelPlan) -> tuple[str, ...]:
    """The runtimes that run the plan, in the order of the table."""
    return tuple(
        name for name, ability in RUNTIMES.items() if name != "any" and can_run(ability, plan)
    )
