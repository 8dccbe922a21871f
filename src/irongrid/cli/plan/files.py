"""Files that a plan is written to: an export's folder, the page."""

from collections.abc import Mapping
from pathlib import Path

from irongrid.cli.failures import wrong_input


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Each text under its name in the folder, which is made where it is missing."""
    for name, text in files.items():
        write_text(folder / name, text)


def write_text(path: Path, text: str) -> None:
    """One text file.

    Raises:
        SpecError: the place cannot be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        reason = (error.strerror or "cannot be written").lower()
        raise wrong_input(f"{path}: {reason}", "name a place that you may write to") from error
