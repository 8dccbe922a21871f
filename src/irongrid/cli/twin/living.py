"""`irongrid twin chaos`: random lives of the control plane, checked after every event."""

from irongrid.cli.screen import Screen
from irongrid.twin.chaos.run import Tally, lives, replay_command

_EVERY = 50


def live(seeds: int, first_seed: int, *, as_json: bool) -> int:
    """Live them, and say which broke a promise."""
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
