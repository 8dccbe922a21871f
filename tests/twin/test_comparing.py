"""Two runs side by side: differences, and what became of the same jobs."""

from pathlib import Path

import pytest

from irongrid.domain.scenario import Recorded, Scenario
from irongrid.errors import SpecError
from irongrid.spec.fleet import parse_fleet_text
from irongrid.twin.changes import Change, changed, resized
from irongrid.twin.comparing import compared
from irongrid.twin.trials import Trial, run_trial, trial_of

LAB = "pools: {h100: {accelerator: H100, nodes: 1, usd_per_device_h: 2}}"
HEAD = "job_id,submit_s,devices,duration_s,team\n"
# One after another on eight devices; side by side on sixteen.
ROWS = "a,0,8,100,x\nb,10,8,50,y\nc,500,1,10,x\n"


def trial(tmp_path: Path, rows: str = ROWS, name: str = "base") -> Trial:
    path = tmp_path / f"{name}.csv"
    path.write_text(HEAD + rows)
    fleet = parse_fleet_text(LAB, source="lab.yaml")
    workload = Recorded(file=str(path), dataset="csv")
    return trial_of(Scenario(name=name, fleet=fleet, workload=workload, policy="fifo"))


def test_one_more_node_ends_the_wait_and_costs_another_fleet(tmp_path: Path) -> None:
    base = trial(tmp_path)

    found = compared(run_trial(base), run_trial(changed(base, Change(nodes="+1"))))

    # b waits for 90 s on one node and not at all on two: 30 s less over three jobs.
    assert found["difference"]["avg_queue_s"] == {"absolute": -30.0, "percent": -100.0}
    # Both last until 510 s, so the second fleet costs twice as much.
    assert found["difference"]["fleet_usd"]["percent"] == pytest.approx(100, abs=1)
    paired = found["paired"]
    assert (paired["jobs"], paired["earlier"], paired["later"], paired["same"]) == (3, 1, 0, 2)
    assert paired["most_earlier"] == [{"job": "b", "team": "y", "devices": 8, "change_s": 90.0}]
    assert paired["most_later"] == []
    assert found["second"]["scenario"] == "base, 2 nodes"


def test_another_policy_makes_one_job_wait_for_another(tmp_path: Path) -> None:
    rows = "a,0,8,100,x\nb,1,8,80,x\nc,2,8,10,y\n"
    base = trial(tmp_path, rows)

    found = compared(run_trial(base), run_trial(changed(base, Change(policy="sjf-oracle"))))

    # c (10 s) goes before b (80 s): 80 s earlier, and b 10 s later.
    paired = found["paired"]
    assert [job["job"] for job in paired["most_earlier"]] == ["c"]
    assert paired["most_earlier"][0]["change_s"] == 80.0
    assert paired["most_later"][0] == {"job": "b", "team": "x", "devices": 8, "change_s": 10.0}
    assert paired["mean_change_s"] == round((10 - 80) / 3, 3)


def test_jobs_of_one_name_but_another_submit_are_no_pair(tmp_path: Path) -> None:
    other = trial(tmp_path, "a,0,8,100,x\nb,11,8,50,y\n", "other")

    found = compared(run_trial(trial(tmp_path)), run_trial(other))

    paired = found["paired"]
    assert (paired["jobs"], paired["only_in_first"], paired["only_in_second"]) == (1, 2, 1)


def test_nothing_in_common_says_nothing_of_single_jobs(tmp_path: Path) -> None:
    other = trial(tmp_path, "z,0,8,100,x\n", "other")

    assert compared(run_trial(trial(tmp_path)), run_trial(other))["paired"] == {
        "jobs": 0,
        "only_in_first": 3,
        "only_in_second": 1,
    }


def test_the_same_twice_differs_in_nothing(tmp_path: Path) -> None:
    base = trial(tmp_path)

    found = compared(run_trial(base), run_trial(base))

    assert {d["absolute"] for d in found["difference"].values() if d is not None} == {0}
    assert found["paired"]["same"] == 3


@pytest.mark.parametrize(
    ("pools", "text", "after"),
    [
        ({"a": 4}, "+8", {"a": 12}),
        ({"a": 4}, "-1", {"a": 3}),
        ({"a": 4}, "7", {"a": 7}),
        ({"a": 4, "b": 2}, "b:+8", {"a": 4, "b": 10}),
        ({"": 72}, "+8", {"": 80}),
    ],
)
def test_nodes_are_added_taken_or_set(
    pools: dict[str, int], text: str, after: dict[str, int]
) -> None:
    assert resized(pools, text) == after


@pytest.mark.parametrize(
    ("pools", "text", "problem"),
    [
        ({"a": 4}, "-4", "leaves 0 nodes of 4"),
        ({"a": 4}, "many", "is no number of nodes"),
        ({"a": 4}, "c:+1", "there is no pool 'c'"),
        ({"a": 4, "b": 2}, "+1", "there are several pools: a, b"),
    ],
)
def test_a_wrong_number_of_nodes_is_refused(pools: dict[str, int], text: str, problem: str) -> None:
    with pytest.raises(SpecError, match=problem) as caught:
        resized(pools, text)

    assert caught.value.problems[0].fix
