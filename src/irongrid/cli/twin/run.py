"""`irongrid twin run`: one scenario, run and shown."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from irongrid.cli.plan.files import write_text
from irongrid.cli.screen import Screen
from irongrid.cli.twin.page import run_page
from irongrid.cli.twin.progress import progress
from irongrid.cli.twin.table import show
from irongrid.errors import SpecError
from irongrid.spec import LoadedScenario, load_scenario
from irongrid.twin.runs import Run
from irongrid.twin.trials import Trial, run_trial, trial_of


def run(file: Path, *, check: bool, html: str, as_json: bool) -> int:
    """Run the scenario in a file.

    Raises:
        SpecError: the file, or one that it names, cannot be used.
        Refused: a job needs more than the fleet has.
    """
    screen = Screen(as_json=as_json)
    loaded = load_scenario(str(file))
    with named_by(loaded):
        done = simulated(screen, trial_of(loaded.scenario, check=check))
    show(screen, done)
    write_page(screen, html, lambda: run_page(done))
    screen.answer(answer(done))
    return 0


def write_page(screen: Screen, html: str, page: Callable[[], str]) -> None:
    """Write a page where one is wanted.

    Raises:
        SpecError: the place cannot be written to.
    """
    if html:
        write_text(Path(html), page())
        screen.note(f"the page is in {html}")


def simulated(screen: Screen, trial: Trial) -> Run:
    """Run a trial, with its progress shown."""
    with progress(screen, trial.name, len(trial.jobs)) as observer:
        return run_trial(trial, (observer,))


@contextmanager
def named_by(loaded: LoadedScenario) -> Iterator[None]:
    """Problems with what the file says name its line."""
    try:
        yield
    except SpecError as error:
        raise loaded.in_file(error) from error


def answer(run: Run) -> dict[str, Any]:
    """The object of `--json`."""
    return {"scenario": run.name, **run.figures}
