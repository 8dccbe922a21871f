"""Two servers on one store: the second one refuses, names the first, and does it no harm."""

import subprocess

import pytest
from tests.integration.conftest import OpenHouse
from tests.integration.house import DEADLINE_S, House
from tests.integration.jobs import command
from tests.integration.verdict import faults


def refused(house: House) -> str:
    """Start another server on this home, which must refuse; its words."""
    before = house.home.server_log.stat().st_size if house.home.server_log.exists() else 0
    process = house.start()
    try:
        assert process.wait(timeout=DEADLINE_S) == 1
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return house.home.server_log.read_text()[before:]


def test_a_second_server_on_one_home_is_refused_and_told_who_holds_it(house: House) -> None:
    job = house.submit(
        command("while [ ! -e go ]; do sleep 0.05; done", workdir=str(house.home.path))
    )
    house.reaches(job, "running")
    assert house.server is not None
    ranks = house.ranks(job)
    # `irongrid up` itself looks first, and says that it is up already; this asks the server proper.
    told = house.cli("up", "--nodes", "1x2")
    house.home.path.joinpath("address").rename(house.home.path / "hidden")
    words = refused(house)
    house.home.path.joinpath("hidden").rename(house.home.path / "address")

    assert "already up" in told
    assert f"pid {house.server.pid} at {house.client.address}" in words
    assert house.client.status().server_epoch == 1
    assert house.ranks(job) == ranks
    (house.home.path / "go").touch()
    assert house.reaches(job, "succeeded").row.restarts == 0
    assert faults(house) == []


@pytest.mark.slow
def test_a_second_server_on_one_postgresql_is_refused_whatever_its_home_is(
    open_house: OpenHouse, postgres_target: str
) -> None:
    first = open_house(store=postgres_target)
    job = first.submit(command("sleep 1"))
    second = open_house(store=postgres_target, up=False)
    words = refused(second)

    assert f"the store is held by the server of {first.home.path}" in words
    assert first.reaches(job, "succeeded").row.restarts == 0
    assert first.client.status().server_epoch == 1
    first.stop_server()
    second.up()
    assert second.client.status().server_epoch == 2
    assert second.job(job).row.state == "succeeded"
    assert faults(second) == []
