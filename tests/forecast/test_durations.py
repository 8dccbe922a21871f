"""Running medians of what has finished."""

from irongrid.forecast.durations import Durations


def test_before_anything_has_finished_there_is_no_forecast() -> None:
    assert Durations().predicted_s("team", 1) is None


def test_the_finest_group_that_is_known_decides() -> None:
    durations = Durations()
    for duration_s in (10.0, 30.0, 20.0):
        durations.learn("a", 1, duration_s)
    durations.learn("b", 1, 100.0)
    durations.learn("b", 8, 1000.0)

    assert durations.predicted_s("a", 1) == 20.0
    # Nobody in c has finished: all jobs of one rank count, 10, 20, 30 and 100.
    assert durations.predicted_s("c", 1) == 25.0
    # Nobody has finished with four ranks: all jobs count.
    assert durations.predicted_s("c", 4) == 30.0
