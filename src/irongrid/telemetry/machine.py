"""What this machine offers to jobs: GPUs that NVML names, else CPU slots, and host memory."""

import os
import re
from collections import Counter

from irongrid.domain.device import Node
from irongrid.domain.ids import NodeId
from irongrid.errors import Refused
from irongrid.telemetry import cgroup

_LAYOUT = re.compile(r"([1-9][0-9]{0,3})x([1-9][0-9]{0,3})")
_VENDOR_WORDS = frozenset({"nvidia", "tesla", "geforce", "quadro", "graphics", "device"})


def usable_cpus() -> float:
    """CPU cores that this process may use: its affinity, or less where a cgroup says so."""
    cores = float(len(os.sched_getaffinity(0)))
    quota = cgroup.cpu_quota()
    return cores if quota is None else min(cores, quota)


def usable_memory_bytes() -> int:
    """Host memory that this process may use: the machine's, or less where a cgroup says so."""
    total_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit_bytes = cgroup.memory_limit_bytes()
    return total_bytes if limit_bytes is None else min(total_bytes, limit_bytes)


def gpu_names() -> tuple[str, ...]:
    """Product names of the NVIDIA GPUs that this process may use; none without a driver."""
    try:
        import pynvml
    except ImportError:
        return ()
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return ()
    try:
        names = [name for name in map(_gpu_name, range(pynvml.nvmlDeviceGetCount())) if name]
    finally:
        pynvml.nvmlShutdown()
    return _visible(tuple(names), os.environ.get("CUDA_VISIBLE_DEVICES"))


def _gpu_name(index: int) -> str:
    """The product name; empty for a GPU that does not answer, which CUDA leaves out as well."""
    import pynvml

    try:
        name = pynvml.nvmlDeviceGetName(pynvml.nvmlDeviceGetHandleByIndex(index))
    except pynvml.NVMLError:
        return ""
    return name.decode() if isinstance(name, bytes) else str(name)


def device_type(product: str) -> str:
    """The short name of a product: `H100` for `NVIDIA H100 80GB HBM3`."""
    words = [word for word in product.split() if word.lower() not in _VENDOR_WORDS]
    if not words:
        return "gpu"
    if words[0] == "RTX" and len(words) > 1:
        return f"RTX-{words[1]}"
    return words[0].partition("-")[0]


def discover_nodes(layout: str | None) -> tuple[Node, ...]:
    """The machine as nodes: one named `local`, or as many as a layout such as `4x2` asks for.

    A layout of N nodes of D CPU devices is for trying out a cluster on one machine: its memory is
    shared out, its CPUs are as many as the devices, whether or not the machine has them.

    Raises:
        Refused: the layout cannot be read.
    """
    memory_bytes = usable_memory_bytes()
    if layout is not None:
        match = _LAYOUT.fullmatch(layout)
        if match is None:
            problem = f"{layout!r} is no layout of nodes"
            raise Refused("bad_layout", problem, "Write NODESxDEVICES, such as 4x2")
        count, devices = int(match[1]), int(match[2])
        return tuple(
            _node(f"n{index}", "cpu", devices, float(devices), memory_bytes // count)
            for index in range(count)
        )
    cpus = usable_cpus()
    types = Counter(device_type(name) for name in gpu_names())
    if types:
        # A node has one type of device; on a mixed machine the most common one takes part.
        kind, devices = types.most_common(1)[0]
        return (_node("local", kind, devices, cpus, memory_bytes),)
    return (_node("local", "cpu", max(1, int(cpus)), cpus, memory_bytes),)


def _node(name: str, kind: str, devices: int, cpus: float, memory_bytes: int) -> Node:
    return Node(
        id=NodeId(name), device_type=kind, devices=devices, cpus=cpus, memory_bytes=memory_bytes
    )


def _visible(names: tuple[str, ...], visible: str | None) -> tuple[str, ...]:
    """The GPUs that CUDA_VISIBLE_DEVICES leaves; CUDA itself stops at the first index it lacks."""
    if visible is None or not names:
        return names
    chosen = []
    for word in visible.split(","):
        named = word.strip()
        if named.startswith(("GPU-", "MIG-")):
            chosen.append(names[0])  # By UUID; a node's GPUs are of one type.
        elif named.isdecimal() and int(named) < len(names):
            chosen.append(names[int(named)])
        else:
            break
    return tuple(chosen)
