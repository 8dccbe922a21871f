"""openb through `control`: the rule of arrivals, and what is held in the end."""

from collections import Counter
from pathlib import Path

import pytest

from irongrid.errors import SpecError
from irongrid.twin.data import data_folder
from irongrid.twin.packs import pack
from irongrid.twin.truth.openb import arrivals, asked_milli, cluster, pods
from irongrid.twin.truth.world import TraceJob

HEADER = "pod,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec\n"


def mix(name: str) -> Path:
    return data_folder("traces") / "openb-gpu-v2023" / f"pods_{name}.csv.gz"


def test_the_cluster_is_that_of_the_paper() -> None:
    nodes = cluster()

    assert len(nodes) == 1213
    assert sum(node.devices for node in nodes) == 6212


def test_a_pod_asks_for_a_part_for_whole_devices_or_for_none(tmp_path: Path) -> None:
    path = tmp_path / "pods.csv"
    path.write_text(HEADER + "a,6000,1,1,460,\nb,8000,2,4,1000,T4|P100\nc,2000,1,0,0,\n")

    part, gang, none = pods(path)

    assert (part.gpus, part.device_milli, part.cpus, part.memory_bytes) == (1, 460, 6.0, 2**20)
    assert (gang.gpus, gang.device_milli, gang.cpus, gang.memory_bytes) == (4, 1000, 2.0, 2**19)
    assert gang.device_type == "T4|P100"
    assert (none.gpus, none.device_milli, none.cpus) == (1, 0, 2.0)


@pytest.mark.parametrize("row", ["a,1,1,2,500,", "a,1,1,1,0,", "a,1,1,1,1500,", "a,1,1,1.5,1000,"])
def test_a_pod_that_cannot_be_is_refused(tmp_path: Path, row: str) -> None:
    path = tmp_path / "pods.csv"
    path.write_text(HEADER + row + "\n")

    with pytest.raises(SpecError):
        pods(path)


def whole(count: int) -> list[TraceJob]:
    return [TraceJob(f"p{at}", 0.0, "", 1) for at in range(count)]


def test_a_short_list_is_repeated_and_a_long_one_cut_to_130_percent() -> None:
    # 130 % of 10 devices is 13.
    short, long = whole(8), whole(20)

    assert len(arrivals(short, 10, seed=0)) == 13
    assert {job.key for job in short} <= {job.key for job in arrivals(short, 10, seed=0)}
    assert len(arrivals(long, 10, seed=0)) == 13
    assert len({job.key for job in arrivals(long, 10, seed=0)}) == 13


def test_the_seed_is_the_order_of_arrival() -> None:
    listed = pods(mix("default"))
    first, again, other = (arrivals(listed, 6212, seed) for seed in (0, 0, 1))

    assert first == again
    assert first != other
    assert [job.submit_s for job in first] == sorted(job.submit_s for job in first)
    asked = sum(asked_milli(job) for job in first) / 6_212_000
    assert 1.298 < asked <= 1.3
    # Each pod of the list comes once at least.
    known = Counter(job.key for job in first)
    assert all(known[job.key] == 1 for job in listed)


@pytest.mark.parametrize("policy", ["default", "fgd", "best-fit"])
def test_while_all_fits_all_that_was_asked_for_is_held(policy: str) -> None:
    found = pack(mix("default"), policy, head=150, check=True)

    assert found["jobs"] == found["placed"] == 150
    assert found["allocated_pct"] == found["arrived_pct"] > 0


def test_a_policy_that_places_whole_devices_is_refused() -> None:
    with pytest.raises(SpecError, match="does not place parts"):
        pack(mix("default"), "fifo")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "published_pct"), [("default", 95.39), ("gpushare80", 89.30)])
def test_more_is_allocated_than_fgd_has_published(name: str, published_pct: float) -> None:
    assert pack(mix(name), "default", seed=0)["allocated_pct"] >= published_pct
