"""`irongrid twin chaos`: random lives of the control plane, checked after every event."""

from typing import Annotated

import typer

_EVERY = 50


def chaos(
    seeds: Annotated[int, typer.Option(min=1, help="How many lives.")] = 100,
    first_seed: Annotated[int, typer.Option(min=0, help="The seed of the first.")] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object on one line, the last of stdout.")
    ] = False,
) -> int:
    """Let everything fail around the real control plane, and look whether its promises hold."""
    from irongrid.cli.screen import Screen
    from irongrid.twin.chaos.run import Tally, lives, replay_command

    screen, tally = Screen(as_json=as_json), Tally(first_seed)
    for done, life in enumerate(lives(first_seed, seeds), 1):
        tally.add(life)
        if life.broken:
            screen.note(f"seed {life.seed} ({life.policy}) broke: {life.broken[0]}")
            screen.note(f"  see it again: {replay_command(life.seed)}")
        elif done % _EVERY == 0:
            screen.note(f"{done} of {seeds} seeds, {len(tally.failures)} failed")
    found = tally.summary()
    for name, value in found.items():
        screen.say(f"{name:12} {value}")
    screen.answer(found)
    return 1 if found["violations"] else 0
