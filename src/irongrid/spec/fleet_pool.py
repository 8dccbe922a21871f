"""From a pool's fields to the domain's `Pool`: what the file leaves open, and what cannot be.

What a device usually comes with fills the gaps, scaled where nodes have more or fewer devices.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from irongrid.domain import topology
from irongrid.domain.fleet import Accelerator, Pool
from irongrid.spec.devices import UsualNode, accelerator, is_known, nearest_name, usual_node
from irongrid.spec.findings import Finding, Path, quoted
from irongrid.spec.fleet_fields import MAX_DEVICES, Device, Network, PoolFields
from irongrid.spec.links import LinkClass, link_classes

# The scale-up link of a generation, and how many nodes share a leaf in the usual building block:
# NVIDIA DGX SuperPOD reference architecture (2023-05), scalable units of 32 nodes; pods of 3,072
# devices as in arXiv:2407.21783, section 3.3.1 (2024-07).
_SCALE_UP = {
    "cdna2": "infinity-fabric", "cdna3": "infinity-fabric", "tpu": "ici", "ascend": "hccs",
    "trainium": "neuronlink", "gaudi": "scale-up-ethernet", "maia": "scale-up-ethernet",
}  # fmt: skip
_NODES_PER_LEAF = 32
_LEAVES_PER_POD = 12
_NEEDED = ("memory", "memory_rate", "tflops", "peak_watts")
_IDLE_SHARE = 0.1


def build_pool(
    name: str, fields: PoolFields, path: Path, known: frozenset[Path], site: str
) -> tuple[Pool | None, list[Finding]]:
    """The pool, or what is wrong with it; None and nothing where a required field is not there."""
    if fields.accelerator is None or fields.nodes is None:
        return None, []
    device, findings = _device(fields, path, known)
    if device is None:
        return None, findings
    draft = _Draft.of(fields, device)
    findings = list(draft.findings(path))
    return (None, findings) if findings else (draft.pool(name, site), [])


def _device(
    fields: PoolFields, path: Path, known: frozenset[Path]
) -> tuple[Accelerator | None, list[Finding]]:
    name, given = fields.accelerator or "", fields.device
    if is_known(name):
        found = accelerator(name)
        changes = _changes(given)
        return (replace(found, **changes) if changes else found), []
    if not given.model_fields_set and (*path, "device") not in known:
        near = nearest_name(name) or "H100"
        fix = f"Write a name such as `{near}`, or describe it in a `device` section"
        problem = f"{quoted(name)} is not in the catalog"
        return None, [Finding((*path, "accelerator"), problem, fix)]
    lacking = [
        Finding(
            (*path, "device", field), f"is required, as {quoted(name)} is new to us", _add(field)
        )
        for field in _NEEDED
        if not given.has(field) and (*path, "device", field) not in known
    ]
    if any(not given.has(field) for field in _NEEDED):
        return None, lacking
    return _new_device(name, given), []


def _add(field: str) -> str:
    examples = Device.model_fields[field].examples or ["..."]
    text = str(examples[0]).replace("'", "")
    return f"Add `{field}: {text}`"


def _changes(given: Device) -> dict[str, Any]:
    names = {
        "generation": "generation", "memory": "memory_bytes", "memory_rate": "memory_bytes_per_s",
        "tflops": "flops_per_s", "link_rate": "link_bytes_per_s", "host_rate": "host_bytes_per_s",
        "peak_watts": "peak_watts", "idle_watts": "idle_watts", "host": "host",
        "power_exponent": "power_exponent",
    }  # fmt: skip
    return {
        theirs: getattr(given, ours)
        for ours, theirs in names.items()
        if getattr(given, ours) is not None
    }


def _new_device(name: str, given: Device) -> Accelerator:
    """A device by its numbers; the rest is what a card in a PCIe 4 slot has."""
    assert given.peak_watts is not None, "a device without watts was refused"
    defaults: dict[str, Any] = {
        "generation": "other",
        "link_bytes_per_s": 0.0,
        "host_bytes_per_s": 32e9,
        "idle_watts": _IDLE_SHARE * given.peak_watts,
    }
    return Accelerator(name=name, uncertain=True, **(defaults | _changes(given)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    """A pool whose gaps are filled, before anybody asked whether it can be."""

    fields: PoolFields
    device: Accelerator
    usual: UsualNode
    nodes: int
    per_node: int
    island: int
    sides: tuple[int, ...]
    link_bytes_per_s: float

    @classmethod
    def of(cls, fields: PoolFields, device: Accelerator) -> "_Draft":
        usual = _usual(device)
        per_node = fields.devices_per_node or usual.devices
        nodes = fields.nodes or 1
        speed = _class_of(fields.scale_up.link).bytes_per_s
        rate = fields.scale_up.rate or speed or device.link_bytes_per_s
        network = fields.network
        return cls(
            fields=fields,
            device=device,
            usual=usual,
            nodes=nodes,
            per_node=per_node,
            island=fields.island or _island(usual, per_node, nodes * per_node, rate),
            sides=_sides(network, usual, nodes * per_node),
            link_bytes_per_s=rate,
        )

    @property
    def devices(self) -> int:
        return self.nodes * self.per_node

    def findings(self, path: Path) -> Iterator[Finding]:
        yield from self._size(path)
        yield from self._island_findings(path)
        yield from self._network_findings((*path, "network"))

    def _size(self, path: Path) -> Iterator[Finding]:
        if self.devices > MAX_DEVICES:
            problem = f"{self.nodes} nodes of {self.per_node} are {self.devices} devices"
            yield Finding((*path, "nodes"), problem, f"Use at most {MAX_DEVICES} in a pool")
        if self.device.idle_watts > self.device.peak_watts:
            problem = f"idle draw of {self.device.idle_watts:g} W is above the peak"
            fix = f"Use at most {self.device.peak_watts:g}"
            yield Finding((*path, "device", "idle_watts"), problem, fix)

    def _island_findings(self, path: Path) -> Iterator[Finding]:
        where, island = (*path, "island"), self.island
        if self.sides:
            if self.fields.island is not None:
                fix = "Remove it; a torus is one island"
                yield Finding(where, "is given for a torus", fix)
            return
        inside = self.per_node % island == 0
        around = island % self.per_node == 0
        if not inside and not around:
            problem = f"islands of {island} do not fit nodes of {self.per_node} devices"
            yield Finding(where, problem, "Use a part of a node, a node, or whole nodes")
        elif self.devices % island:
            racks = island // self.per_node
            problem = f"{self.devices} devices are not whole islands of {island}"
            yield Finding(where, problem, f"Use a multiple of {racks} nodes, or a smaller island")
        if island > 1 and not self.link_bytes_per_s:
            problem = f"{self.device.name} has no scale-up link"
            fix = "Remove it, or give the rate of its bridge in scale_up.rate"
            yield Finding(where, problem, fix)

    def _network_findings(self, path: Path) -> Iterator[Finding]:
        network, shape = self.fields.network, self._topology()
        if network.torus and shape != "torus":
            fix = "Remove it, or use `topology: torus`"
            yield Finding((*path, "torus"), f"is given beside `topology: {shape}`", fix)
        if self.sides and self.devices % prod(self.sides):
            size = prod(self.sides)
            problem = f"{self.devices} devices are not whole tori of {size}"
            yield Finding((*path, "torus"), problem, "Let the sides' product divide the devices")
        if self.sides and not self.link_bytes_per_s:
            problem = f"{self.device.name} has no links that could form a torus"
            fix = "Use another topology, or give the rate of its links in scale_up.rate"
            yield Finding((*path, "topology"), problem, fix)
        if not self.sides:
            yield from self._leaf_findings(path)
        for field, shapes in (
            ("nodes_per_leaf", ("leaf_spine", "fat_tree")),
            ("leaves_per_pod", ("fat_tree",)),
            ("oversubscription", ("leaf_spine", "fat_tree", "flat")),
        ):
            if network.has(field) and shape not in shapes:
                problem = f"means nothing in a network of topology {shape}"
                yield Finding((*path, field), problem, f"Remove it; it is for {shapes[0]}")

    def _leaf_findings(self, path: Path) -> Iterator[Finding]:
        leaf, island = self._nodes_per_leaf, self._island_nodes
        if leaf > island and leaf % island:
            problem = f"leaves of {leaf} nodes do not hold whole islands of {island} nodes"
            yield Finding((*path, "nodes_per_leaf"), problem, f"Use a multiple of {island}")

    @property
    def _island_nodes(self) -> int:
        return max(1, self.island // self.per_node)

    @property
    def _nodes_per_leaf(self) -> int:
        """As given, or about as many as usual that hold whole islands."""
        whole = max(1, _NODES_PER_LEAF // self._island_nodes) * self._island_nodes
        return self.fields.network.nodes_per_leaf or whole

    def _topology(self) -> str:
        if self.fields.network.topology:
            return self.fields.network.topology
        return "torus" if self.sides else "leaf_spine"

    def _levels(self) -> topology.Levels:
        network, devices, link = self.fields.network, self.devices, self._nic()
        if self.sides:
            return topology.torus(self.sides, devices, self._scale_up(), link)
        inside = topology.Inside(
            node_devices=self.per_node,
            island_devices=self.island,
            island=self._scale_up() if self.island > 1 else None,
            bus=topology.Link(
                name="pcie",
                bytes_per_s=self.device.host_bytes_per_s,
                latency_s=_class_of("pcie").latency_s,
            ),
        )
        over = network.oversubscription or 1.0
        leaf = self._nodes_per_leaf
        match self._topology():
            case "flat":
                return topology.flat(inside, devices, link, oversubscription=over)
            case "fat_tree":
                pod = network.leaves_per_pod or _LEAVES_PER_POD
                return topology.fat_tree(
                    inside,
                    devices,
                    link,
                    nodes_per_leaf=leaf,
                    leaves_per_pod=pod,
                    oversubscription=over,
                )
        return topology.leaf_spine(
            inside, devices, link, nodes_per_leaf=leaf, oversubscription=over
        )

    def _scale_up(self) -> topology.Link:
        given = self.fields.scale_up
        found = _class_of(given.link or _SCALE_UP.get(self.device.generation, "nvlink"))
        return topology.Link(
            name=found.kind,
            bytes_per_s=self.link_bytes_per_s,
            latency_s=given.latency or found.latency_s,
        )

    @property
    def nics(self) -> int:
        return self.fields.network.nics or self._scaled(self.usual.nics)

    def _nic(self) -> topology.Link:
        """What one device has of its node's NICs."""
        given = self.fields.network
        found = _class_of(given.link or self.usual.link)
        rate = given.rate or found.bytes_per_s or _class_of(self.usual.link).bytes_per_s
        assert rate is not None, "the NICs of usual nodes have a rate"
        return topology.Link(
            # A rate alone does not say what sort of link it is.
            name="network" if given.rate and not given.link else found.kind,
            bytes_per_s=rate * self.nics / self.per_node,
            latency_s=given.latency or found.latency_s,
        )

    def _scaled(self, usual: float) -> int:
        return max(1, round(usual * self.per_node / self.usual.devices))

    def pool(self, name: str, site: str) -> Pool:
        fields, host = self.fields, self.fields.host
        watts = fields.node_watts
        memory = host.memory or self._scaled(self.usual.host_memory_bytes)
        device = self.device
        if device.generation == "cpu" and not fields.device.has("memory"):
            # A core's memory is its share of the host's.
            device = replace(device, memory_bytes=memory // self.per_node)
        return Pool(
            name=name,
            accelerator=device,
            nodes=self.nodes,
            devices_per_node=self.per_node,
            levels=self._levels(),
            torus=self.sides,
            rails=min(self.nics, self.per_node),
            numa_domains=host.numa or min(2, self.per_node),
            host_memory_bytes=memory,
            cpus=host.cpus or self._scaled(self.usual.cpus),
            nvme_bytes=fields.nvme.size or 0,
            nvme_bytes_per_s=fields.nvme.rate or 0.0,
            cxl_bytes=fields.cxl.size or 0,
            cxl_bytes_per_s=fields.cxl.rate or 0.0,
            usd_per_device_h=fields.usd_per_device_h,
            node_watts=float(self._scaled(self.usual.watts)) if watts is None else watts,
            site=site,
            spot=bool(fields.spot),
        )


def _usual(device: Accelerator) -> UsualNode:
    """For a new device, the node of a card, or that of a module where it has scale-up links."""
    known = device.name if is_known(device.name) else ""
    if known:
        return usual_node(accelerator(known).name)
    return usual_node("H100-80GB" if device.link_bytes_per_s else "A100-PCIe-80GB")


def _class_of(name: str | None) -> LinkClass:
    return link_classes()[name or "nvlink"]


def _island(usual: UsualNode, per_node: int, devices: int, rate: float) -> int:
    """As many devices as usual, in a node or in a rack of nodes; a torus is no island of a tree."""
    if not usual.island:
        return per_node
    if not rate or usual.island == 1:
        return 1
    if usual.island > usual.devices:
        return min(usual.island, devices)
    return per_node if usual.island == usual.devices else min(usual.island, per_node)


def _sides(network: Network, usual: UsualNode, devices: int) -> tuple[int, ...]:
    """The sides of each torus; empty where the network is a tree."""
    if network.torus:
        return network.torus
    if network.topology != "torus" and (network.topology or not usual.torus_axes):
        return ()
    most = min(devices, usual.torus_devices or devices)
    size = next(n for n in range(most, 0, -1) if devices % n == 0)
    return topology.torus_sides(size, usual.torus_axes or 3)
