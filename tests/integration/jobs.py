"""Jobs for these tests: a model small enough for steps of some milliseconds, and commands."""

import asyncio
from pathlib import Path
from typing import Any

# Two ranks on two idle cores take about 10 ms for a step, so that a run lasts some seconds, and a
# test that has to wait for a core still meets it.
STEPS = 160
SAVE_EVERY = 10
# In the middle, with some checkpoints behind it.
KILL_AT_STEP = 45
# Half a megabyte of text that every machine has.
TEXT = str(Path(asyncio.__file__).parent / "*.py")


def training(
    *, steps: int = STEPS, count: int | str = 2, every: int = SAVE_EVERY, **more: Any
) -> dict[str, Any]:
    """A training job; `more` are fields of the job file."""
    return {
        "name": "tiny",
        "workdir": "/",
        "train": {
            "model": {
                "layers": 2,
                "hidden": 64,
                "heads": 4,
                "kv_heads": 2,
                "ffn": 128,
                "vocab": 512,
                "tied": True,
            },
            "data": {"path": TEXT},
            "global_batch": 8,
            "seq_len": 64,
            "steps": steps,
            "learning_rate": 0.003,
        },
        "resources": {"count": count},
        "checkpoint": {"every": every},
    } | more


def command(text: str, *, count: int = 1, **more: Any) -> dict[str, Any]:
    """A job that runs a shell command."""
    return {"name": "cmd", "workdir": "/", "run": text, "resources": {"count": count}} | more
