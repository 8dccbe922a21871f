"""The worker's client: which answers count, and where the next request goes."""

from pathlib import Path

import pytest
from tests.worker.stage import JOB, NODE, TOKEN, ScriptedServer

from irongrid.client.worker import WorkerClient
from irongrid.domain.messages import Beat, WorkerReport
from irongrid.errors import Fenced, Unreachable

REPORT = WorkerReport(job=JOB, epoch=1, node=NODE, beat=Beat(), facts=())


@pytest.fixture
def server(tmp_path: Path) -> ScriptedServer:
    return ScriptedServer(tmp_path / "address")


@pytest.fixture
def client(tmp_path: Path) -> WorkerClient:
    return WorkerClient(tmp_path / "address", TOKEN)


def test_requests_share_a_connection_and_carry_the_token(
    server: ScriptedServer, client: WorkerClient
) -> None:
    server.up()
    for _ in range(3):
        assert client.report(REPORT).accepted_n == 0
    assert client.directive(NODE, 0).action == "hold"

    assert server.authorizations == {f"Bearer {TOKEN}"}
    assert server.connected == 1
    server.down()


def test_without_an_address_file_nobody_is_reached(client: WorkerClient) -> None:
    with pytest.raises(Unreachable, match="FileNotFoundError"):
        client.report(REPORT)


@pytest.mark.parametrize("content", ["", "nonsense", "http://", "http://127.0.0.1:port"])
def test_an_address_that_names_no_server_is_as_good_as_none(
    client: WorkerClient, tmp_path: Path, content: str
) -> None:
    (tmp_path / "address").write_text(content)

    with pytest.raises(Unreachable):
        client.report(REPORT)


def test_after_a_lost_server_the_address_is_read_again(
    server: ScriptedServer, client: WorkerClient
) -> None:
    server.up()
    client.report(REPORT)
    server.down()
    with pytest.raises(Unreachable):
        client.report(REPORT)
    server.up()

    assert client.report(REPORT).directive.version == 1
    server.down()


def test_only_a_well_formed_refusal_of_ours_fences(
    server: ScriptedServer, client: WorkerClient
) -> None:
    server.up()
    server.garbage = True  # Another program's page, also with status 409.
    with pytest.raises(Unreachable):
        client.report(REPORT)
    server.garbage = False
    server.fenced = True
    with pytest.raises(Fenced, match="epoch 1 is over"):
        client.report(REPORT)
    with pytest.raises(Fenced):
        client.directive(NODE, 0)
    server.down()
