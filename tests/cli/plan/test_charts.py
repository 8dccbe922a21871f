from irongrid.cli.plan.charts import labelled, short


def test_marks_that_lie_close_together_get_the_digits_that_tell_them_apart() -> None:
    assert labelled([0.2401, 0.2402]) == [(0.2401, "0.2401"), (0.2402, "0.2402")]


def test_marks_that_differ_at_once_stay_short() -> None:
    assert labelled([1000.0, 2500.0]) == [(1000.0, "1k"), (2500.0, "2.5k")]


def test_a_number_that_rounds_up_to_the_next_letter_takes_it() -> None:
    assert short(999_900.0) == "1M"
