"""Server and workers: facts are durable when accepted, directives arrive within a second."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import httpx2
import pytest

from irongrid.domain.codec import to_json
from irongrid.domain.device import Node, Placement
from irongrid.domain.event import ProgressMade, RanksReady, RanksStarted, WorkerFact, WorkerJoined
from irongrid.domain.ids import JobId, NodeId
from irongrid.domain.messages import Beat, LaunchOrder, WorkerReport
from irongrid.errors import EngineRefused, EngineUnreachable
from irongrid.ports import Capabilities, Observed, WorkerPhase
from irongrid.server.home import Home
from irongrid.server.journal import open_journal
from irongrid.server.options import ServerOptions
from irongrid.server.parts import Parts
from irongrid.store import open_store

DEADLINE_S = 90.0
NODES = tuple(
    Node(id=NodeId(f"n{i}"), device_type="cpu", devices=1, cpus=1.0, memory_bytes=2**30)
    for i in range(2)
)


class PuppetEngine:
    """Starts nothing: the test plays the workers."""

    def __init__(self) -> None:
        self.orders: list[LaunchOrder] = []
        self.stopped: list[tuple[JobId, int]] = []
        self.gone: set[tuple[JobId, int, NodeId]] = set()
        self.problems: list[Exception] = []

    def capabilities(self) -> Capabilities:
        return Capabilities(name="puppet", placement="ours", lease_s=7.0)

    def nodes(self) -> tuple[Node, ...]:
        return NODES

    def launch(self, orders: Sequence[LaunchOrder]) -> None:
        if self.problems:
            raise self.problems.pop(0)
        self.orders += orders

    def stop(self, job: JobId, epoch: int, placement: Placement) -> None:
        self.stopped.append((job, epoch))
        self.gone |= {(job, epoch, share.node) for share in placement.shares}

    def observe(self, wanted: Sequence[tuple[JobId, int, NodeId]]) -> tuple[Observed, ...]:
        return tuple(
            Observed(
                job=place[0],
                epoch=place[1],
                node=place[2],
                phase=WorkerPhase.GONE if place in self.gone else WorkerPhase.ALIVE,
            )
            for place in wanted
        )


class Stage:
    """A server whose workers the test plays, in this process."""

    def __init__(self, folder: Path, engine: PuppetEngine, long_poll_s: float) -> None:
        self.home = Home(folder)
        self.home.prepare()
        self.store = open_store(self.home.database, holder="test")
        options = ServerOptions(home=folder, long_poll_s=long_poll_s)
        target = str(self.home.database)
        journal = open_journal(None)
        self.engine = engine
        self.parts = Parts(options, self.home, target, self.store, engine, journal)
        self.parts.start(asyncio.get_running_loop(), lambda stop_jobs: None)
        transport = httpx2.ASGITransport(app=self.parts.asgi)
        self.http = httpx2.AsyncClient(transport=transport, base_url="http://localhost")

    async def user(self, method: str, path: str, body: Any = None) -> httpx2.Response:
        headers = {"authorization": f"Bearer {self.home.token()}"}
        return await self.http.request(method, path, json=body, headers=headers)

    async def submit(self, **more: Any) -> str:
        body = {"job": {"run": "true", "workdir": "/", **more}, "key": str(time.monotonic_ns())}
        answer = await self.user("POST", "/v1/jobs", body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["job_id"])

    async def launched(self, count: int = 1) -> list[LaunchOrder]:
        await until(lambda: len(self.engine.orders) >= count)
        return self.engine.orders

    async def report(
        self, order: LaunchOrder, *facts: WorkerFact, token: str = "", beat: Beat | None = None
    ) -> httpx2.Response:
        report = WorkerReport(
            job=order.job, epoch=order.epoch, node=order.node, beat=beat or Beat(), facts=facts
        )
        headers = {"authorization": f"Bearer {token or order.token}"}
        return await self.http.post("/v1/worker/report", json=to_json(report), headers=headers)

    async def directive(self, order: LaunchOrder, version: int = 0) -> httpx2.Response:
        return await self.http.get(
            "/v1/worker/directive",
            params={"node": order.node, "version": version},
            headers={"authorization": f"Bearer {order.token}"},
        )

    async def reaches(self, job: str, state: str) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                if await self.state(job) == state:
                    return
                await asyncio.sleep(0.02)

    async def state(self, job: str) -> str:
        return str((await self.user("GET", f"/v1/jobs/{job}")).json()["row"]["state"])


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            if done():
                return
            await asyncio.sleep(0.01)


def on_stage(
    folder: Path, play: Callable[[Stage], Awaitable[None]], *, long_poll_s: float = 1.5
) -> None:
    """Run one test against a server in this process."""

    async def run() -> None:
        stage = Stage(folder, PuppetEngine(), long_poll_s)
        try:
            await play(stage)
        finally:
            stage.parts.feed.close()
            await asyncio.to_thread(stage.parts.stop)
            stage.store.close()
            await stage.http.aclose()

    asyncio.run(run())


def joined(order: LaunchOrder, n: int = 1) -> WorkerJoined:
    return WorkerJoined(
        job=order.job,
        epoch=order.epoch,
        node=order.node,
        n=n,
        rendezvous="127.0.0.1:1",
        limits="none",
    )


def works(order: LaunchOrder) -> tuple[WorkerFact, ...]:
    common: dict[str, Any] = {
        "job": order.job, "epoch": order.epoch, "node": order.node, "generation": 1
    }  # fmt: skip
    return (
        joined(order),
        RanksStarted(n=2, **common),
        RanksReady(n=3, resumed_step=0, **common),
    )


def test_an_order_holds_what_a_worker_needs_and_its_token_works(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        job = await stage.submit(env={"SECRET": "value"})
        (order,) = await stage.launched()

        assert (order.job, order.epoch, order.node, order.lease_s) == (job, 1, "n0", 7.0)
        assert order.environment == {"SECRET": "value"}
        assert order.address_file == str(tmp_path / "address")
        assert order.job_dir == str(tmp_path / "jobs" / job)
        answer = await stage.report(order, joined(order))
        assert (answer.status_code, answer.json()["accepted_n"]) == (200, 1)
        assert answer.json()["directive"]["action"] == "run"

    on_stage(tmp_path, play)


def test_a_gang_gets_one_order_per_node(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        await stage.submit(resources={"count": 2})
        orders = await stage.launched(2)

        assert [order.node for order in orders] == ["n0", "n1"]
        assert len({order.placement for order in orders}) == 1

    on_stage(tmp_path, play)


def test_facts_that_come_twice_count_once(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        job = await stage.submit()
        (order,) = await stage.launched()
        for _ in range(3):
            assert (await stage.report(order, *works(order))).json()["accepted_n"] == 3
        rows = (await stage.user("GET", f"/v1/jobs/{job}/events")).json()["events"]

        assert [row["kind"] for row in rows].count("ranks_ready") == 1
        assert await stage.state(job) == "running"

    on_stage(tmp_path, play)


def test_a_waiting_worker_hears_of_a_cancel_at_once(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        job = await stage.submit()
        (order,) = await stage.launched()
        answer = await stage.report(order, *works(order))
        version = answer.json()["directive"]["version"]
        waiting = asyncio.create_task(stage.directive(order, version))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        await stage.user("POST", f"/v1/jobs/{job}/cancel")

        async with asyncio.timeout(DEADLINE_S):
            assert (await waiting).json()["action"] == "stop"

    # A poll that nothing wakes would end by itself only long after the deadline.
    on_stage(tmp_path, play, long_poll_s=10 * DEADLINE_S)


def test_a_waiting_worker_hears_of_a_request_to_save(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        job = await stage.submit()
        (order,) = await stage.launched()
        first = (await stage.report(order, *works(order))).json()["directive"]
        waiting = asyncio.create_task(stage.directive(order, first["version"]))
        await asyncio.sleep(0.05)
        assert (await stage.user("POST", f"/v1/jobs/{job}/checkpoint")).status_code == 200
        second = (await waiting).json()
        await stage.user("POST", f"/v1/jobs/{job}/checkpoint")
        third = (await stage.directive(order, second["version"])).json()

        assert first["checkpoint"] < second["checkpoint"] < third["checkpoint"]
        assert first["version"] < second["version"] < third["version"]

    on_stage(tmp_path, play)


def test_a_poll_without_news_answers_the_same_at_the_time_limit(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        await stage.submit()
        (order,) = await stage.launched()
        first = (await stage.report(order, *works(order))).json()["directive"]
        started = time.monotonic()
        again = (await stage.directive(order, first["version"])).json()

        assert again == first
        assert 1.4 < time.monotonic() - started < DEADLINE_S

    on_stage(tmp_path, play)


def test_one_attempts_token_is_refused_for_another(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        await stage.submit()
        await stage.submit()
        first, second = await stage.launched(2)
        answer = await stage.report(first, joined(first), token=second.token)

        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")

    on_stage(tmp_path, play)


def test_a_worker_of_an_older_epoch_is_fenced(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        job = await stage.submit()
        (old,) = await stage.launched()
        await stage.report(old, *works(old))
        stage.engine.gone.add((old.job, old.epoch, old.node))
        await until(lambda: len(stage.engine.orders) > 1)
        new = stage.engine.orders[1]
        for answer in (await stage.report(old, *works(old)), await stage.directive(old)):
            assert (answer.status_code, answer.json()["code"]) == (409, "fenced")

        assert (new.job, new.epoch) == (job, 2)
        assert (await stage.report(new, joined(new))).status_code == 200

    on_stage(tmp_path, play)


def test_figures_that_json_cannot_hold_are_left_out(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        job = await stage.submit()
        (order,) = await stage.launched()
        figures = {"loss": float("nan"), "rate": float("inf"), "step_time_s": 0.5}
        fact = ProgressMade(
            job=order.job, epoch=1, generation=1, node=order.node, n=4, step=9, metrics=figures
        )
        report = to_json(
            WorkerReport(
                job=order.job,
                epoch=1,
                node=order.node,
                beat=Beat(step=9, metrics=figures),
                facts=(*works(order), fact),
            )
        )
        answer = await stage.http.post(
            "/v1/worker/report",
            content=json.dumps(report).encode(),
            headers={"authorization": f"Bearer {order.token}"},
        )
        detail = (await stage.user("GET", f"/v1/jobs/{job}")).json()

        assert answer.status_code == 200, answer.text
        assert detail["metrics"] == {"step_time_s": 0.5}
        assert detail["row"]["step"] == 9

    on_stage(tmp_path, play)


def test_beats_show_in_the_job_but_not_in_the_log(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        job = await stage.submit()
        (order,) = await stage.launched()
        await stage.report(order, *works(order))
        head = (await stage.user("GET", "/v1/status")).json()["head_seq"]
        await stage.report(order, beat=Beat(step=7, phase="save", metrics={"loss": 2.5}))
        detail = (await stage.user("GET", f"/v1/jobs/{job}")).json()
        page = (await stage.user("GET", "/v1/jobs")).json()

        assert (detail["row"]["step"], detail["phase"]) == (7, "save")
        assert detail["metrics"] == {"loss": 2.5}
        assert page["jobs"][0]["step"] == 7
        assert (await stage.user("GET", "/v1/status")).json()["head_seq"] == head

    on_stage(tmp_path, play)


def test_an_engine_that_does_not_answer_is_asked_again(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        stage.engine.problems = [EngineUnreachable("puppet", "no answer") for _ in range(2)]
        job = await stage.submit()
        await stage.launched()

        assert await stage.state(job) == "starting"

    on_stage(tmp_path, play)


def test_a_launch_that_the_engine_refuses_fails_the_job_with_its_words(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        stage.engine.problems = [EngineRefused("no such partition")]
        job = await stage.submit(retries={"max": 0})
        await stage.reaches(job, "failed")
        detail = (await stage.user("GET", f"/v1/jobs/{job}")).json()

        assert "no such partition" in detail["ended_because"]

    on_stage(tmp_path, play)


@pytest.mark.parametrize(
    "change",
    [
        {"epoch": "1"},
        {"facts": [{"kind": "no_such_fact"}]},
        {"facts": [{"kind": "worker_joined"}]},
        {"beat": {"step": 1.5}},
        {"beat": {"metrics": {"loss": None}}},
        {"node": "elsewhere"},
        {"more": 1},
    ],
    ids=str,
)
def test_a_report_that_does_not_fit_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    async def play(stage: Stage) -> None:
        await stage.submit()
        (order,) = await stage.launched()
        report = {"job": order.job, "epoch": 1, "node": "n0", "beat": {}, "facts": [], **change}
        answer = await stage.http.post(
            "/v1/worker/report", json=report, headers={"authorization": f"Bearer {order.token}"}
        )

        assert answer.status_code in (400, 404)
        assert set(answer.json()) == {"code", "problem", "fix", "details"}

    on_stage(tmp_path, play)
