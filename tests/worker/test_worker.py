"""A worker's life, from joining to its last word."""

from collections.abc import Callable

from irongrid.domain.event import RanksFinished, RanksReady, RanksStarted, RanksStopped, WorkerJoined


def test_a_worker_joins_runs_its_ranks_to_their_end_and_goes(server, launch) -> None:
    worker = launch("python", "-c", "print('hello')", ranks=2)
    joined = server.wait(WorkerJoined)
    server.direct("run", rendezvous=joined.rendezvous)
    server.wait(RanksFinished)
    server.direct("stop")

    assert worker.wait() == 0
    kinds = [type(fact) for fact in server.facts]
    assert kinds == [WorkerJoined, RanksStarted, RanksReady, RanksFinished, RanksStopped]
    assert [fact.n for fact in server.facts] == [1, 2, 3, 4, 5]
    assert worker.log(0) == worker.log(1) == "hello\n"
