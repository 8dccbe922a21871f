"""What every benchmark prints: its figures, the machine, and which claims hold.

With `--json`: one object on one line, the last of stdout; everything else goes to stderr.
"""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[1]


def at_most(value: float, limit: float) -> dict[str, Any]:
    """A claim that holds while the value is not above the limit."""
    return {"value": value, "limit": limit, "holds": value <= limit}


def at_least(value: float, limit: float) -> dict[str, Any]:
    """A claim that holds while the value is not below the limit."""
    return {"value": value, "limit": limit, "holds": value >= limit}


def machine() -> dict[str, Any]:
    """The machine that the figures belong to."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "cpu": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def commit() -> str:
    """The commit that was measured, with `+` if the tree has changes."""
    found = subprocess.run(
        ["git", "-C", str(ROOT), "describe", "--always", "--dirty=+", "--abbrev=12"],
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.strip() or "unknown"


def say(text: str) -> None:
    """Progress, for people: never on stdout."""
    print(text, file=sys.stderr, flush=True)


def finish(
    figures: Mapping[str, Any],
    claims: Mapping[str, dict[str, Any]],
    *,
    repeats: int,
    load: tuple[float, float, float],
    as_json: bool,
) -> int:
    """Print the result; the exit code is 0 if every claim holds, else 1.

    Args:
        load: the machine's load averages when the benchmark began.
    """
    result = {
        **figures,
        "claims": claims,
        "repeats": repeats,
        "load": list(load),
        "machine": machine(),
        "commit": commit(),
    }
    for name, claim in claims.items():
        verdict = "ok  " if claim["holds"] else "MISS"
        say(f"{verdict} {name}: {claim['value']} (limit {claim['limit']})")
    if as_json:
        print(json.dumps(result), flush=True)
    else:
        for name, value in figures.items():
            print(f"{name}: {value}")
    return 0 if all(claim["holds"] for claim in claims.values()) else 1
