"""Collectives: figures that a reader can check by hand."""

from dataclasses import replace

import pytest
from tests.cost.cases import FORMULAS, pool

from irongrid.cost.collectives import all_to_all_s, half_ring_s, reach_of, send_s
from irongrid.cost.inputs import machine_of
from irongrid.domain.training import Training

# Every link gives its whole rate, and hops are free.
PLAIN = replace(FORMULAS, island_share=1.0, net_share=1.0, collective_latency=0.0)
MACHINE = machine_of(pool(), Training(global_batch=1, seq_len=1))
# Pods of 32, out of which an eighth of what its devices could send can go.
PODS = replace(MACHINE, pod_devices=32, core_bytes_per_s=25e9 / 8)


def test_half_a_ring_in_a_node_moves_the_payload_less_one_share() -> None:
    # 8 ranks: 7/8 of 1.2 GB over 300 GB/s.
    time_s = half_ring_s(1.2e9, reach_of(MACHINE, 8, 1), MACHINE, PLAIN)

    assert float(time_s) == pytest.approx(0.0035)


def test_beyond_the_node_eight_nics_carry_together() -> None:
    # 16 ranks on 2 nodes: 7/8 of 1.2 GB over 300 GB/s, then half of an eighth over 25 GB/s.
    time_s = half_ring_s(1.2e9, reach_of(MACHINE, 16, 1), MACHINE, PLAIN)

    assert float(time_s) == pytest.approx(0.0035 + 0.003)


def test_ranks_a_node_apart_have_only_their_own_nic() -> None:
    # 4 ranks, 8 apart: 3/4 of 1.2 GB over 25 GB/s.
    time_s = half_ring_s(1.2e9, reach_of(MACHINE, 4, 8), MACHINE, PLAIN)

    assert float(time_s) == pytest.approx(0.036)


def test_one_rank_has_nothing_to_exchange() -> None:
    assert float(half_ring_s(1e9, reach_of(MACHINE, 1, 1), MACHINE, PLAIN)) == 0.0
    assert float(all_to_all_s(1e9, 8, reach_of(MACHINE, 1, 1), MACHINE, PLAIN)) == 0.0


def test_a_token_goes_to_a_node_once_however_many_of_its_experts_are_there() -> None:
    reach = reach_of(MACHINE, 16, 1)

    # Eight copies, two nodes: nearly always one of them leaves; alone, half of them do.
    many = float(all_to_all_s(8e8, 8, reach, MACHINE, PLAIN))
    alone = float(all_to_all_s(8e8, 1, reach, MACHINE, PLAIN))

    assert many < 0.5 * alone


def test_of_a_ring_in_order_only_one_edge_leaves_each_pod() -> None:
    # 16 ranks, 8 apart, are 4 to a pod: 3/4 of a quarter of 1.2 GB over 25/8 GB/s.
    time_s = half_ring_s(1.2e9, reach_of(PODS, 16, 8), PODS, PLAIN)

    assert float(time_s) == pytest.approx(0.072)


def test_a_thin_core_costs_nothing_inside_a_pod() -> None:
    reach = reach_of(PODS, 4, 8)

    assert float(half_ring_s(1.2e9, reach, PODS, PLAIN)) == pytest.approx(0.036)


def test_stages_meet_at_a_pods_border_with_the_whole_cores_rate() -> None:
    # 4 of the pod's 32 devices send through what an eighth of them could fill; then 16 of them do.
    few, many = (float(send_s(1e9, 16, n, replace(PODS, island_devices=1), PLAIN)) for n in (4, 16))

    assert few == pytest.approx(0.04, rel=1e-3)
    assert many == pytest.approx(0.16, rel=1e-3)


def test_experts_in_two_pods_send_half_of_their_tokens_through_the_core() -> None:
    # 1 GB on each of 64 ranks, of which 32/64 go to the other pod.
    alone = replace(PODS, island_devices=1)
    time_s = all_to_all_s(1e9, 1, reach_of(alone, 64, 1), alone, PLAIN)

    assert float(time_s) == pytest.approx(0.16, rel=1e-3)
