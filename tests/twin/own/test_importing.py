"""A person's file becomes jobs, and every row that does not is accounted for."""

import csv
import gzip
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from irongrid.errors import SpecError
from irongrid.twin.own.columns import COLUMNS
from irongrid.twin.own.figures import by_size, over_time, report
from irongrid.twin.own.importing import Imported, load
from irongrid.twin.own.writing import write
from irongrid.twin.truth.datasets import read

HEADER = "id,user,account,submit,start,end,state,gpus\n"
GOOD = "1,ann,vision,2026-03-01T08:00:00Z,2026-03-01T08:00:10Z,2026-03-01T09:00:10Z,COMPLETED,8\n"
DAY = "2026-03-01T"
SACCT = f"""JobID|User|Account|Submit|Start|End|ElapsedRaw|State|AllocTRES
101|ann|vision|{DAY}08:00:00|{DAY}08:00:10|{DAY}09:00:10|3600|COMPLETED|cpu=64,gres/gpu:h100=8,gres/gpu=8
101.batch||vision|{DAY}08:00:00|{DAY}08:00:10|{DAY}09:00:10|3600|COMPLETED|cpu=64
102|bob|nlp|{DAY}08:05:00|{DAY}08:05:10|{DAY}09:00:10|3300|CANCELLED by 1000|cpu=8,gres/gpu:h100=2
103|bob|nlp|{DAY}08:05:00|Unknown|Unknown|0|PENDING|
"""


def loaded(tmp_path: Path, text: str) -> Imported:
    path = tmp_path / "own.csv"
    path.write_text(text)
    return load(path)


def test_a_row_becomes_a_job_with_moments_from_the_first_submit(tmp_path: Path) -> None:
    later = "2,bob,nlp,2026-03-01T08:10:00Z,2026-03-01T09:00:10Z,2026-03-01T09:10:10Z,FAILED,16\n"

    trace = loaded(tmp_path, HEADER + later + GOOD)

    # By submit, not by line.
    first, second = trace.rows
    assert (first.job_id, first.submit_s, first.start_s, first.duration_s) == ("1", 0, 10, 3600)
    assert (second.job_id, second.submit_s, second.devices, second.team) == ("2", 600, 16, "nlp")
    assert second.line == 2
    assert trace.findings == ()


@pytest.mark.parametrize(
    ("row", "column", "problem"),
    [
        ("2,b,t,yesterday,,,COMPLETED,8", "submit", "is no time"),
        ("2,b,t,,2026-03-01T08:00:00Z,2026-03-01T08:00:00Z,COMPLETED,8", "submit", "is empty"),
        ("2,b,t,2026-03-01T08:00:00Z,,,CANCELLED,8", "start", "the job never ran"),
        ("2,b,t,2026-03-01T08:00:00Z,,,PENDING,8", "state", "had not ended"),
        ("2,b,t,100,200,150,COMPLETED,8", "end", "shorter than nothing"),
        ("2,b,t,100,200,300,COMPLETED,0.5", "gpus", "a fraction"),
        ("2,b,t,100,200,300,COMPLETED,0", "gpus", "held no accelerator"),
        ("2,b,t,100,200,300,COMPLETED,-1", "gpus", "below 0"),
        ("2,b,t,100,200,300,COMPLETED,many", "gpus", "no number of devices"),
        ("2,b,t,100,200,nan,COMPLETED,8", "end", "is empty"),
        ("2,b,t", "", "more or fewer fields"),
    ],
)
def test_a_row_that_cannot_be_replayed_is_left_out_with_its_line_and_a_way_out(
    tmp_path: Path, row: str, column: str, problem: str
) -> None:
    trace = loaded(tmp_path, HEADER + GOOD + row + "\n" + row + "\n")

    (finding,) = trace.findings
    assert len(trace.rows) == 1
    assert finding.column == column
    assert problem in finding.problem
    assert (finding.left_out, finding.count, finding.lines) == (True, 2, [3, 4])
    assert finding.fix


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("1,b,t,100,200,300,COMPLETED,8", "names several rows"),
        ("2,b,t,100,200,200,COMPLETED,8", "a run of 0 s"),
        ("2,b,t,300,200,400,COMPLETED,8", "before the submit"),
    ],
)
def test_an_odd_row_is_kept_and_named(tmp_path: Path, row: str, problem: str) -> None:
    trace = loaded(tmp_path, HEADER + "1,a,t,0,1,2,COMPLETED,1\n" + row + "\n")

    (finding,) = trace.findings
    assert len(trace.rows) == 2
    assert problem in finding.problem
    assert not finding.left_out
    assert len({job.job_id for job in trace.rows}) == 2


