"""`irongrid twin replay`: a recorded trace under a policy, and its page where one is wanted."""

from typing import Any

from irongrid.cli.failures import wrong_input
from irongrid.cli.screen import Screen
from irongrid.cli.twin.page import run_page
from irongrid.cli.twin.progress import progress
from irongrid.cli.twin.run import simulated, write_page
from irongrid.spec.catalog import load_fleet
from irongrid.twin.packs import DATASET, pack
from irongrid.twin.replay import ReplayOptions, replay_workload
from irongrid.twin.trials import Trial, on_fleet
from irongrid.twin.truth.datasets import read


def replayed(options: ReplayOptions, *, fleet: str, html: str, as_json: bool) -> int:
    """Run it, and show its figures.

    Raises:
        SpecError: bad input.
    """
    screen = Screen(as_json=as_json)
    if options.dataset == DATASET:
        return _answer(screen, packed(options, fleet=fleet, html=html))
    if options.seed is not None:
        raise wrong_input("--seed", f"leave it out: only {DATASET} has no order of its own")
    workload = read(options.dataset, options.workload)
    name = options.workload.name
    trial = Trial(name=name, workload=workload, options=options, fleet=None)
    if fleet:
        if options.nodes:
            raise wrong_input("--fleet and --nodes at once", "keep one of them")
        trial = on_fleet(trial, load_fleet(fleet))
    if html or fleet:
        run = simulated(screen, trial)
        found = run.figures
        write_page(screen, html, lambda: run_page(run))
    else:
        # Without a page or a bill nobody needs to look at who holds what, which would take time.
        with progress(screen, name, len(trial.jobs)) as observer:
            found = replay_workload(workload, options, (observer,))
    return _answer(screen, found)


def packed(options: ReplayOptions, *, fleet: str, html: str) -> dict[str, Any]:
    """The figures of a data set whose jobs never end.

    Raises:
        SpecError: bad input.
    """
    given = {
        "--fleet": fleet,
        "--html": html,
        "--nodes": options.nodes,
        "--history": options.history,
        "--knowledge": options.knowledge,
    }
    for name in (name for name, value in given.items() if value):
        raise wrong_input(f"{name} with {DATASET}", "leave it out: its rule fixes the cluster")
    return pack(
        options.workload,
        options.policy,
        seed=options.seed or 0,
        head=options.head,
        check=options.check,
    )


def _answer(screen: Screen, found: dict[str, Any]) -> int:
    for key, value in found.items():
        if key != "teams":
            screen.say(f"{key:22} {value}")
    screen.answer(found)
    return 0
