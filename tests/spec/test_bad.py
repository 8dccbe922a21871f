"""Wrong files and the reports that people get for them. The wording is part of the product."""

from pathlib import Path

import pytest

from irongrid.errors import SpecError
from irongrid.spec import load_job_file

BAD = Path(__file__).parent / "bad"
FILES = sorted(BAD.glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_wrong_file_gets_exactly_its_report(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(BAD)

    with pytest.raises(SpecError) as caught:
        load_job_file(path.name)

    assert f"{caught.value}\n" == path.with_suffix(".txt").read_text()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_report_shows_no_secret_and_fits_a_terminal(path: Path) -> None:
    report = path.with_suffix(".txt").read_text()

    assert "canary" not in report
    assert report.replace("\n", "").isprintable()
    assert max(len(line) for line in report.splitlines()) < 300


def test_no_exception_holds_the_input_that_it_is_about(tmp_path: Path) -> None:
    # A traceback in a log prints causes and contexts too.
    file = tmp_path / "job.yaml"
    file.write_text("run: [1]\nenv: {TOKEN: canary, RANK: canary}\n")

    with pytest.raises(SpecError) as caught:
        load_job_file(str(file))

    error: BaseException | None = caught.value
    while error is not None:
        assert "canary" not in repr(error)
        error = error.__cause__ or error.__context__


def test_the_corpus_is_large_enough_and_complete() -> None:
    assert len(FILES) >= 50
    assert {path.stem for path in BAD.glob("*.txt")} == {path.stem for path in FILES}
