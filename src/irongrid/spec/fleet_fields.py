"""The fields of a fleet file: their names, kinds, meanings and examples.

As in a job file, a field that is not given is None. What a device usually comes with (nodes of
eight, NICs, host memory) fills the gaps, so a pool needs no more than its device and its nodes.
"""

import re
from typing import Annotated

from pydantic import Field

from irongrid.domain.fleet import GENERATIONS
from irongrid.domain.plan import PRECISIONS
from irongrid.spec import amounts, links, values
from irongrid.spec.fields import API_VERSION
from irongrid.spec.findings import shown
from irongrid.spec.sections import ANY, Grammar, Section, about, walk
from irongrid.spec.values import Kind, Wrong, wrong

MAX_NODES = 1_048_576
MAX_DEVICES = 4_194_304
TOPOLOGIES = ("flat", "leaf_spine", "fat_tree", "torus")
HOSTS = ("x86", "grace", "other")

_rate = links.rate(1e5, 1e14)
_latency = links.latency_s(1e-9, 10.0)
_size = amounts.size_bytes(2**20, 2**60)
_watts = values.number(0, 100_000)


def device_name() -> Kind:
    """A device of the catalog, or a new one's name."""
    form = r"[A-Za-z0-9][A-Za-z0-9 ._/()-]{0,63}"
    pattern = re.compile(form)

    def check(value: object) -> str:
        if isinstance(value, str) and pattern.fullmatch(value):
            return value
        fix = "Write a name such as `H100`; with a `device` section any name will do"
        raise wrong(Wrong(f"expected the name of a device, got {shown(value)}", fix))

    return Kind(check, {"type": "string", "pattern": f"^{form}$"})


def peaks() -> Kind:
    """Dense peaks by precision, in TFLOP/s; the check returns FLOP/s."""
    number = values.number(0, 1_000_000, above=True)

    def check(value: object) -> dict[str, float]:
        if not isinstance(value, dict) or not value:
            got = "an empty mapping" if value == {} else shown(value)
            raise wrong(Wrong(f"expected peaks by precision, got {got}", "Write `{bf16: 312}`"))
        parts = []
        found = {}
        for name, peak in value.items():
            if name not in PRECISIONS:
                fix = f"Known are {', '.join(PRECISIONS)}"
                parts.append(Wrong("is not a known precision", fix, (name,)))
            elif type(peak) not in (int, float) or not 0 < peak <= 1_000_000:
                problem = f"expected TFLOP/s above 0, got {shown(peak)}"
                parts.append(Wrong(problem, "Write the dense peak, without sparsity", (name,)))
            else:
                found[name] = peak * 1e12
        if parts:
            raise wrong(*parts)
        return found

    properties = {name: dict(number.schema) for name in PRECISIONS}
    return Kind(
        check,
        {
            "type": "object",
            "properties": properties,
            "additionalProperties": False,
            "minProperties": 1,
        },
    )


def sides() -> Kind:
    """The sides of a torus."""
    known = "a list of 1 to 6 whole numbers from 1 to 65536"

    def check(value: object) -> tuple[int, ...]:
        if (
            not isinstance(value, list)
            or not 1 <= len(value) <= 6
            or not all(type(side) is int and 1 <= side <= 65_536 for side in value)
        ):
            got = shown(value) if not isinstance(value, list) else "another list"
            raise wrong(Wrong(f"expected {known}, got {got}", "Write [16, 16, 8]"))
        return tuple(value)

    item = {"type": "integer", "minimum": 1, "maximum": 65_536}
    return Kind(check, {"type": "array", "minItems": 1, "maxItems": 6, "items": item})


def pair() -> Kind:
    """Two names of sites."""

    def check(value: object) -> tuple[str, str]:
        if isinstance(value, list) and len(value) == 2 and all(isinstance(v, str) for v in value):
            return value[0], value[1]
        raise wrong(Wrong(f"expected two sites, got {shown(value)}", "Write [here, there]"))

    items = {"type": "string"}
    return Kind(check, {"type": "array", "minItems": 2, "maxItems": 2, "items": items})


