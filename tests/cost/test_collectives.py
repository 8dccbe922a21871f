"""Collectives: figures that a reader can check by hand."""

from dataclasses import replace

import pytest
from tests.cost.cases import FORMULAS, pool

from irongrid.cost.collectives import all_to_all_s, half_ring_s, reach_of, send_s
from irongrid.cost.inputs import machine_of
from irongrid.domain.fleet import Level
from irongrid.domain.training import Training

# Every link gives its whole rate, and hops are free.
PLAIN = replace(FORMULAS, island_share=1.0, net_share=1.0, collective_latency=0.0)
MACHINE = machine_of(pool(), Training(global_batch=1, seq_len=1))


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


def test_the_members_of_a_block_share_an_oversubscribed_spine() -> None:
    # 32 ranks, 8 apart, in blocks of 64 devices with a quarter of their rate to the spine: 7/8 of
    # 1.2 GB over 25 GB/s in the block, then 3/4 of an eighth over a quarter of that.
    narrow = replace(MACHINE, block_devices=64, spine_bytes_per_s=6.25e9)
    time_s = half_ring_s(1.2e9, reach_of(narrow, 32, 8), narrow, PLAIN)

    assert float(time_s) == pytest.approx(0.042 + 0.018)


def test_a_group_within_its_block_does_not_feel_the_spine() -> None:
    narrow = replace(MACHINE, block_devices=64, spine_bytes_per_s=6.25e9)

    for ranks, stride in ((8, 8), (64, 1)):
        time_s = half_ring_s(1.2e9, reach_of(narrow, ranks, stride), narrow, PLAIN)
        assert time_s == half_ring_s(1.2e9, reach_of(MACHINE, ranks, stride), MACHINE, PLAIN)


def test_a_block_ends_where_the_network_is_oversubscribed() -> None:
    levels = (
        Level(name="island", devices=8, bytes_per_s=300e9, latency_s=2e-6),
        Level(name="rack", devices=64, bytes_per_s=25e9, latency_s=5e-6),
        Level(name="block", devices=256, bytes_per_s=25e9, latency_s=5e-6),
        Level(name="site", devices=1024, bytes_per_s=25e9, latency_s=5e-6, oversubscription=4.0),
    )
    whole = replace(levels[-1], oversubscription=1.0)

    narrow = machine_of(pool(levels=levels), Training(global_batch=1, seq_len=1))
    even = machine_of(pool(levels=(*levels[:-1], whole)), Training(global_batch=1, seq_len=1))

    assert (narrow.net_bytes_per_s, narrow.block_devices) == (25e9, 256)
    assert narrow.spine_bytes_per_s == 6.25e9
    assert (even.block_devices, even.spine_bytes_per_s) == (float("inf"), 25e9)


def test_between_stages_the_spine_counts_for_those_that_cross_it() -> None:
    # A quarter of the rate is left where every device sends beyond its block; half of them leave
    # half of it to each.
    narrow = replace(MACHINE, block_devices=64, spine_bytes_per_s=6.25e9, net_latency_s=0.0)

    times = [float(send_s(2.5e9, 8, stride, narrow, PLAIN)) for stride in (16, 32, 64)]

    assert times == pytest.approx([0.1, 0.2, 0.4])


def test_one_rank_has_nothing_to_exchange() -> None:
    assert float(half_ring_s(1e9, reach_of(MACHINE, 1, 1), MACHINE, PLAIN)) == 0.0
    assert float(all_to_all_s(1e9, 8, reach_of(MACHINE, 1, 1), MACHINE, PLAIN)) == 0.0


def test_a_token_goes_to_a_node_once_however_many_of_its_experts_are_there() -> None:
    reach = reach_of(MACHINE, 16, 1)

    # Eight copies, two nodes: nearly always one of them leaves; alone, half of them do.
    many = float(all_to_all_s(8e8, 8, reach, MACHINE, PLAIN))
    alone = float(all_to_all_s(8e8, 1, reach, MACHINE, PLAIN))

    assert many < 0.5 * alone
