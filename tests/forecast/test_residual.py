"""Gittins indexes of groups whose ends can be counted by hand."""

import pytest

from irongrid.forecast.residual import LEVELS_S, Residual, level_of


def taught(*rows: tuple[str, int, float, int]) -> Residual:
    """After (group, ranks, duration_s) has been seen so many times."""
    residual = Residual()
    for group, ranks, duration_s, times in rows:
        for _ in range(times):
            residual.learn(group, ranks, duration_s)
    return residual


def test_levels_double() -> None:
    assert LEVELS_S[:4] == (0, 30, 60, 120)
    assert [level_of(at_s) for at_s in (0, 29.9, 30, 119, 120, 1e9)] == [0, 0, 1, 2, 3, 18]


def test_before_any_job_an_index_follows_from_the_tail_alone() -> None:
    # 0.4 end in the first 30 s, after 15 s; 0.6 use all of it: (0.4 * 15 + 0.6 * 30) / 0.4.
    assert Residual().index_s("a", 1, 0) == pytest.approx(60)


def test_an_index_grows_with_the_service_of_a_job_that_nobody_knows() -> None:
    indexes_s = [Residual().index_s("a", 1, level) for level in range(len(LEVELS_S))]

    assert indexes_s == sorted(indexes_s)
    assert len(set(indexes_s[1:])) == len(indexes_s) - 1


def test_a_group_of_short_jobs_goes_before_one_of_long_jobs() -> None:
    residual = taught(("short", 1, 10, 50), ("long", 8, 50_000, 50))

    # Nearly all of the short ones end in the first level, after 15 s on average.
    assert 15 < residual.index_s("short", 1, 0) < 20
    assert residual.index_s("long", 8, 0) > 5_000


def test_a_job_that_is_about_to_end_has_a_smaller_index_than_when_it_began() -> None:
    residual = taught(("a", 1, 1_000, 50))
    begun, about_to_end = level_of(0), level_of(960)

    # The level from 960 s lasts as long again: those who end in it do so after 480 s.
    assert residual.index_s("a", 1, about_to_end) < residual.index_s("a", 1, begun)
    assert residual.index_s("a", 1, about_to_end) == pytest.approx(480, rel=0.2)


def test_what_has_outlived_its_kind_has_a_large_index() -> None:
    residual = taught(("a", 1, 10, 50))

    assert residual.index_s("a", 1, level_of(5_000)) > 100 * residual.index_s("a", 1, 0)


def test_a_new_group_is_judged_by_jobs_of_its_size() -> None:
    residual = taught(("a", 1, 10, 50), ("b", 8, 50_000, 50))

    assert residual.index_s("new", 1, 0) < 20
    assert residual.index_s("new", 8, 0) > 1_000


def test_the_last_jobs_of_a_group_count_more_than_those_before() -> None:
    residual = taught(("a", 1, 50_000, 50))
    before_s = residual.index_s("a", 1, 0)
    for _ in range(5):
        residual.learn("a", 1, 10)

    # 5 of about 20 that count: (0.23 * 15 + 0.77 * 30) / 0.23, not (0.09 * 15 + 0.91 * 30) / 0.09.
    assert before_s > 10_000
    assert residual.index_s("a", 1, 0) == pytest.approx(107, rel=0.2)


def test_news_of_another_size_does_not_move_what_is_known_of_a_group() -> None:
    residual = taught(("a", 1, 10, 50))
    before_s = residual.index_s("a", 1, 0)
    residual.learn("b", 8, 50_000)

    assert residual.index_s("a", 1, 0) == before_s
