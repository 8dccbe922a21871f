"""Every data set by its name."""

from collections.abc import Callable
from pathlib import Path

from irongrid.errors import Problem, SpecError
from irongrid.twin.truth.own import own
from irongrid.twin.truth.profiled_sets import pollux, sia
from irongrid.twin.truth.tables import bad
from irongrid.twin.truth.traces import Workload, helios_venus, philly

READERS: dict[str, Callable[[Path], Workload]] = {
    "philly": philly,
    "helios-venus": helios_venus,
    "sia": sia,
    "pollux": pollux,
    "csv": own,
}


def read(dataset: str, path: Path) -> Workload:
    """A workload file of a data set.

    Raises:
        SpecError: no such data set, or the file is absent, broken or empty.
    """
    reader = READERS.get(dataset)
    if reader is None:
        problem, fix = f"there is no data set {dataset!r}", f"Use one of {', '.join(READERS)}"
        raise SpecError([Problem(field="--dataset", problem=problem, fix=fix)])
    workload = reader(path)
    if not workload.jobs:
        raise bad(path, None, "", "holds no job to replay", "Name a file with rows from second 0")
    return workload
