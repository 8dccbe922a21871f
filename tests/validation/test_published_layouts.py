"""Published layouts: possible by our memory, no better than our own choice, and on the page."""

import pytest
from validation.published_layouts import BEGIN, END, LAYOUTS, PAGE, Published, compared, table


@pytest.mark.slow
@pytest.mark.parametrize("published", LAYOUTS, ids=lambda published: published.name)
def test_a_published_layout_fits_and_our_choice_is_at_least_as_fast(published: Published) -> None:
    row = compared(published)

    assert row.theirs is not None
    assert {name: getattr(row.theirs.plan, name) for name in published.pins} == dict(published.pins)
    assert row.ours.step_time_s <= row.theirs.step_time_s * (1 + 1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["GPT-3 175B, Megatron 2022"])
def test_a_layout_of_todays_software_takes_about_as_long_as_published(name: str) -> None:
    (published,) = [layout for layout in LAYOUTS if layout.name == name]

    row = compared(published)

    assert row.theirs is not None
    assert published.step_time_s is not None
    assert row.theirs.step_time_s == pytest.approx(published.step_time_s, rel=0.2)


def test_the_page_has_a_row_for_every_layout() -> None:
    inside = PAGE.read_text().split(BEGIN)[1].split(END)[0]
    names = [line.split("|")[1].strip() for line in inside.splitlines() if line.startswith("|")]

    assert names[2:] == [published.name for published in LAYOUTS]


def test_a_table_has_a_head_and_its_rule() -> None:
    assert table([]).count("\n") == 1
