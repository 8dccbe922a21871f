"""From a person's file to jobs, with an account of every row that was left out, and why.

The file is CSV with a header, or what Slurm prints with `sacct -aXP`: the columns decide, see
`columns`. Nothing is guessed in silence: what cannot be read is left out, counted, and named by its
line.
"""

import csv
import gzip
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from irongrid.errors import Problem, SpecError
from irongrid.twin.own import columns, texts
from irongrid.twin.own.texts import Unreadable

T = TypeVar("T")
MAX_EXAMPLES = 3
_SHOWN_CHARS = 40
_RUNNING = frozenset({"running", "r", "pending", "pd", "queued", "suspended", "requeued"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A job that can be replayed; moments are seconds from the first submit of the file.

    Attributes:
        start_s: when it began in the record; None where the file does not say.
        line: of the file.
    """

    job_id: str
    submit_s: float
    start_s: float | None
    duration_s: float
    devices: int
    device_type: str
    user: str
    team: str
    state: str
    priority: str
    line: int


@dataclass(slots=True)
class Finding:
    """Rows that are wrong or odd in one way.

    Attributes:
        column: of the file's header; empty where it is about the whole row.
        lines: the first few.
        example: what the first of them holds.
        left_out: whether the rows are not among the jobs.
    """

    column: str
    problem: str
    fix: str
    left_out: bool
    count: int = 0
    lines: list[int] = field(default_factory=list)
    example: str = ""

    def add(self, line: int, example: str) -> None:
        """One more such row."""
        self.count += 1
        if len(self.lines) < MAX_EXAMPLES:
            self.lines.append(line)
        self.example = self.example or example[:_SHOWN_CHARS]


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What a file says.

    Attributes:
        headers: by column, the file's own name for it.
        ignored: headers that are no column of ours.
        rows: by submit, in the order of the file where equal.
        lines: how many rows the file has.
        began_s: the first submit by the file's own clock.
    """

    source: str
    headers: dict[str, str]
    ignored: tuple[str, ...]
    rows: tuple[Row, ...]
    findings: tuple[Finding, ...]
    lines: int
    began_s: float


def load(path: Path, tell: Callable[[int], None] = lambda _: None) -> Imported:
    """Read a trace.

    Args:
        tell: called with the number of rows so far.

    Raises:
        SpecError: the file cannot be read, lacks a column, or holds no job that can be replayed.
    """
    lines = _lines(path)
    _, headers = next(lines, (1, []))
    found = columns.matched(headers)
    if lacking := columns.missing(found):
        got = ", ".join(headers[:12]) or "nothing"
        raise SpecError(
            [
                _problem(path, 1, name, f"there is no such column; the header has {got}", fix)
                for name, fix in lacking
            ]
        )
    reading = _Reading(headers, found)
    for line, fields in lines:
        reading.row(line, fields)
        tell(reading.lines)
    if not reading.rows:
        raise SpecError(reading.problems(path))
    used = set(found.values())
    return Imported(
        source=str(path),
        headers={name: headers[at].strip() for name, at in found.items()},
        ignored=tuple(header for at, header in enumerate(headers) if at not in used),
        rows=reading.sorted_rows(),
        findings=tuple(reading.findings.values()),
        lines=reading.lines,
        began_s=reading.began_s,
    )


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line number and fields of each row, the header first; the header's separators decide."""
    opened = gzip.open if path.suffix == ".gz" else open
    number = 0
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline="") as stream:
            head = stream.readline()
            marks = {mark: head.count(mark) for mark in ",|;\t"}
            mark = max(marks, key=lambda mark: marks[mark])
            yield 1, next(csv.reader([head], delimiter=mark), [])
            reader = csv.reader(stream, delimiter=mark)
            for fields in reader:
                number = reader.line_num
                if fields:
                    yield reader.line_num + 1, fields
    except (OSError, EOFError, UnicodeDecodeError, csv.Error, zlib.error) as error:
        words = getattr(error, "strerror", None) or str(error)
        line = number + 2 if number else None
        fix = "Check the path" if isinstance(error, OSError) else "Save it as UTF-8 text"
        raise SpecError([_problem(path, line, "", f"cannot be read: {words}", fix)]) from error


def _problem(path: Path, line: int | None, name: str, problem: str, fix: str) -> Problem:
    return Problem(source=str(path), line=line, field=name, problem=problem, fix=fix)


class _Reading:
    """Rows so far, and what was wrong with the others."""

    def __init__(self, headers: Sequence[str], found: dict[str, int]) -> None:
        self._headers = headers
        self._found = found
        self.findings: dict[tuple[str, str], Finding] = {}
        self.rows: list[Row] = []
        self.lines = 0
        self._ids: dict[str, int] = {}

    @property
    def began_s(self) -> float:
        """The first submit by the file's clock."""
        return min(row.submit_s for row in self.rows)

    def sorted_rows(self) -> tuple[Row, ...]:
        """By submit, counted from the first."""
        began_s = self.began_s
        for at, row in enumerate(self.rows):
            start_s = None if row.start_s is None else row.start_s - began_s
            values = {name: getattr(row, name) for name in Row.__slots__}
            values |= {"submit_s": row.submit_s - began_s, "start_s": start_s}
            self.rows[at] = Row(**values)
        return tuple(sorted(self.rows, key=lambda row: row.submit_s))

    def problems(self, path: Path) -> list[Problem]:
        """Why there is no job at all."""
        found = [
            _problem(path, item.lines[0], item.column, f"{item.problem} ({item.count} rows)",
                     item.fix)
            for item in self.findings.values()
        ]  # fmt: skip
        return found or [
            _problem(path, 1, "", "holds no row below its header", "Name a file with jobs")
        ]

    def row(self, line: int, fields: Sequence[str]) -> None:
        """One row of the file."""
        self.lines += 1
        if len(fields) != len(self._headers):
            problem = "has more or fewer fields than the header"
            self._out(line, "", problem, "Put texts that contain the separator in quotes",
                      f"{len(fields)} fields")  # fmt: skip
            return
        values = {name: fields[at] for name, at in self._found.items()}
        if "." in values.get("job_id", "") and self._header("job_id").lower().startswith("jobid"):
            fix = "Nothing to mend; `sacct -X` leaves them out"
            self._out(line, "job_id", "is a step of another job", fix, values["job_id"])
            return
        try:
            self._job(line, values)
        except _Left as left:
            self._out(line, left.column, left.problem, left.fix, values.get(left.column, ""))

    def _job(self, line: int, values: dict[str, str]) -> None:
        state = values.get("state", "").strip()
        count, kind = _read(values, "devices", texts.devices)
        if count < 0:
            raise _Left("devices", "is below 0", "Write a whole number, 1 or more")
        if count == 0:
            raise _Left("devices", "is 0: the job held no accelerator", "Nothing to mend, if so")
        submit_s = _read(values, "submit_time", texts.moment_s)
        if submit_s is None:
            raise _Left("submit_time", "is empty", "Say when the job was handed in")
        start_s = _read(values, "start_time", texts.moment_s)
        if start_s is not None and start_s < submit_s:
            self._odd(line, "start_time", "is before the submit", "Check both clocks", values)
        duration_s = self._duration_s(line, values, state, start_s)
        self.rows.append(
            Row(
                job_id=self._id(line, values),
                submit_s=submit_s,
                start_s=start_s,
                duration_s=duration_s,
                devices=count,
                device_type=values.get("device_type", "").strip() or kind,
                user=values.get("user", "").strip(),
                team=values.get("team", "").strip(),
                state=state,
                priority=values.get("priority", "").strip(),
                line=line,
            )
        )

    def _duration_s(
        self, line: int, values: dict[str, str], state: str, start_s: float | None
    ) -> float:
        if state.lower().split(" ")[0] in _RUNNING:
            raise _Left(
                "state", "says that the job had not ended", "Write the file again when it has"
            )
        if "start_time" in self._found and start_s is None:
            raise _Left("start_time", "is empty: the job never ran", "Nothing to mend, if so")
        given_s = _read(values, "duration_s", texts.length_s)
        if given_s is None:
            end_s = _read(values, "end_time", texts.moment_s)
            if end_s is None or start_s is None:
                name = "duration_s" if "duration_s" in self._found else "end_time"
                raise _Left(name, "is empty", "Say how long it ran, or when it began and ended")
            given_s = end_s - start_s
        if given_s < 0:
            name = "duration_s" if values.get("duration_s", "").strip() else "end_time"
            raise _Left(name, "makes the run shorter than nothing", "Check the clocks")
        if given_s == 0:
            name = "duration_s" if "duration_s" in self._found else "end_time"
            self._odd(line, name, "makes a run of 0 s", "Kept; it holds nothing", values)
        return given_s

    def _id(self, line: int, values: dict[str, str]) -> str:
        given = values.get("job_id", "").strip() or f"line-{line}"
        seen = self._ids[given] = self._ids.get(given, 0) + 1
        if seen == 1:
            return given
        fix = "Kept as jobs of their own, as `ID.2`, ..."
        self._odd(line, "job_id", "names several rows", fix, values)
        return f"{given}.{seen}"

    def _header(self, name: str) -> str:
        return self._headers[self._found[name]].strip()

    def _out(self, line: int, name: str, problem: str, fix: str, example: str) -> None:
        self._note(line, name, problem, fix, example, left_out=True)

    def _odd(self, line: int, name: str, problem: str, fix: str, values: dict[str, str]) -> None:
        self._note(line, name, problem, fix, values.get(name, ""), left_out=False)

    def _note(
        self, line: int, name: str, problem: str, fix: str, example: str, *, left_out: bool
    ) -> None:
        column = self._header(name) if name in self._found else name
        key = (column, problem)
        if key not in self.findings:
            self.findings[key] = Finding(column, problem, fix, left_out)
        self.findings[key].add(line, example)


class _Left(Exception):
    """The row cannot be replayed."""

    def __init__(self, column: str, problem: str, fix: str) -> None:
        super().__init__(problem)
        self.column, self.problem, self.fix = column, problem, fix


def _read(values: dict[str, str], name: str, reader: Callable[[str], T]) -> T:
    text = values.get(name, "")
    try:
        return reader(text)
    except Unreadable as error:
        fix = "Mend the rows, or leave them out knowingly"
        raise _Left(name, str(error), fix) from None
