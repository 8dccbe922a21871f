"""Examples and the reference page hold what the parser honours."""

import re
from pathlib import Path

import pytest

from irongrid.domain.job import RunTask
from irongrid.domain.model import PRESETS
from irongrid.spec import load_job_file, parse_job_text
from irongrid.spec.fields import NOT_YET, SECTIONS

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
PAGE = ROOT / "docs/reference/job-file.md"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_a_right_job_called_after_its_file(path: Path) -> None:
    spec = load_job_file(str(path)).parsed.spec

    assert spec.name == ("hello" if path.stem == "run-script" else path.stem)
    assert spec.workdir == str(path.parent)


def test_the_first_example_is_small_and_has_two_ranks() -> None:
    spec = load_job_file(str(ROOT / "examples/first.yaml")).parsed.spec

    assert spec.resources.sizes == (2,)
    assert not isinstance(spec.task, RunTask)
    assert spec.task.model.parameters < 3_000_000


def blocks(page: str) -> list[str]:
    return re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)


def test_every_job_on_the_reference_page_is_right() -> None:
    found = blocks(PAGE.read_text())

    assert len(found) >= 3
    for block in found:
        parse_job_text(block, source="/w/page.yaml")


def test_the_reference_page_has_every_field_and_no_other() -> None:
    table = set(re.findall(r"^\| `([A-Za-z_.]+)` \|", PAGE.read_text(), re.MULTILINE))
    fields = {
        ".".join(map(str, (*path, name)))
        for path, section in SECTIONS.items()
        for name in section.model_fields
        if (*path, name) not in SECTIONS
    }

    assert table == fields


def test_the_reference_page_names_what_is_not_supported_yet_and_every_preset() -> None:
    page = PAGE.read_text()

    for path in NOT_YET:
        assert f"`{'.'.join(map(str, path))}`" in page
    for preset in PRESETS:
        assert f"`{preset}`" in page
