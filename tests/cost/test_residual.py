"""The residual follows what was measured near by, and is silent elsewhere."""

import numpy as np
import pytest

from irongrid.cost.residual import NOTHING_LEARNT, Residual

POINTS = np.array([[0.0, 0.0], [1.0, 0.0]])
LEARNT = Residual(points=POINTS, pull=np.array([0.1, 0.0]))


def test_it_corrects_most_where_it_was_learnt() -> None:
    shift, novelty = LEARNT.at(np.array([[0.0, 0.0], [0.0, 1.0], [0.0, 3.0]]))

    assert shift[0] == pytest.approx(0.1)
    assert shift[0] > shift[1] > shift[2] > 0
    assert novelty[0] == pytest.approx(0.0)
    assert np.all(np.diff(novelty) > 0)


def test_far_from_all_rows_it_says_nothing_and_calls_the_case_novel() -> None:
    shift, novelty = LEARNT.at(np.array([[50.0, 50.0]]))

    assert shift[0] == 0.0
    assert novelty[0] == 1.0


def test_nothing_learnt_changes_nothing() -> None:
    shift, novelty = NOTHING_LEARNT.at(np.ones((3, 7)))

    assert np.all(shift == 0)
    assert np.all(novelty == 1)


def test_its_json_form_gives_it_back() -> None:
    again = Residual.from_json(LEARNT.to_json())

    assert again.points == pytest.approx(LEARNT.points)
    assert again.pull == pytest.approx(LEARNT.pull)