def test_what_sacct_prints_is_read_with_device_types_and_without_steps(tmp_path: Path) -> None:
    trace = loaded(tmp_path, SACCT)

    assert [(row.job_id, row.devices, row.device_type) for row in trace.rows] == [
        ("101", 8, "h100"),
        ("102", 2, "h100"),
    ]
    assert [row.duration_s for row in trace.rows] == [3600, 3300]
    assert report(trace)["left_out"] == 2


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("01:30", 90), ("1:00:00", 3600), ("2-01:00:00", 176_400)]
)
def test_a_duration_is_seconds_or_a_clock(tmp_path: Path, text: str, seconds: float) -> None:
    trace = loaded(tmp_path, f"submit_time,devices,elapsed\n5,1,{text}\n")

    assert trace.rows[0].duration_s == seconds


def test_milliseconds_since_the_epoch_are_told_by_their_size(tmp_path: Path) -> None:
    rows = "1772352000000,1,5\n1772352060000,1,5\n"

    trace = loaded(tmp_path, "submit_time,devices,duration_s\n" + rows)

    assert [row.submit_s for row in trace.rows] == [0, 60]


def test_a_missing_column_is_named_with_the_words_that_would_do(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        loaded(tmp_path, "id,submit\n1,5\n")

    fields = {problem.field: problem for problem in caught.value.problems}
    assert set(fields) == {"devices", "duration_s"}
    assert "gpus" in fields["devices"].fix
    assert "or both start_time and end_time" in fields["duration_s"].fix
    assert all(problem.line == 1 for problem in caught.value.problems)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"submit,gpus,elapsed\n", "no row below its header"),
        (b"", "no such column"),
        (b"submit,gpus,elapsed\n1,x,5\n", "is no number of devices (1 rows)"),
        (b"submit,gpus,elapsed\n\xff\xfe,1,5\n", "cannot be read"),
    ],
)
def test_a_file_without_a_single_job_is_refused(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    path = tmp_path / "own.csv"
    path.write_bytes(content)

    with pytest.raises(SpecError) as caught:
        load(path)

    assert problem in str(caught.value)


def test_the_busiest_moment_says_how_many_nodes_there_must_have_been(tmp_path: Path) -> None:
    # 8 and 16 devices overlap; the 16 of the third begin when those of the second end.
    rows = "1,a,t,0,0,100,ok,8\n2,a,t,10,50,90,ok,16\n3,a,t,20,90,95,ok,16\n"

    found = report(loaded(tmp_path, HEADER + rows))

    assert (found["busiest_devices"], found["nodes_of_8"]) == (24, 3)
    assert found["recorded_mean_wait_s"] == round((0 + 40 + 70) / 3, 3)
    assert found["device_hours"] == round((800 + 640 + 80) / 3600, 3)


def test_what_was_held_and_waited_for_is_drawn_from_the_recorded_starts(tmp_path: Path) -> None:
    trace = loaded(tmp_path, HEADER + "1,a,t,0,0,100,ok,8\n2,a,t,10,50,90,ok,16\n")

    seen = over_time(trace)

    assert seen is not None
    assert (seen.end_s, seen.bin_s, seen.node_devices) == (100, 1, (24,))
    assert [seen.held[0][at] for at in (0, 49, 50, 89, 90, 99)] == [8, 8, 24, 24, 8, 8]
    assert [seen.waiting[at] for at in (9, 10, 49, 50)] == [0, 16, 16, 0]
    assert by_size(trace) == [(8, 1, 800 / 3600, 100), (16, 1, 640 / 3600, 40)]


def test_without_starts_nothing_is_drawn_of_them(tmp_path: Path) -> None:
    assert over_time(loaded(tmp_path, "submit,gpus,elapsed\n1,1,5\n")) is None


@pytest.mark.parametrize("name", ["jobs.csv", "jobs.csv.gz"])
def test_a_written_workload_is_read_by_the_twin_and_by_another_import(
    tmp_path: Path, name: str
) -> None:
    trace = loaded(tmp_path, SACCT)
    path = tmp_path / name

    write(trace, path)

    jobs = read("csv", path).jobs
    assert [(job.key, job.submit_s, job.gpus, job.service_s) for job in jobs] == [
        ("101", 0, 8, 3600),
        ("102", 300, 2, 3300),
    ]
    assert [(job.team, job.group, job.device_type) for job in jobs] == [
        ("vision", "ann", "h100"),
        ("nlp", "bob", "h100"),
    ]
    again = load(path)
    assert [(row.job_id, row.submit_s, row.start_s) for row in again.rows] == [
        (row.job_id, row.submit_s, row.start_s) for row in trace.rows
    ]


def test_a_file_that_was_not_imported_yet_says_so(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text(SACCT)

    with pytest.raises(SpecError, match="irongrid twin import"):
        read("csv", path)


def test_the_page_has_every_column_with_the_words_that_are_read() -> None:
    page = Path(__file__).parents[3] / "docs" / "how-to" / "what-if.md"
    lines = page.read_text().splitlines()

    for column in COLUMNS:
        (line,) = (line for line in lines if line.startswith(f"| `{column.name}` |"))
        assert line.endswith(f"| {column.meaning} | {', '.join(column.words)} |")


CELLS = st.one_of(
    st.sampled_from(["", "8", "0", "-1", "1e999", "nan", "2026-03-01", "01:00:00", "gres/gpu=4"]),
    st.text(max_size=8),
)


@given(st.lists(st.lists(CELLS, min_size=7, max_size=9), min_size=1, max_size=8))
def test_every_row_of_any_table_is_a_job_or_accounted_for(table: list[list[str]]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "own.csv"
        with path.open("w", newline="", encoding="utf-8") as stream:
            stream.write(HEADER + GOOD)
            csv.writer(stream).writerows(table)
        trace = load(path)

    left = sum(finding.count for finding in trace.findings if finding.left_out)
    assert trace.lines == len(trace.rows) + left
    assert all(row.duration_s >= 0 and row.devices >= 1 for row in trace.rows)
    assert report(trace)["jobs"] == len(trace.rows)


@given(st.binary(max_size=300))
def test_bytes_without_a_header_are_refused(content: bytes) -> None:
    with TemporaryDirectory() as folder:
        for name in ("own.csv", "own.csv.gz"):
            path = Path(folder) / name
            path.write_bytes(content)
            with pytest.raises(SpecError):
                load(path)


@pytest.mark.parametrize("reader", [load, lambda path: read("csv", path)], ids=["import", "replay"])
def test_a_damaged_archive_is_refused(tmp_path: Path, reader: Callable[[Path], object]) -> None:
    path = tmp_path / "own.csv.gz"
    packed = bytearray(gzip.compress((HEADER + GOOD * 50).encode()))
    packed[30:40] = bytes(10)
    path.write_bytes(packed)

    with pytest.raises(SpecError, match="cannot be read"):
        reader(path)


def test_nodes_have_the_one_type_that_a_trace_asks_for(tmp_path: Path) -> None:
    path = tmp_path / "jobs.csv"
    write(loaded(tmp_path, SACCT), path)

    nodes = read("csv", path).fleet(2)

    assert [(node.device_type, node.devices) for node in nodes] == [("h100", 8), ("h100", 8)]


def test_a_trace_of_several_types_needs_a_fleet(tmp_path: Path) -> None:
    path = tmp_path / "jobs.csv"
    path.write_text("job_id,submit_s,devices,duration_s,device_type\n1,0,1,5,h100\n2,0,1,5,a100\n")

    with pytest.raises(SpecError, match="several types of devices: a100, h100"):
        read("csv", path).fleet(2)


def test_without_a_number_of_nodes_the_smallest_that_would_do_is_named(tmp_path: Path) -> None:
    path = tmp_path / "jobs.csv"
    path.write_text("job_id,submit_s,devices,duration_s\n1,0,20,5\n")

    with pytest.raises(SpecError, match="of 8 devices, 3 or more"):
        read("csv", path).fleet(0)
