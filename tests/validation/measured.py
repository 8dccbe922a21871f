"""Measured data that a test needs: absent is a loud skip, and a failure in CI."""

import os
from pathlib import Path

import pytest


def require(path: Path) -> Path:
    """The path, if it exists."""
    if not path.exists():
        message = f"{path} is missing: set IRONGRID_DATA to the folder of the data sets"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return path
