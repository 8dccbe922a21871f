"""Reading the tables of a data set: rows by name, with the file and line of what is wrong."""

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from irongrid.errors import Problem, SpecError


def rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Line number and named fields of each row of a CSV file, gzipped or not.

    Raises:
        SpecError: the file cannot be read, or lacks one of `columns`.
    """
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode()
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise bad(path, None, "", f"cannot be read: {error}", "Check the path") from error
    reader = csv.DictReader(io.StringIO(text))
    missing = [name for name in columns if name not in (reader.fieldnames or ())]
    if missing:
        problem = f"has no column {', '.join(missing)}"
        raise bad(path, 1, missing[0], problem, f"The header needs {', '.join(columns)}")
    for row in reader:
        yield reader.line_num, row


def number(path: Path, line: int, row: Mapping[str, str], column: str) -> float:
    """A finite number of a row.

    Raises:
        SpecError: the field holds none.
    """
    text = row[column]
    try:
        value = float(text)
    except (TypeError, ValueError):
        value = float("nan")
    if not -float("inf") < value < float("inf"):
        raise bad(path, line, column, f"{text!r} is not a number", "Write a finite number")
    return value


def bad(path: Path, line: int | None, field: str, problem: str, fix: str) -> SpecError:
    """The error of one place in a data file."""
    return SpecError([Problem(field=field, problem=problem, fix=fix, source=str(path), line=line)])
