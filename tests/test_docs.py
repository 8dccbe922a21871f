"""README and docs are true: their commands run, their files parse, their links lead somewhere.

The word after a fence's language says what to do with the block: `sh run` and `python run` are run
as they stand, in order, against a real server; `yaml job` is a whole job file; the rest is looked
at only.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.main import get_command

from irongrid.cli.main import app
from irongrid.spec import load_job_text

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
PAGES.append(ROOT / "AGENTS.md")
VERBS = get_command(app).commands  # type: ignore[attr-defined]
_FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
SHELL_KINDS = ("sh run", "sh no-run")
# Ten times what the longest takes on two cores of its own.
SCRIPT_S = 600.0


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    tag: str
    text: str

    @property
    def name(self) -> str:
        return (
            f"{self.page.relative_to(ROOT)}:{self.text.splitlines()[0][:40] if self.text else ''}"
        )


def blocks() -> Iterator[Block]:
    for page in PAGES:
        for tag, text in _FENCE.findall(page.read_text()):
            yield Block(page, tag.strip(), text)


BLOCKS = list(blocks())
RUNNABLE = sorted({block.page for block in BLOCKS if block.tag == "sh run"})
# What a newcomer reads first is run by every `make test`; the other pages by `make test-slow`.
FIRST_PAGES = (ROOT / "README.md", ROOT / "docs" / "start-here.md")


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of somebody who has just installed Irongrid and has an empty home."""
    home = tmp_path_factory.mktemp("newcomer")
    env = {name: value for name, value in os.environ.items() if name != "IRONGRID_HOME"}
    env |= {
        "HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "COLUMNS": "80",
    }
    yield env
    subprocess.run(
        ["irongrid", "down", "--stop-jobs"],
        env=env,
        check=True,
        capture_output=True,
        timeout=SCRIPT_S,
    )


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=() if page in FIRST_PAGES else pytest.mark.slow)
        for page in RUNNABLE
    ],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_the_commands_of_a_page_run_as_they_stand(page: Path, newcomer: dict[str, str]) -> None:
    script = "\n".join(
        block.text for block in BLOCKS if (block.page, block.tag) == (page, "sh run")
    )
    up = "irongrid up --detach --nodes 2x2 >/dev/null\n"
    if "irongrid up" in script:
        up = ""

    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", up + script],
        cwd=ROOT,
        env=newcomer,
        capture_output=True,
        text=True,
        timeout=SCRIPT_S,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "block", [block for block in BLOCKS if block.tag == "python run"], ids=lambda block: block.name
)
def test_the_python_of_a_page_runs_as_it_stands(block: Block, newcomer: dict[str, str]) -> None:
    subprocess.run(["irongrid", "up", "--detach"], env=newcomer, check=True, capture_output=True)

    done = subprocess.run(
        [sys.executable, "-c", block.text],
        cwd=ROOT,
        env=newcomer,
        capture_output=True,
        text=True,
        timeout=SCRIPT_S,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip(), "an example shows something"
    if "hello" in block.text:
        assert done.stdout == "hello\n"


@pytest.mark.parametrize(
    "block", [block for block in BLOCKS if block.tag == "yaml job"], ids=lambda block: block.name
)
def test_a_job_file_of_a_page_is_accepted(block: Block) -> None:
    loaded = load_job_text(block.text, source="job.yaml", folder="/tmp")

    assert loaded.parsed.spec.name


@pytest.mark.parametrize(
    "block", [block for block in BLOCKS if block.tag.startswith("sh")], ids=lambda block: block.name
)
def test_verbs_and_options_of_a_page_exist(block: Block) -> None:
    for line in block.text.splitlines():
        if not line.strip().startswith("irongrid "):
            continue
        words = shlex.split(line, comments=True)[1:]
        words = words[: words.index("--")] if "--" in words else words
        verb, *rest = words
        assert verb in VERBS, line
        command = VERBS[verb]
        if hasattr(command, "commands"):
            assert rest[0] in command.commands, line
            command = command.commands[rest[0]]
        known = {option for param in command.params for option in param.opts}
        assert {word for word in rest if word.startswith("-") and len(word) > 1} <= known, line


def test_the_reference_names_every_verb_and_option() -> None:
    text = (ROOT / "docs" / "reference" / "cli.md").read_text()
    verbs = dict(VERBS)
    for group in ("twin",):
        verbs |= {f"{group} {word}": part for word, part in verbs.pop(group).commands.items()}
    for verb, command in verbs.items():
        assert f"irongrid {verb}" in text, verb
        for param in command.params:
            options = [option for option in param.opts if option.startswith("-")]
            is_said = any(option in text for option in options)
            assert not options or is_said, f"{verb} {options}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_that_exist(page: Path) -> None:
    for link in _LINK.findall(page.read_text()):
        if "://" not in link:
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_the_page_for_agents_is_short() -> None:
    assert (ROOT / "AGENTS.md").read_text().count("\n") < 80


def test_fences_are_of_a_known_kind() -> None:
    kinds = {block.tag for block in BLOCKS}

    assert kinds <= {
        "",
        "sh",
        "sh run",
        "sh no-run",
        "yaml",
        "yaml job",
        "json",
        "python run",
        "text",
    }
