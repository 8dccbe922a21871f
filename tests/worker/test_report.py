"""The line to the server: nothing that matters is lost, nothing grows without bound."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.worker.stage import JOB, NODE, ScriptedServer, order_for, run_spec, until

from irongrid.domain.event import CheckpointCommitted, CheckpointFailed, ProgressMade
from irongrid.domain.messages import Directive
from irongrid.worker.report import Heard, Link, News


@pytest.fixture
def news() -> list[News]:
    return []


@pytest.fixture
def link(tmp_path: Path, news: list[News]) -> Iterator[Link]:
    made = Link(order_for(tmp_path, run_spec(tmp_path, "true")), news.append)
    yield made
    made.close()


def failed(n: int, message: str) -> CheckpointFailed:
    return CheckpointFailed(
        job=JOB, epoch=1, generation=1, node=NODE, n=n, step=n, code="disk_full", message=message
    )


def committed(n: int) -> CheckpointCommitted:
    return CheckpointCommitted(
        job=JOB, epoch=1, generation=1, node=NODE, n=n, step=n, path="p", size_bytes=1,
        written_bytes=1, age_ns=0, stall_ns=0,
    )  # fmt: skip


def test_many_facts_go_in_reports_that_the_server_can_take(
    server: ScriptedServer, link: Link
) -> None:
    for n in range(1, 151):
        link.put(failed(n, "\u00e9" * 2000))  # Six bytes each, as JSON writes them.
    link.start()
    until(lambda: len(server.facts) == 150, "all facts")
    until(link.all_answered, "the last answer")

    assert [fact.n for fact in server.facts] == list(range(1, 151))
    assert server.largest_body_bytes < 2**19


def test_facts_wait_for_a_server_and_those_that_others_replace_are_not_piled_up(
    server: ScriptedServer, link: Link
) -> None:
    server.down()
    link.start()
    for n in range(1, 1001):
        if n % 10:
            link.put(
                ProgressMade(
                    job=JOB, epoch=1, generation=1, node=NODE, n=n, step=n, metrics={"loss": 1.0}
                )
            )
        else:
            link.put(committed(n))
    assert not link.all_answered()
    server.up()
    until(link.all_answered, "the server to hear them")

    saved = [fact.n for fact in server.facts if isinstance(fact, CheckpointCommitted)]
    assert saved == list(range(10, 1001, 10))
    assert len(server.facts) < 400


def test_a_directive_is_heard_once_whichever_connection_brings_it(
    server: ScriptedServer, link: Link, news: list[News]
) -> None:
    link.start()
    for generation in (2, 3):
        server.direct("run", generation=generation)
        until(lambda: directives(news)[-1:] == [server.directive], "the newest directive")
    link.put(failed(1, "its answer brings the same directive"))
    until(link.all_answered, "an answer")

    versions = [directive.version for directive in directives(news)]
    assert versions == sorted(set(versions))


def directives(news: list[News]) -> list[Directive]:
    return [each.directive for each in news if isinstance(each, Heard)]
