"""Devices for ranks, and what holds ranks to their limits."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from irongrid.cli.doctor import Check, ok, warn

_CGROUPS = Path("/sys/fs/cgroup")
_NVIDIA_SMI_S = 10.0


def gpus() -> Iterator[Check]:
    """NVIDIA GPUs, by their own tool. None at all is fine: CPU slots are devices too."""
    nodes = sorted(Path("/dev").glob("nvidia[0-9]*"))
    tool = shutil.which("nvidia-smi")
    if not nodes and tool is None:
        yield ok("gpus", "none: jobs run on CPU slots")
        return
    if tool is None:
        yield warn("gpus", f"{len(nodes)} device files, no nvidia-smi", "install the NVIDIA driver")
        return
    try:
        listed = subprocess.run(
            [tool, "--query-gpu=name,memory.total", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=_NVIDIA_SMI_S,
        )
    except subprocess.TimeoutExpired:
        yield warn("gpus", "nvidia-smi does not answer", "the driver may hang: see dmesg")
        return
    lines = listed.stdout.strip().splitlines()
    if listed.returncode or not lines:
        text = (listed.stderr or listed.stdout).strip().splitlines()
        yield warn("gpus", text[0] if text else "nvidia-smi fails", "repair the NVIDIA driver")
    else:
        yield ok("gpus", f"{len(lines)}: {'; '.join(sorted(set(lines)))}")


def cgroups() -> Iterator[Check]:
    """Whether memory and CPU limits of ranks can be enforced by cgroups."""
    if (_CGROUPS / "cgroup.controllers").exists():
        controllers = set((_CGROUPS / "cgroup.controllers").read_text().split())
        missing = {"memory", "cpu"} - controllers
        kind, places = "v2", [_CGROUPS]
    else:
        places = [_CGROUPS / name for name in ("memory", "cpu")]
        missing = {place.name for place in places if not place.is_dir()}
        kind = "v1"
    if missing:
        yield warn(
            "cgroups",
            f"{kind} without {', '.join(sorted(missing))}",
            "limits fall back to rlimits: address space per process, no CPU share",
        )
    elif all(os.access(place, os.W_OK) for place in places):
        yield ok("cgroups", f"{kind}, writable: limits of memory and CPU are enforced")
    else:
        yield warn(
            "cgroups",
            f"{kind}, not writable by this user",
            "limits fall back to rlimits; run as root or with a delegated cgroup",
        )
