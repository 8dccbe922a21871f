"""What may be typed: the verbs, words that people try for them, and mistakes put into words."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import typer
from typer.core import TyperGroup

from irongrid.cli.failures import YOUR_INPUT, Shown, wrong_input

# Words that other tools use. They are not verbs of ours: one word per thing.
SYNONYMS = {
    "list": "ps", "ls": "ps", "queue": "ps", "jobs": "ps", "squeue": "ps",
    "status": "show", "describe": "show", "get": "show", "inspect": "show", "info": "show",
    "search": "plan", "tune": "plan", "estimate": "plan", "parallelize": "plan", "split": "plan",
    "explain": "why", "reason": "why",
    "run": "submit", "launch": "submit", "sbatch": "submit", "apply": "submit", "create": "submit",
    "log": "logs", "tail": "logs", "event": "events", "history": "events",
    "stop": "cancel", "kill": "cancel", "delete": "cancel", "rm": "cancel", "scancel": "cancel",
    "cordon": "drain", "uncordon": "undrain", "evacuate": "drain",
    "suspend": "pause", "continue": "resume", "unpause": "resume",
    "start": "up", "serve": "up", "server": "up", "shutdown": "down",
    "check": "doctor", "help": "--help", "version": "--version",
}  # fmt: skip


class Verbs(TyperGroup):
    """The group of verbs: knows them in the order of `main`, and helps who mistypes one."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The verb that was typed, or an error that names the nearest one."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            typed = args[0]
            near = SYNONYMS.get(typed) or nearest(typed, self.commands)
            fix = f"did you mean: irongrid {near}" if near else "see the verbs: irongrid --help"
            raise wrong_input(f"there is no verb {typed!r}", fix)
        return super().resolve_command(ctx, args)


def nearest(typed: str, known: Sequence[str] | Any) -> str:
    """The known word that is most like the typed one; empty where none is close."""
    matches = get_close_matches(typed, list(known), n=1, cutoff=0.6)
    return matches[0] if matches else ""


def split_command(argv: Sequence[str]) -> tuple[list[str], tuple[str, ...] | None]:
    """Options and arguments of ours, and the command after the first `--`; None without a `--`.

    Only `submit` takes a command; for other verbs `--` keeps its usual meaning.
    """
    words = list(argv)
    verb = next((word for word in words if not word.startswith("-")), "")
    if verb != "submit" or "--" not in words:
        return words, None
    at = words.index("--")
    return words[:at], tuple(words[at + 1 :])


def explain_usage(error: typer.TyperException) -> Shown:
    """A mistake in options or arguments, in our words."""
    ctx = getattr(error, "ctx", None)
    path = ctx.command_path if ctx is not None else "irongrid"
    fix = f"see: {path} --help"
    option = getattr(error, "option_name", "")
    problem = error.format_message().replace("\n", " ").rstrip(".")
    if option and hasattr(error, "possibilities"):
        problem = f"{path} has no option {option}"
        if near := nearest(option, _options(ctx)):
            fix = f"did you mean {near}? {fix}"
    return Shown(exit_code=YOUR_INPUT, code="usage", problem=problem, fix=fix)


def _options(ctx: Any) -> list[str]:
    if ctx is None:
        return []
    return [name for param in ctx.command.params for name in param.opts if name.startswith("--")]
