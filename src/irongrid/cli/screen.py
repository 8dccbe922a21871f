"""Where output goes. With --json stdout carries one object on its last line and nothing else."""

import json
import sys
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


class Screen:
    """A verb's two outlets: what was asked for, and everything else."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json

    @cached_property
    def out(self) -> "Console":
        """What was asked for: stdout, or stderr when stdout is kept for the object."""
        return self.err if self.as_json else _console(to_stderr=False)

    @cached_property
    def err(self) -> "Console":
        """Progress, remarks and errors."""
        return _console(to_stderr=True)

    @property
    def is_live(self) -> bool:
        """Whether a person sees progress move, so that bars may be redrawn."""
        return self.err.is_terminal

    def say(self, text: "RenderableType" = "", *, style: str | None = None) -> None:
        """Part of the answer for a person."""
        _print(self.out, text, style)

    def note(self, text: "RenderableType" = "", *, style: str | None = None) -> None:
        """A remark beside the answer."""
        _print(self.err, text, style)

    def raw(self, text: str) -> None:
        """Text of others, such as a job's output: as it is, to where the answer goes."""
        stream = sys.stderr if self.as_json else sys.stdout
        stream.flush()
        stream.buffer.write(text.encode(errors="surrogatepass"))
        stream.buffer.flush()

    def answer(self, value: dict[str, Any]) -> None:
        """The object of --json. Call it once, last."""
        if self.as_json:
            sys.stdout.write(json.dumps(value) + "\n")
            sys.stdout.flush()


def _console(*, to_stderr: bool) -> "Console":
    from rich.console import Console

    return Console(stderr=to_stderr, highlight=False, markup=False, emoji=False)


def _print(console: "Console", text: "RenderableType", style: str | None) -> None:
    # Sentences are never broken: people copy commands and paths out of them.
    console.print(text, style=style, soft_wrap=isinstance(text, str))
