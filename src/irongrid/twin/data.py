"""Where data sets lie."""

import os
from pathlib import Path

from irongrid.errors import Problem, SpecError

_BESIDE_THE_CHECKOUT = Path(__file__).parents[4] / "shared" / "data"


def data_folder(name: str) -> Path:
    """The folder of a data set below `IRONGRID_DATA`.

    Raises:
        SpecError: it is not there.
    """
    named = os.environ.get("IRONGRID_DATA", "")
    root = Path(named) if named else _BESIDE_THE_CHECKOUT
    folder = root / name
    if not folder.is_dir():
        problem = f"there is no data set {name} in {root}"
        fix = "Set IRONGRID_DATA to the folder that holds it"
        raise SpecError([Problem(field="IRONGRID_DATA", problem=problem, fix=fix)])
    return folder
