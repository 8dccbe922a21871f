"""Wrong scenarios and the reports that people get for them. The wording is part of the product."""

from pathlib import Path

import pytest

from irongrid.errors import SpecError
from irongrid.spec import load_scenario

BAD = Path(__file__).parent / "bad_scenarios"
FILES = sorted(BAD.glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_wrong_scenario_gets_exactly_its_report(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(BAD)

    with pytest.raises(SpecError) as caught:
        load_scenario(path.name)

    assert f"{caught.value}\n" == path.with_suffix(".txt").read_text()


def test_the_corpus_is_complete() -> None:
    assert len(FILES) >= 30
    assert {path.stem for path in BAD.glob("*.txt")} == {path.stem for path in FILES}
