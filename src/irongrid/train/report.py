"""What a rank prints for people: a line about once a second, from rank 0 alone."""

import sys
import time
from collections.abc import Mapping

_EVERY_S = 1.0


class Report:
    """Plain lines on stdout, which becomes the rank's log."""

    def __init__(self, steps: int, speaks: bool) -> None:
        self._steps, self._speaks = steps, speaks
        self._last_s = -_EVERY_S

    def line(self, text: str) -> None:
        """Say something at once."""
        if self._speaks:
            sys.stdout.write(text + "\n")
            sys.stdout.flush()

    def step(self, step: int, figures: Mapping[str, float]) -> None:
        """Say where the run stands, not more often than about once a second."""
        now_s = time.monotonic()
        if now_s - self._last_s < _EVERY_S and step < self._steps and "eval_loss" not in figures:
            return
        self._last_s = now_s
        text = f"step {step}/{self._steps}  loss {figures['loss']:.4f}"
        if "eval_loss" in figures:
            text += f"  held-out loss {figures['eval_loss']:.4f}"
        self.line(f"{text}  {figures['tokens_per_s']:,.0f} tokens/s")
