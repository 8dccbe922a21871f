"""The clusters on which data sets are replayed."""

import json
from collections.abc import Mapping
from pathlib import Path

from irongrid.domain.device import Node
from irongrid.domain.ids import NodeId

# Of the traces: nodes of eight GPUs of one kind.
DEVICES_PER_NODE = 8
_CPUS, _MEMORY_BYTES = 96.0, 2**39


def pool(nodes: int, device_type: str = "gpu", devices: int = DEVICES_PER_NODE) -> tuple[Node, ...]:
    """Equal nodes."""
    width = len(str(nodes - 1))
    prefix = "n" if device_type == "gpu" else f"{device_type}-"
    return tuple(
        Node(
            id=NodeId(f"{prefix}{number:0{width}}"),
            device_type=device_type,
            devices=devices,
            cpus=_CPUS,
            memory_bytes=_MEMORY_BYTES,
        )
        for number in range(nodes)
    )


def sia_cluster(folder: Path, name: str) -> tuple[Node, ...]:
    """A cluster of the sia set by its name in `clusters.json`."""
    known = json.loads((folder / "clusters.json").read_text())
    counts: Mapping[str, int] = known["clusters"][name]
    types = known["gpu_types"]
    return tuple(
        node
        for kind in sorted(counts)
        for node in pool(counts[kind], kind, int(types[kind]["gpus_per_node"]))
    )
