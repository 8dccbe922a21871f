"""A node is taken out of use while a job trains there: the job saves and goes on elsewhere."""

from tests.integration.conftest import OpenHouse
from tests.integration.jobs import training
from tests.integration.verdict import faults


def test_a_job_on_a_drained_node_saves_and_goes_on_on_the_other(open_house: OpenHouse) -> None:
    house = open_house(nodes="2x2")
    job = house.submit(training(every=10_000))
    house.reaches(job, "running")
    [first] = house.job(job).row.nodes
    other = "n1" if first == "n0" else "n0"
    house.wait_step(job, 20)

    answer = house.answer("drain", first, "--leave")
    again = house.answer("drain", first, "--leave")
    house.wait_event(job, "ranks_ready", epoch=2)
    house.kill_server()
    house.up()
    closed = house.answer("ps")["closed"]
    detail = house.reaches(job, "succeeded")

    assert (answer["jobs"], answer["row"]["node"]) == ([job], first)
    assert again["row"]["closed"] == answer["row"]["closed"] == f"{first} is drained on request"
    # One record each, whatever was asked twice.
    kinds = [row.kind for row in house.client.all_events()]
    assert kinds.count("node_closed") == 1
    assert closed == {first: f"{first} is drained on request"}
    places = [[share.node for share in each.placement.shares] for each in detail.attempts]
    assert places == [[first], [other]]
    # Saved on the way out, as it never saves by itself: nothing was done again from the start.
    ready = house.wait_event(job, "ranks_ready", epoch=2).body
    assert ready["resumed_step"] >= 20
    assert detail.lost_steps == 0
    assert faults(house) == []


def test_drained_nodes_show_in_every_verb_and_open_again(open_house: OpenHouse) -> None:
    house = open_house(nodes="2x2")
    house.cli("drain", "n0")
    house.cli("drain", "n1")
    job = house.submit({"name": "waits", "workdir": "/", "run": "true"})

    assert "irongrid undrain n0" in house.run_cli("ps").stderr
    assert "n1 takes no new work" in house.cli("doctor")
    assert house.answer("why", job)["smallest_change"] == "irongrid undrain n0"
    unknown = house.answer("drain", "n00", code=2)
    assert unknown["error"]["fix"] == "Did you mean n0?"

    house.cli("undrain", "n1")
    house.reaches(job, "succeeded")
    assert house.answer("ps")["closed"] == {"n0": "n0 is drained on request"}
    assert faults(house) == []
