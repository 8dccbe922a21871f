from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command

from irongrid.cli.grammar import SYNONYMS, nearest, split_command
from irongrid.cli.main import app


def test_everything_after_the_dashes_is_the_command() -> None:
    argv = ["submit", "--count", "2", "--", "python", "train.py", "--json", "--", "x"]

    assert split_command(argv) == (
        ["submit", "--count", "2"],
        ("python", "train.py", "--json", "--", "x"),
    )


def test_dashes_without_a_command_are_an_empty_command() -> None:
    assert split_command(["submit", "--"]) == (["submit"], ())


@pytest.mark.parametrize("argv", [["submit", "job.yaml"], ["show", "--", "last"], []])
def test_without_a_command_the_line_stays_as_it_is(argv: list[str]) -> None:
    assert split_command(argv) == (argv, None)


def test_the_nearest_word_is_found_and_a_far_one_is_not() -> None:
    verbs = ["submit", "show", "events"]

    assert nearest("sumbit", verbs) == "submit"
    assert nearest("zebra", verbs) == ""


def test_every_synonym_leads_to_a_verb_or_an_option_that_exists() -> None:
    verbs = set(get_command(app).commands)  # type: ignore[attr-defined]

    assert {word for word in SYNONYMS.values() if not word.startswith("--")} <= verbs
    assert not verbs & set(SYNONYMS)


def test_the_verbs_are_those_of_the_design() -> None:
    verbs = set(get_command(app).commands)  # type: ignore[attr-defined]

    assert verbs == {
        *("up", "down", "drain", "undrain", "submit", "ps", "show", "why", "logs", "events"),
        *("cancel", "pause", "resume", "doctor", "demo", "schema", "plan", "twin"),
    }


def test_every_verb_takes_json_and_says_what_it_does() -> None:
    for name, command in _verbs(get_command(app)):
        options = [option for param in command.params for option in param.opts]
        assert "--json" in options, name
        assert command.help, name


def _verbs(group: Any) -> Iterator[tuple[str, Any]]:
    """Every verb, those beneath a group such as `twin` too."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _verbs(command)
        else:
            yield name, command
