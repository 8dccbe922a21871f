"""Data sets for the twin's tests: they skip where absent, and fail under CI."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from irongrid.errors import SpecError
from irongrid.twin.data import data_folder


@pytest.fixture(scope="session")
def data() -> Callable[[str], Path]:
    """The folder of a data set."""

    def folder(name: str) -> Path:
        try:
            return data_folder(name)
        except SpecError as error:
            if os.environ.get("CI") == "true":
                pytest.fail(str(error))
            pytest.skip(str(error))

    return folder
