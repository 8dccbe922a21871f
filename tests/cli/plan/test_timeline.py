"""The drawn step follows its schedule: order, dependencies, and the bubble of the textbook."""

import itertools

import pytest

from irongrid.cli.plan.timeline import SPLIT_BACKWARD, Box, Pipeline, boxes


def pipeline(
    schedule: str, *, stages: int = 4, chunks: int = 1, micro_batches: int = 8
) -> Pipeline:
    split = schedule in SPLIT_BACKWARD
    lengths_s = {"F": 1.0, "B": 1.0, "W": 1.0} if split else {"F": 1.0, "B": 2.0}
    return Pipeline(schedule, stages, chunks, micro_batches, lengths_s)


ALL = [
    pipeline("1f1b"),
    pipeline("1f1b", stages=1, micro_batches=3),
    pipeline("1f1b", stages=6, micro_batches=2),
    pipeline("interleaved", chunks=2),
    pipeline("interleaved", chunks=3, micro_batches=12),
    pipeline("interleaved", chunks=2, micro_batches=7),
    pipeline("zb-1p"),
    pipeline("zb-2p", micro_batches=16),
    pipeline("zbv", chunks=2),
    pipeline("dualpipev", chunks=2, stages=8, micro_batches=20),
]


@pytest.mark.parametrize("given", ALL, ids=lambda p: f"{p.schedule}-{p.stages}-{p.micro_batches}")
def test_every_pass_is_drawn_once_and_no_stage_does_two_things_at_once(given: Pipeline) -> None:
    drawn = boxes(given)

    kinds = 3 if given.schedule in SPLIT_BACKWARD else 2
    assert len(drawn) == kinds * given.stages * given.chunks * given.micro_batches
    assert len({(b.stage, b.kind, b.chunk, b.micro_batch) for b in drawn}) == len(drawn)
    for stage in range(given.stages):
        mine = [box for box in drawn if box.stage == stage]
        assert all(a.end_s <= b.start_s for a, b in itertools.pairwise(mine))


@pytest.mark.parametrize("given", ALL, ids=lambda p: f"{p.schedule}-{p.stages}-{p.micro_batches}")
def test_a_micro_batch_goes_down_the_model_and_back(given: Pipeline) -> None:
    def moment(kind: str, micro_batch: int, *, last: bool) -> list[float]:
        mine = [b for b in boxes(given) if (b.kind, b.micro_batch) == (kind, micro_batch)]
        mine.sort(key=lambda b: given.depth(b.stage, b.chunk))
        return [b.end_s if last else b.start_s for b in mine]

    for micro_batch in (0, given.micro_batches - 1):
        starts, ends = moment("F", micro_batch, last=False), moment("F", micro_batch, last=True)
        assert all(end <= start for end, start in zip(ends, starts[1:], strict=False))
        back = moment("B", micro_batch, last=True)[::-1]
        assert back == sorted(back)
        assert ends[-1] <= back[0]


def test_the_bubble_of_1f1b_is_one_less_than_the_stages() -> None:
    # 4 stages, 8 micro-batches, F + B = 3 s: (8 + 3) x 3 s.
    assert _end_s(boxes(pipeline("1f1b"))) == pytest.approx(33.0)


def test_interleaving_divides_the_bubble_by_the_chunks() -> None:
    # Two chunks of each stage, so work is 8 x 2 x 3 s, and the bubble is 3 x 3 s, not 2 x 3 x 3 s.
    assert _end_s(boxes(pipeline("interleaved", chunks=2))) == pytest.approx(48.0 + 9.0)


@pytest.mark.parametrize("schedule", ["zb-1p", "zb-2p"])
def test_zero_bubble_schedules_end_sooner_than_1f1b(schedule: str) -> None:
    assert _end_s(boxes(pipeline(schedule))) < 33.0


def test_a_lighter_stage_has_shorter_boxes() -> None:
    given = Pipeline("1f1b", 2, 1, 2, {"F": 1.0, "B": 2.0}, (1.0, 0.5))

    lengths = {(b.stage, b.kind): b.end_s - b.start_s for b in boxes(given)}

    assert lengths == {(0, "F"): 1.0, (0, "B"): 2.0, (1, "F"): 0.5, (1, "B"): 1.0}


def _end_s(drawn: list[Box]) -> float:
    return max(box.end_s for box in drawn)
