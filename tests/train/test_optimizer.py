"""The learning rate over a run, and clipping."""

import pytest
import torch
from tests.train.gangs import TINY

from irongrid.domain.job import TrainTask
from irongrid.train.optimizer import clip, learning_rate, squared_norm

TASK = TrainTask(
    model=TINY,
    data=("stdlib",),
    global_batch=1,
    seq_len=1,
    steps=110,
    learning_rate=1.0,
    warmup_steps=10,
)


def test_the_rate_climbs_in_a_line_and_falls_along_a_cosine_to_a_tenth() -> None:
    assert [learning_rate(TASK, step) for step in (1, 5, 10)] == [0.1, 0.5, 1.0]
    assert learning_rate(TASK, 60) == pytest.approx(0.55)
    assert learning_rate(TASK, 110) == pytest.approx(0.1)


def test_gradients_longer_than_the_limit_are_shortened_to_it_and_others_stay() -> None:
    long, short = [torch.tensor([3.0, 0.0]), torch.tensor([4.0])], [torch.tensor([0.3, 0.4])]

    clip(long, squared_norm(long).sqrt(), 1.0)
    clip(short, squared_norm(short).sqrt(), 1.0)

    assert squared_norm(long).sqrt().item() == pytest.approx(1.0, abs=1e-5)
    assert torch.equal(short[0], torch.tensor([0.3, 0.4]))
    assert long[0][0].item() / long[1][0].item() == pytest.approx(0.75)