class Device(Section):
    """A device by its numbers, or what differs from the catalog's."""

    example = "{memory: 80GiB, memory_rate: 2TB/s, tflops: {bf16: 312}, peak_watts: 400}"

    generation: Annotated[str | None, values.choice(*GENERATIONS, called="a generation")] = about(
        "whose efficiencies to start from", "hopper"
    )
    memory: Annotated[int | None, _size] = about("its memory", "80GiB")
    memory_rate: Annotated[float | None, _rate] = about("bandwidth of its memory", "3350GB/s")
    tflops: Annotated[dict[str, float] | None, peaks()] = about(
        "dense peaks by precision, without sparsity; what is not named is not supported",
        {"bf16": 989},
    )
    link_rate: Annotated[float | None, links.rate(0, 1e14)] = about(
        "scale-up link, one direction, all links of a device; `0GB/s` is none", "450GB/s"
    )
    host_rate: Annotated[float | None, _rate] = about("to host memory, one direction", "64GB/s")
    peak_watts: Annotated[float | None, values.number(0, 100_000, above=True)] = about(
        "largest draw", 700
    )
    idle_watts: Annotated[float | None, _watts] = about("draw of an idle device", 70)
    power_exponent: Annotated[float | None, values.number(0.1, 10)] = about(
        "how the draw rises from idle to peak with load: 1 is a straight line", 1.0
    )
    host: Annotated[str | None, values.choice(*HOSTS)] = about("the CPU beside it", "x86")


class ScaleUp(Section):
    """The links inside an island."""

    example = "{link: nvlink}"

    link: Annotated[str | None, links.link_class()] = about("their class", "nvlink")
    rate: Annotated[float | None, _rate] = about(
        "one direction, all links of a device together; the device's own by default", "450GB/s"
    )
    latency: Annotated[float | None, _latency] = about("of one hop", "2us")


class Network(Section):
    """The network between nodes."""

    example = "{link: infiniband-ndr-400, topology: leaf_spine}"

    link: Annotated[str | None, links.link_class()] = about("class of a NIC", "infiniband-ndr-400")
    rate: Annotated[float | None, _rate] = about(
        "of one NIC, one direction; that of its class by default", "400Gbit/s"
    )
    latency: Annotated[float | None, _latency] = about("of one hop", "5us")
    nics: Annotated[int | None, values.whole(1, 1024)] = about(
        "NICs of a node; each is a rail of its own", 8
    )
    topology: Annotated[str | None, values.choice(*TOPOLOGIES)] = about(
        "how switches are joined; `leaf_spine` by default, `torus` where devices form one",
        "leaf_spine",
    )
    nodes_per_leaf: Annotated[int | None, values.whole(1, MAX_NODES)] = about(
        "nodes under one leaf switch, or in one rail group", 32
    )
    leaves_per_pod: Annotated[int | None, values.whole(1, 65_536)] = about(
        "leaves of a pod of a fat-tree", 12
    )
    oversubscription: Annotated[float | None, values.number(1, 1000)] = about(
        "bandwidth into the top level over what it carries", 1.0
    )
    torus: Annotated[tuple[int, ...] | None, sides()] = about(
        "sides of a torus of devices; a pool may hold several", [8, 8, 8]
    )


class Host(Section):
    """What a node has beside its devices."""

    example = "{memory: 2TiB, cpus: 112}"

    memory: Annotated[int | None, _size] = about("of a node", "2TiB")
    cpus: Annotated[int | None, values.whole(1, 65_536)] = about("cores of a node", 112)
    numa: Annotated[int | None, values.whole(1, 256)] = about("NUMA domains of a node", 2)


class Tier(Section):
    """Memory beyond the host's."""

    example = "{size: 30TB, rate: 25GB/s}"
    required = ("size", "rate")

    size: Annotated[int | None, _size] = about("of a node", "30TB")
    rate: Annotated[float | None, _rate] = about("of a node, one direction", "25GB/s")


