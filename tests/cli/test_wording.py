import pytest
from hypothesis import given
from hypothesis import strategies as st

from irongrid.cli.wording import (
    BAR_CELLS,
    PARTS,
    account_lines,
    ago,
    cells,
    event_line,
    where_or_why,
)
from irongrid.domain.messages import EventRow, JobRow, TimeAccount
from irongrid.units import NS_PER_S

ROW = JobRow(
    job_id="j000001",
    name="x",
    state="queued",
    wait_code="no_free_devices",
    devices=2,
    nodes=(),
    epoch=0,
    step=0,
    steps_total=0,
    restarts=0,
    submitted_at_ns=0,
    ended_at_ns=0,
    wall_s=0.0,
)


def account(**parts: float) -> TimeAccount:
    named = {part: parts.get(part, 0.0) for part in PARTS}
    return TimeAccount(wall_s=sum(named.values()), **named)


def test_bars_share_the_cells_in_proportion() -> None:
    assert cells([1.0, 1.0, 2.0], 8) == [2, 2, 4]


def test_a_small_part_still_gets_a_cell() -> None:
    assert cells([0.001, 99.999], 10) == [1, 9]


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=8).filter(any))
def test_bars_always_add_up_to_one_full_bar(parts: list[float]) -> None:
    assert sum(cells(parts, BAR_CELLS)) == BAR_CELLS


def test_the_account_of_time_reads_as_one_bar_cut_into_its_parts() -> None:
    lines = account_lines(account(queued_s=1.0, running_s=2.0, lost_s=1.0))

    assert [(text, share) for text, _, share, _ in lines] == [
        ("queued", "25.0%"),
        ("running", "50.0%"),
        ("lost and repeated", "25.0%"),
    ]
    # 36 cells: 9, 18, 9, each bar starting where the one above ends.
    assert [(bar.count(" "), bar.count("█")) for *_, bar in lines] == [(0, 9), (9, 18), (27, 9)]


def test_a_new_job_has_an_account_without_lines() -> None:
    assert account_lines(account()) == []


@pytest.mark.parametrize(
    ("age_s", "text"), [(0.0, "0.00 s ago"), (200.0, "3m 20s ago"), (-5.0, "0.00 s ago")]
)
def test_an_age_is_never_negative(age_s: float, text: str) -> None:
    now_ns = 1_000_000 * NS_PER_S

    assert ago(int(now_ns - age_s * NS_PER_S), now_ns) == text


def test_a_waiting_job_shows_why_and_a_placed_one_where() -> None:
    from dataclasses import replace

    assert where_or_why(ROW) == "no free devices"
    assert where_or_why(replace(ROW, nodes=("n0", "n1"))) == "n0,n1"


def test_a_decision_reads_as_its_actions_with_their_reasons() -> None:
    share = {"node": "n0", "devices": [0, 1]}
    start = {"kind": "start", "job": "j000001", "placement": {"shares": [share]}, "reason": "fits"}
    body = {"decision": {"actions": [start], "policy": "p", "saw_seq": 1}}
    row = EventRow(seq=7, at_ns=0, kind="decided", version=1, job_id="", body=body)

    line = event_line(row)

    assert line.startswith("     7  ")
    assert line.endswith("start j000001 on n0: fits")
