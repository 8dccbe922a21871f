from dataclasses import replace

import pytest

from irongrid.domain.plan import ParallelPlan, Replicas
from irongrid.domain.runtime import RUNTIMES, can_run, runnable_by

PLAIN = ParallelPlan(
    world_size=8, dp_replicate=1, dp_shard=8, micro_batch=1, grad_accum=1, precision="bf16"
)


def test_plain_sharding_runs_wherever_fsdp_does() -> None:
    assert runnable_by(PLAIN) == ("irongrid", "megatron", "torchtitan", "fsdp2", "maxtext")


def test_a_pipeline_beside_sharded_parameters_is_not_for_megatron() -> None:
    plan = replace(PLAIN, world_size=16, pp=2)

    assert not can_run(RUNTIMES["megatron"], plan)
    assert can_run(RUNTIMES["torchtitan"], plan)


def test_a_schedule_counts_only_where_there_is_a_pipeline() -> None:
    alone = replace(PLAIN, schedule="zb-2p")

    assert can_run(RUNTIMES["irongrid"], alone)
    assert not can_run(RUNTIMES["torchtitan"], replace(alone, world_size=16, pp=2))


@pytest.mark.parametrize("change", [
    {"tp": 2}, {"cp": 2}, {"ep": 2}, {"recompute": "full"}, {"offload": "optimizer"},
    {"precision": "fp8"}, {"compression": "int8"}, {"zero": "1"}, {"sync_every": 50},
    {"stage_pools": ("a", "b")},
])  # fmt: skip
def test_what_the_recipe_cannot_do_yet_is_not_searched_for_it(change: dict[str, object]) -> None:
    plan = replace(PLAIN, **change)  # type: ignore[arg-type]

    assert not can_run(RUNTIMES["irongrid"], plan)
    assert can_run(RUNTIMES["any"], plan)


def test_replicas_with_equal_shares_run_anywhere_and_unequal_ones_nowhere_yet() -> None:
    half = Replicas(pool="new", count=4, micro_batch=1, grad_accum=1)
    equal = replace(PLAIN, replicas=(half, replace(half, pool="old")))
    unequal = replace(PLAIN, replicas=(half, replace(half, pool="old", grad_accum=2)))

    assert runnable_by(equal) == runnable_by(PLAIN)
    assert runnable_by(unequal) == ()
    assert can_run(RUNTIMES["any"], unequal)
