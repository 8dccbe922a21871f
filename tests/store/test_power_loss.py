"""Losing power loses nothing acknowledged, and breaking a promise behind that is noticed."""

import os
import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.crash.disk import FATES, Disk
from benchmarks.crash.power_loss import power_loss, stale_appends
from benchmarks.crash.syscalls import Open, Sync, Truncate, Unlink, Write, strace


@pytest.fixture
def _tracer() -> None:
    try:
        strace()
    except FileNotFoundError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.mark.usefixtures("_tracer")
def test_nothing_acknowledged_is_lost_when_power_fails_at_any_sync() -> None:
    counts = power_loss(rounds=8, images=len(FATES), seed=0)

    assert (counts.lost, counts.integrity_failures) == (0, 0), counts.first_failure
    assert counts.points > 30


@pytest.mark.slow
@pytest.mark.usefixtures("_tracer")
@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_acknowledged_is_lost_in_many_more_ways(seed: int) -> None:
    counts = power_loss(rounds=40, images=4 * len(FATES), seed=seed)

    assert (counts.lost, counts.integrity_failures) == (0, 0), counts.first_failure


@pytest.mark.usefixtures("_tracer")
@pytest.mark.parametrize("mutant", ["sync-normal", "sync-off", "early-ack"])
def test_a_store_that_acknowledges_what_is_not_on_the_disk_is_caught(mutant: str) -> None:
    assert power_loss(rounds=4, images=1, seed=0, mutant=mutant).lost > 0


def test_a_store_without_its_fence_is_caught() -> None:
    assert stale_appends() == 0
    assert stale_appends("no-fence") == 1


def found(disk: Disk, fate: str, seed: int = 0) -> dict[str, bytes]:
    return disk.after_power_loss(fate, random.Random(seed))


def test_what_was_synced_survives_and_the_rest_may_not() -> None:
    disk = Disk()
    for op in (Open("f"), Sync("."), Write("f", 0, b"old"), Sync("f"), Write("f", 0, b"new")):
        disk.do(op)

    assert disk.at_risk
    assert found(disk, "lost") == {"f": b"old"}
    assert found(disk, "written") == {"f": b"new"}
    disk.do(Sync("f"))
    assert not disk.at_risk
    assert found(disk, "lost") == {"f": b"new"}


def test_a_name_that_was_not_synced_may_be_missing_or_come_back() -> None:
    disk = Disk()
    for op in (Open("new"), Write("new", 0, b"x"), Sync("new")):
        disk.do(op)
    assert found(disk, "lost") == {}
    assert found(disk, "written") == {"new": b"x"}

    disk.do(Sync("."))
    disk.do(Unlink("new"))
    assert found(disk, "lost") == {"new": b"x"}
    assert found(disk, "written") == {}
    assert {len(found(disk, "half", seed)) for seed in range(20)} == {0, 1}


def test_sectors_of_one_write_survive_one_by_one() -> None:
    disk = Disk()
    for op in (Open("f"), Sync("."), Write("f", 0, bytes(2048)), Sync("f")):
        disk.do(op)
    disk.do(Write("f", 0, b"\1" * 2048))

    seen = {found(disk, "half", seed)["f"][::512] for seed in range(200)}

    assert len(seen) == 2**4
    torn = {found(disk, "ordered", seed)["f"][::512] for seed in range(200)}
    assert torn == {b"\1" * kept + bytes(4 - kept) for kept in range(5)}


def test_a_cut_that_was_not_synced_may_be_undone() -> None:
    disk = Disk()
    for op in (Open("f"), Sync("."), Write("f", 0, b"abc"), Sync("f"), Truncate("f", 1)):
        disk.do(op)

    assert {found(disk, "half", seed)["f"] for seed in range(20)} == {b"a", b"abc"}
