"""Recent records in memory, and who is woken by what."""

import asyncio

from irongrid.domain.decision import Decision, Wait, WaitCode
from irongrid.domain.event import CancelRequested, Decided, Recorded
from irongrid.domain.ids import JobId
from irongrid.server.feed import RECENT_RECORDS, Feed, wait_for

ONE, TWO = JobId("j000001"), JobId("j000002")


def cancel(seq: int, job: JobId = ONE) -> Recorded:
    return Recorded(seq, seq, CancelRequested(job=job))


async def fed(*batches: tuple[Recorded, ...]) -> Feed:
    feed = Feed()
    feed.attach(asyncio.get_running_loop())
    for batch in batches:
        feed.publish(batch)
    await asyncio.sleep(0)
    return feed


def test_recent_records_are_those_after_a_number_or_none_if_memory_does_not_reach() -> None:
    async def check() -> None:
        feed = await fed((cancel(5), cancel(6)), (cancel(7),))

        assert [record.seq for record in feed.recent(5) or ()] == [6, 7]
        assert [record.seq for record in feed.recent(4) or ()] == [5, 6, 7]
        assert feed.recent(7) == []
        assert feed.recent(100) == []
        assert feed.recent(3) is None
        assert feed.head_seq == 7

    asyncio.run(check())


def test_memory_is_bounded_and_has_no_gap() -> None:
    async def check() -> None:
        feed = await fed(tuple(cancel(seq) for seq in range(1, RECENT_RECORDS + 100)))
        assert feed.recent(50) is None
        assert len(feed.recent(99) or ()) == RECENT_RECORDS

        jumped = await fed((cancel(1),), (cancel(9),))
        assert jumped.recent(1) is None
        assert [record.seq for record in jumped.recent(8) or ()] == [9]

    asyncio.run(check())


def test_only_those_who_watch_the_job_are_woken() -> None:
    async def check() -> None:
        feed = await fed()
        wait = Decided(
            decision=Decision(saw_seq=1, policy="p", actions=(Wait(job=ONE, code=WaitCode.BEHIND),))
        )
        with feed.watch_job(ONE) as one, feed.watch_job(TWO) as two, feed.watch_all() as everything:
            feed.publish((Recorded(1, 1, wait),))
            assert await wait_for(everything, 1)
            # A reason to wait changes no directive.
            assert not one.is_set()
            feed.publish((cancel(2, ONE),))
            assert await wait_for(one, 1)
            assert not two.is_set()
            assert not await wait_for(two, 0.01)

    asyncio.run(check())


def test_closing_wakes_everybody() -> None:
    async def check() -> None:
        feed = await fed()
        with feed.watch_job(ONE) as one, feed.watch_all() as everything:
            feed.close()
            assert feed.closing.is_set()
            assert one.is_set()
            assert everything.is_set()

    asyncio.run(check())