class PoolFields(Section):
    """Nodes of one kind at one site."""

    example = "{accelerator: H100, nodes: 4}"
    required = ("accelerator", "nodes")

    accelerator: Annotated[str | None, device_name()] = about(
        "a device of the catalog, or a new one's name beside a `device` section", "H100"
    )
    device: Device = Field(default_factory=Device)
    nodes: Annotated[int | None, values.whole(1, MAX_NODES)] = about("how many", 4)
    devices_per_node: Annotated[int | None, values.whole(1, 1024)] = about(
        "of a node; as the device usually comes by default", 8
    )
    island: Annotated[int | None, values.whole(1, 1_048_576)] = about(
        "devices that the scale-up link joins: a part of a node, a node, or a rack of nodes", 8
    )
    scale_up: ScaleUp = Field(default_factory=ScaleUp)
    network: Network = Field(default_factory=Network)
    host: Host = Field(default_factory=Host)
    nvme: Tier = Field(default_factory=Tier)
    cxl: Tier = Field(default_factory=Tier)
    usd_per_device_h: Annotated[float | None, values.number(0, 100_000)] = about(
        "price of one device for an hour", 2.5
    )
    node_watts: Annotated[float | None, _watts] = about("draw of a node without its devices", 4600)
    site: Annotated[str | None, values.job_name()] = about("where it stands", "oslo")
    spot: Annotated[bool | None, values.yes_or_no()] = about(
        "whether its owner may take it back at any time", False
    )


class SiteFields(Section):
    """A building, and what its power costs."""

    example = "{pue: 1.2, carbon_g_per_kwh: 127}"

    pue: Annotated[float | None, values.number(1, 10)] = about(
        "what the building draws over what its machines draw", 1.2
    )
    carbon_g_per_kwh: Annotated[float | None, values.number(0, 5000)] = about(
        "of its electricity; unknown by default", 127
    )
    usd_per_kwh: Annotated[float | None, values.number(0, 100)] = about(
        "where energy is paid apart from the devices", 0.1
    )


class Wan(Section):
    """A link between two sites, shared by all their devices."""

    example = "{between: [oslo, iowa], rate: 100Gbit/s, latency: 50ms}"
    required = ("between", "rate", "latency")

    between: Annotated[tuple[str, str] | None, pair()] = about("two sites", ["oslo", "iowa"])
    rate: Annotated[float | None, _rate] = about("one direction", "100Gbit/s")
    latency: Annotated[float | None, _latency] = about("one way", "50ms")


class FleetFields(Section):
    """The devices that runs may use: pools of equal nodes, their networks, and their sites."""

    example = "{pools: {h100: {accelerator: H100, nodes: 4}}}"
    required = ("pools",)

    apiVersion: Annotated[str | None, values.choice(API_VERSION)] = about(  # noqa: N815
        "version of this format", API_VERSION
    )
    name: Annotated[str | None, values.job_name()] = about(
        "name for people; the name of the file by default", "h100-lab"
    )
    pools: dict[str, PoolFields] = Field(
        default_factory=dict,
        description="pools by name",
        examples=["{h100: {accelerator: H100, nodes: 4}}"],
    )
    sites: dict[str, SiteFields] = Field(
        default_factory=dict, description="sites by name", examples=["{oslo: {pue: 1.1}}"]
    )
    links: list[Wan] = Field(
        default_factory=list,
        description="links between sites",
        examples=["[{between: [oslo, iowa], rate: 100Gbit/s, latency: 50ms}]"],
    )


_POOL = ("pools", ANY)
GRAMMAR = Grammar(
    dict(walk(FleetFields)),
    {},
    {
        "gpu": (*_POOL, "accelerator"), "gpu_type": (*_POOL, "accelerator"),
        "count": (*_POOL, "nodes"), "num_nodes": (*_POOL, "nodes"),
        "gpus": (*_POOL, "devices_per_node"), "gpus_per_node": (*_POOL, "devices_per_node"),
        "devices": (*_POOL, "devices_per_node"), "nvlink_domain": (*_POOL, "island"),
        "price": (*_POOL, "usd_per_device_h"), "region": (*_POOL, "site"),
        "bandwidth": (*_POOL, "network", "rate"), "rails": (*_POOL, "network", "nics"),
        "carbon": ("sites", ANY, "carbon_g_per_kwh"), "wan": ("links",),
        "wide_links": ("links",), "cpus": (*_POOL, "host", "cpus"),
    },
)  # fmt: skip
