"""Wrong fleets and the reports that people get for them. The wording is part of the product."""

from pathlib import Path

import pytest

from irongrid.errors import SpecError
from irongrid.spec.catalog import load_fleet

BAD = Path(__file__).parent / "bad_fleets"
FILES = sorted(BAD.glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_wrong_fleet_gets_exactly_its_report(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(BAD)

    with pytest.raises(SpecError) as caught:
        load_fleet(path.name)

    assert f"{caught.value}\n" == path.with_suffix(".txt").read_text()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_report_fits_a_terminal(path: Path) -> None:
    report = path.with_suffix(".txt").read_text()

    assert report.replace("\n", "").isprintable()
    assert max(len(line) for line in report.splitlines()) < 300


def test_the_corpus_is_complete() -> None:
    assert len(FILES) >= 40
    assert {path.stem for path in BAD.glob("*.txt")} == {path.stem for path in FILES}
