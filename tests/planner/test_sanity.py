"""Canonical sanity: what anyone who has trained large models expects of a planner."""

from dataclasses import replace

import numpy as np
import pytest
from tests.planner.world import A100, GPT3, H100, MIXTURE, SMALL, coefficients, pool, question

from irongrid.cost.inputs import layout_of, machine_of, work_of
from irongrid.cost.step import step_time
from irongrid.domain.plan import ParallelPlan
from irongrid.domain.training import Training
from irongrid.errors import Refused, SpecError
from irongrid.planner.curve import scaling_curve
from irongrid.planner.matrix import communication_matrix
from irongrid.planner.pareto import pareto_front
from irongrid.planner.rank_map import rank_map, rings
from irongrid.planner.search import search

COEFFICIENTS = coefficients()
GPT3_RUN = Training(global_batch=1536, seq_len=2048, runtime="megatron")
SMALL_RUN = Training(global_batch=64, seq_len=2048, runtime="megatron")


def plan(**degrees: int) -> ParallelPlan:
    shape = {"tp": 1, "pp": 1, "dp_shard": 1} | degrees
    return ParallelPlan(
        world_size=shape["tp"] * shape["pp"] * shape["dp_shard"],
        dp_replicate=1,
        micro_batch=1,
        grad_accum=GPT3_RUN.global_batch // shape["dp_shard"],
        precision="bf16",
        stage_layers=(GPT3.layers // shape["pp"],) * shape["pp"],
        tp=shape["tp"],
        pp=shape["pp"],
        dp_shard=shape["dp_shard"],
        zero="fsdp" if shape["pp"] == 1 else "1",
    )


def test_tensor_parallelism_stays_on_the_nvlink_island() -> None:
    answer = search(question(GPT3, GPT3_RUN, pool(1024)), COEFFICIENTS, explain=False)

    assert all(1 < found.plan.tp <= 8 for found in answer.plans)


def test_175b_on_80_gb_is_split_over_model_parallel_ranks_and_does_not_fit_eight_devices() -> None:
    wide = search(question(GPT3, GPT3_RUN, pool(1024)), COEFFICIENTS, explain=False)
    narrow = search(question(GPT3, GPT3_RUN, pool(1024), devices=8), COEFFICIENTS)

    # The papers used 64 model-parallel ranks; 16 bytes of state per weight fill 35 devices alone.
    assert wide.best.plan.tp * wide.best.plan.pp >= 16
    assert not narrow.plans
    assert narrow.misfit is not None
    assert narrow.misfit.code == "memory"
    assert narrow.misfit.missing_bytes > 0
    assert narrow.misfit.fixes


def test_twice_the_network_helps_fully_sharded_data_parallelism_more_than_a_pipeline() -> None:
    def gain(one: ParallelPlan) -> float:
        slow, fast = (
            float(
                step_time(
                    work_of(GPT3, GPT3_RUN),
                    machine_of(pool(512, net=net), GPT3_RUN),
                    layout_of([one]),
                    COEFFICIENTS,
                ).p50_s[0]
            )
            for net in (5e9, 10e9)
        )
        return slow / fast

    assert gain(plan(dp_shard=512)) > gain(plan(tp=8, pp=8, dp_shard=8))


def test_a_batch_that_is_too_small_leaves_more_devices_without_data_parallelism() -> None:
    training = Training(global_batch=4, seq_len=2048, runtime="megatron")
    answer = search(question(SMALL, training, pool(64)), COEFFICIENTS, explain=False)

    assert all(found.plan.dp <= 4 for found in answer.plans)


def test_a_mixture_of_experts_gets_expert_parallelism() -> None:
    training = Training(global_batch=1024, seq_len=4096, runtime="megatron")
    answer = search(question(MIXTURE, training, pool(64, H100)), COEFFICIENTS, explain=False)

    assert answer.best.plan.ep > 1


def test_adapters_need_a_fraction_of_the_memory() -> None:
    pins = {"tp": 8, "pp": 1, "recompute": "full", "micro_batch": 1, "cp": 1}
    full, adapters = (
        search(
            question(SMALL, replace(SMALL_RUN, lora_rank=rank), pool(8), devices=8, pins=pins),
            COEFFICIENTS,
            explain=False,
        ).best
        for rank in (0, 16)
    )
    states = ("gradients", "optimizer")

    assert sum(adapters.memory_parts_bytes[name] for name in states) < 0.1 * sum(
        full.memory_parts_bytes[name] for name in states
    )


def test_a_torus_and_a_tree_get_different_maps() -> None:
    one = plan(tp=4, pp=4, dp_shard=4)
    tree, torus = rank_map(one, pool(64)), rank_map(one, pool(64, torus=(4, 4, 4)))

    assert (tree.order, torus.order) == ("node-major", "torus")
    assert not np.array_equal(tree.device_of, torus.device_of)
    for found in (tree, torus):
        assert sorted(found.device_of.tolist()) == list(range(64))


def test_tensor_ranks_are_neighbours_on_the_torus() -> None:
    one = plan(tp=4, pp=4, dp_shard=4)
    found = rank_map(one, pool(64, torus=(4, 4, 4)))
    groups = found.coordinates[rings(one, "tp")]
    apart = np.abs(groups[:, 1:] - groups[:, :-1]).sum(axis=-1)

    assert (apart == 1).all()


def test_parts_add_up_and_figures_fit_each_other() -> None:
    found = search(question(SMALL, SMALL_RUN, pool(16)), COEFFICIENTS).best

    assert sum(found.parts_s.values()) == pytest.approx(found.step_time_s)
    assert found.tokens_per_s * found.step_time_s == pytest.approx(64 * 2048)
    assert 0 < found.mfu <= found.hfu < 1
    assert found.step_time_s < found.step_time_s_p90
    assert found.peak_memory_bytes < found.peak_memory_bytes_p95 <= A100.memory_bytes
    # 2 dollars an hour for each of 16 devices.
    assert found.usd_per_step == pytest.approx(16 * 2 / 3600 * found.step_time_s)
    assert found.co2_g_per_step == pytest.approx(400 * found.energy_j_per_step / 3.6e6)
    assert len(found.why) >= 3


def test_a_chosen_plan_costs_the_same_when_it_is_read_back() -> None:
    asked = question(GPT3, GPT3_RUN, pool(1024))
    found = search(asked, COEFFICIENTS, explain=False).best
    again = step_time(
        work_of(GPT3, GPT3_RUN),
        machine_of(asked.fleet.pools[0], GPT3_RUN),
        layout_of([found.plan]),
        COEFFICIENTS,
    )

    assert float(again.p50_s[0]) == pytest.approx(found.step_time_s, rel=0.005)


def test_the_curve_has_at_most_64_points_and_rises_to_powers_of_two() -> None:
    curve = scaling_curve(question(SMALL, SMALL_RUN, pool(64), pool(64, H100, name="new")),
                          COEFFICIENTS)  # fmt: skip
    speed = {(p.device_type, p.devices): p.work_per_s_p50 for p in curve.points}

    assert len(curve.points) <= 64
    for device in (A100.name, H100.name):
        assert speed[device, 8] < speed[device, 16] < speed[device, 32]
    assert speed[A100.name, 16] < speed[H100.name, 16]


def test_no_plan_of_the_front_is_beaten_by_another() -> None:
    front = pareto_front(question(SMALL, SMALL_RUN, pool(32)), COEFFICIENTS)
    figures = np.array([(p.step_time_s, p.usd_per_step, p.energy_j_per_step) for p in front])

    assert len(front) > 1
    for row in figures:
        assert not ((figures <= row).all(axis=1) & (figures < row).any(axis=1)).any()


def test_the_front_knows_plans_over_several_pools() -> None:
    training = Training(global_batch=1024, seq_len=2048, runtime="any")
    pools = (pool(8, H100, name="new"), pool(16, name="old"))

    fastest = pareto_front(question(SMALL, training, *pools), COEFFICIENTS)[0]

    assert set(fastest.pool.split("+")) == {"new", "old"}
    assert fastest.plan.replicas


def test_the_matrix_counts_a_tensor_parallel_ring_by_hand() -> None:
    one = plan(tp=8, pp=8, dp_shard=8)
    flows = communication_matrix(one, GPT3, GPT3_RUN, pool(512)).flows
    gathered = next(f for f in flows if f.axis == "tp" and f.collective == "all-gather")

    # 12 blocks, 192 micro-batches, 4 gathers each of 2048 x 12288 values of 2 bytes, 7/8 sent.
    assert gathered.bytes_per_rank == 12 * 192 * 4 * 2048 * 12288 * 2 * 7 // 8
    assert gathered.level == "island"


def test_ranks_receive_what_ranks_send() -> None:
    senders, receivers, amounts = communication_matrix(
        plan(tp=4, pp=4, dp_shard=4), GPT3, GPT3_RUN, pool(64)
    ).pairs()

    assert (senders != receivers).all()
    assert set(senders.tolist()) == set(range(64)) == set(receivers.tolist())
    assert (amounts > 0).all()


def test_a_degree_that_no_head_count_divides_names_the_ones_that_do() -> None:
    with pytest.raises(SpecError, match="Use one of 1, 2, 4, 8, 16"):
        search(question(SMALL, SMALL_RUN, pool(64), pins={"tp": 3}), COEFFICIENTS)


def test_counts_that_do_not_divide_name_the_nearest_that_does() -> None:
    answer = search(question(SMALL, SMALL_RUN, pool(64), devices=7), COEFFICIENTS)

    assert answer.misfit is not None
    assert answer.misfit.code == "divisibility"
    # Six stages of four blocks; a batch of 70 would put 10 samples on each of 7.
    assert answer.misfit.fixes == ("use 6 devices", "use a global batch of 70")


def test_the_cheapest_plan_of_a_pool_without_a_price_is_refused() -> None:
    with pytest.raises(Refused, match="has no price"):
        search(question(SMALL, SMALL_RUN, pool(8, usd=None), goal="cost"), COEFFICIENTS)


def test_a_fleet_of_ten_million_devices_and_a_prime_batch_get_an_answer() -> None:
    training = Training(global_batch=10007, seq_len=2048, runtime="megatron")
    answer = search(question(SMALL, training, pool(10**7)), COEFFICIENTS, explain=False)

    # 10007 is prime: all of it on one data-parallel rank, or one sample on each.
    assert answer.plans
    assert {found.plan.dp for found in answer.plans} <= {1, 10007}
