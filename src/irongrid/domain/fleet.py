"""Accelerators, the links between them, and fleets of them at sites."""

from collections.abc import Mapping
from dataclasses import dataclass, field

GENERATIONS = (
    "volta", "turing", "ampere", "ada", "hopper", "blackwell", "cdna2", "cdna3", "gaudi", "tpu",
    "trainium", "ascend", "mtia", "maia", "cpu", "other",
)  # fmt: skip
LEVELS = ("island", "node", "rack", "block", "site")


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """A device's data sheet.

    Attributes:
        flops_per_s: dense peak by precision, without sparsity; a precision that is not named is
            not supported.
        link_bytes_per_s: scale-up link (NVLink, Infinity Fabric, ICI), one direction, all links of
            one device together; 0 where devices meet over PCIe only.
        host_bytes_per_s: device to host memory, one direction.
        idle_watts: drawn by an idle device whose driver is loaded.
        power_exponent: how draw rises from idle to peak with load, see `cost/energy.py`.
        host: the CPU beside it: `x86`, `grace` or `other`.
        uncertain: whether figures are estimates rather than the maker's.
    """

    name: str
    generation: str
    memory_bytes: int
    memory_bytes_per_s: float
    flops_per_s: Mapping[str, float]
    link_bytes_per_s: float
    host_bytes_per_s: float
    peak_watts: float
    idle_watts: float
    power_exponent: float = 1.0
    host: str = "x86"
    uncertain: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One level of a pool's network, from the inside out.

    Attributes:
        name: one of `LEVELS`.
        devices: devices of one group at this level.
        bytes_per_s: one direction, per device, between groups of the level below inside this
            level, before `oversubscription`.
        latency_s: of one hop at this level.
        oversubscription: how much more the devices could send than the level can carry.
        link: kind of link, for people: nvlink, pcie, infiniband, ethernet, ici, optical, ...
    """

    name: str
    devices: int
    bytes_per_s: float
    latency_s: float
    oversubscription: float = 1.0
    link: str = "infiniband"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Nodes of one kind at one site.

    Attributes:
        levels: the network, from island to site; the last one spans the pool.
        torus: sides of a torus of devices whose links have the innermost level's rate; empty where
            the network is a tree.
        rails: NICs of a node; equal ranks of different nodes meet on one rail.
        numa_domains: of a node.
        nvme_bytes_per_s, cxl_bytes_per_s: per node; 0 is none.
        usd_per_device_h: price of one device for an hour.
        node_watts: a node's draw without its devices.
    """

    name: str
    accelerator: Accelerator
    nodes: int
    devices_per_node: int
    levels: tuple[Level, ...]
    torus: tuple[int, ...] = ()
    rails: int = 8
    numa_domains: int = 2
    host_memory_bytes: int = 0
    cpus: int = 0
    nvme_bytes: int = 0
    nvme_bytes_per_s: float = 0.0
    cxl_bytes: int = 0
    cxl_bytes_per_s: float = 0.0
    usd_per_device_h: float | None = None
    node_watts: float = 0.0
    site: str = "site"
    spot: bool = False

    @property
    def devices(self) -> int:
        """All devices of the pool."""
        return self.nodes * self.devices_per_node


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A building: what its power costs.

    Attributes:
        pue: power usage effectiveness: what the building draws over what its machines draw.
        carbon_g_per_kwh: of its electricity; None is unknown.
        usd_per_kwh: where energy is paid apart from the devices' price.
    """

    name: str
    pue: float = 1.0
    carbon_g_per_kwh: float | None = None
    usd_per_kwh: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WideLink:
    """A link between two sites, shared by all their devices.

    Attributes:
        bytes_per_s: one direction.
        latency_s: one way.
    """

    sites: tuple[str, str]
    bytes_per_s: float
    latency_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """All that a run may use."""

    name: str
    pools: tuple[Pool, ...]
    sites: tuple[Site, ...] = (Site(name="site"),)
    wide_links: tuple[WideLink, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def devices(self) -> int:
        """All devices of all pools."""
        return sum(pool.devices for pool in self.pools)

    def pool(self, names: str) -> Pool:
        """The pool of this name; of several names joined by `+`, the first one's."""
        by_name = {pool.name: pool for pool in self.pools}
        return by_name.get(names) or by_name[names.partition("+")[0]]

    def all_of(self, names: str) -> tuple[Pool, ...]:
        """The pool of this name; of several names joined by `+`, all of them in that order."""
        if any(pool.name == names for pool in self.pools):
            return (self.pool(names),)
        return tuple(self.pool(name) for name in names.split("+"))

    def site(self, name: str) -> Site:
        """The site of this name."""
        return next(site for site in self.sites if site.name == name)
