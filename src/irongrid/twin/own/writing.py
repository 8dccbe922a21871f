"""A trace as a workload file: `irongrid twin replay --dataset csv` reads it back."""

import csv
import gzip
from pathlib import Path

from irongrid.errors import Problem, SpecError
from irongrid.twin.own.columns import WRITTEN
from irongrid.twin.own.importing import Imported, Row


def write(trace: Imported, path: Path) -> None:
    """Write the jobs, gzipped where the name ends in `.gz`.

    Raises:
        SpecError: the file cannot be written.
    """
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "wt", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(WRITTEN)
            writer.writerows(_fields(row) for row in trace.rows)
    except OSError as error:
        problem = f"cannot be written: {(error.strerror or str(error)).lower()}"
        where = Problem(field="", problem=problem, fix="Check the folder", source=str(path))
        raise SpecError([where]) from error


def _fields(row: Row) -> list[str]:
    return [_field(getattr(row, name)) for name in WRITTEN]


def _field(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    return "" if value is None else str(value)
