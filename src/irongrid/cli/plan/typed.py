"""What was typed: words checked against those that exist, and errors named by their options."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from irongrid.cli.grammar import nearest
from irongrid.domain.plan import (
    COMPRESSIONS,
    CONTEXT_KINDS,
    OFFLOAD_TIERS,
    OFFLOADS,
    PRECISIONS,
    RECOMPUTE,
    SCHEDULES,
    ZERO,
)
from irongrid.domain.runtime import RUNTIMES
from irongrid.domain.training import OPTIMIZERS
from irongrid.errors import Problem, SpecError
from irongrid.planner.exports import NAMES as EXPORTS

if TYPE_CHECKING:
    from irongrid.cli.plan.verb import Options

WORDS: Mapping[str, tuple[str, ...]] = {
    "runtime": tuple(RUNTIMES),
    "precision": PRECISIONS,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "zero": ZERO,
    "recompute": RECOMPUTE,
    "offload": OFFLOADS,
    "offload_tier": OFFLOAD_TIERS,
    "context": CONTEXT_KINDS,
    "compression": COMPRESSIONS,
    "export": EXPORTS,
}
# What values of our own are called when nobody has named a file.
UNNAMED = "<input>"


def check_words(options: "Options") -> None:
    """Refuse words that do not exist, all of them at once.

    Raises:
        SpecError: with the nearest word that does exist.
    """
    problems = []
    for name, known in WORDS.items():
        word = getattr(options, name)
        if not word or word in known:
            continue
        near = nearest(word.lower(), known)
        fix = f"did you mean {near}? " if near else ""
        fix += f"there is: {', '.join(known)}"
        problems.append(Problem(field=name, problem=f"{word[:40]!r} is not known", fix=fix))
    if options.to and not options.export:
        fix = "add --export NAME, or leave --to out"
        problems.append(Problem(field="to", problem="there is nothing to write", fix=fix))
    if problems:
        raise SpecError(problems)


@contextmanager
def as_typed() -> Iterator[None]:
    """Errors about the question name the option that was typed, not a field of ours."""
    try:
        yield
    except SpecError as error:
        raise SpecError([_by_option(problem) for problem in error.problems]) from error


def _by_option(problem: Problem) -> Problem:
    if problem.source != UNNAMED:
        return problem
    name = problem.field
    known = name.isidentifier() and name not in ("", "fleet", "model")
    field = "--" + name.replace("_", "-") if known else name
    return replace(problem, source="irongrid", field=field)
