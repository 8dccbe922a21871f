"""The clusters on which data sets are replayed."""

import json
from collections.abc import Mapping, Sequence
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


# Memory bandwidth by the makers' data sheets, in GB/s, as training is bound by it more often than
# by peak arithmetic: T4 320, RTX 2080 Ti 616, A100 40 GB 1555, V100 900, Quadro RTX 6000 672.
_BANDWIDTH = {"aws": 320, "rtx": 616, "dgx-ext": 1555, "dgx": 1555, "azure": 900, "quad": 672}


def relative_speeds(kinds: Sequence[str]) -> dict[str, float]:
    """How fast devices of each kind are beside each other by their data sheets; 1 if unknown."""
    known = [_BANDWIDTH[kind] for kind in kinds if kind in _BANDWIDTH]
    usual = min(known, default=1)
    return {kind: _BANDWIDTH.get(kind, usual) / usual for kind in kinds}
