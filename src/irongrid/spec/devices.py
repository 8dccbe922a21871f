"""Accelerators by name: the catalog's data sheets, and those that plug-ins bring.

The data are in `catalog/devices.json`; each figure there has a source with a date. A plug-in is an
entry point of the group `irongrid.devices` that names an `Accelerator`, or a function that returns
some.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib import metadata, resources
from typing import Any

from irongrid.domain.fleet import Accelerator
from irongrid.errors import NotFound, Refused
from irongrid.spec.links import link_classes

ENTRY_POINTS = "irongrid.devices"
_MIB = 2**20
_LONGEST = 80
# What drivers, clouds and papers put around a product's name.
_NOISE = re.compile(
    r"nvidia|tesla|geforce|quadro|amd|instinct|intel|habana|google|cloud|aws|huawei|microsoft|meta"
)
_MEMORY = re.compile(r"(?<![0-9])([0-9]{1,4})gi?b")
_FORM = re.compile(r"sxm[0-9]?|hbm[0-9]e?|oam|generation|gpu")


@dataclass(frozen=True, slots=True, kw_only=True)
class UsualNode:
    """The server in which a device usually comes: what a fleet file need not say.

    Attributes:
        island: devices that the scale-up link joins; 0 where it is a torus.
        nic_bytes_per_s: scale-out, one direction, per device.
        watts: of the node without its devices.
        link: class of the NICs.
        torus_axes, torus_devices: of the largest torus; 0 where devices form none.
    """

    devices: int
    island: int
    nics: int
    nic_bytes_per_s: float
    host_memory_bytes: int
    cpus: int
    watts: float
    link: str
    torus_axes: int = 0
    torus_devices: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a figure is from."""

    title: str
    date: str


def accelerator(name: str, memory_gb: float | None = None) -> Accelerator:
    """The device of this name, however its maker, a driver or a paper writes it.

    Args:
        memory_gb: tells variants of one name apart (A100 with 40 or 80 GB).

    Raises:
        NotFound: nobody knows it.
    """
    return _plug_ins().get(_plain(name)) or _catalog()[catalog_name(name, memory_gb)]


def accelerator_names() -> tuple[str, ...]:
    """The catalog's names, in the order of its file, then those of plug-ins."""
    return (*_catalog(), *(device.name for device in _plug_ins().values()))


def is_known(name: str) -> bool:
    """Whether `accelerator` would find it."""
    return _plain(name) in _plug_ins() or _find(name, None) is not None


def usual_node(name: str) -> UsualNode:
    """The server in which the catalog's device of this exact name usually comes."""
    data = _data()
    described = data["devices"].get(name)
    node = data["nodes"][described["node"] if described is not None else "pcie"]
    return UsualNode(
        devices=node["devices"],
        island=node["island"],
        nics=node["nics"],
        nic_bytes_per_s=_rate_of(node["link"]) * node["nics"] / node["devices"],
        host_memory_bytes=node["host_memory_gib"] * 2**30,
        cpus=node["cpus"],
        watts=float(node["watts"]),
        link=node["link"],
        torus_axes=node.get("torus_axes", 0),
        torus_devices=node.get("torus_devices", 0),
    )


def _rate_of(link: str) -> float:
    rate = link_classes()[link].bytes_per_s
    assert rate is not None, f"the NICs of usual nodes have a rate, {link} has none"
    return rate


def sources_of(name: str) -> Mapping[str, Source]:
    """Where each figure of the catalog's device of this exact name is from."""
    data = _data()
    described = data["devices"][name]
    return {
        figure: Source(
            title=data["sources"][source]["title"],
            date=data["sources"][source]["date"],
        )
        for figure in _FIGURES
        for source in (described["sources"].get(figure, described["sources"]["*"]),)
    }


_FIGURES = (
    "memory_mib", "memory_gb_per_s", "tflops", "link_gb_per_s", "host_gb_per_s", "peak_watts",
    "idle_watts",
)  # fmt: skip


def catalog_name(name: str, memory_gb: float | None = None) -> str:
    """The catalog's own name for a device.

    Raises:
        NotFound: the catalog does not have it.
    """
    found = _find(name, memory_gb)
    if found is not None:
        return found
    near = nearest_name(name)
    fix = f"did you mean {near}? " if near else ""
    fix += "A fleet file can describe any device by its numbers"
    raise NotFound("unknown_device", f"there is no device {name[:_LONGEST]!r} in the catalog", fix)


def nearest_name(name: str) -> str | None:
    """The device of the catalog that a misspelt name seems to mean."""
    near = get_close_matches(_plain(name), _aliases(), n=1)
    return _aliases()[near[0]][0] if near else None


def _find(name: str, memory_gb: float | None) -> str | None:
    """Exact spellings first, then without memory, then without the form factor."""
    aliases = _aliases()
    whole = _plain(name)
    if memory_gb is None and whole in aliases:
        return aliases[whole][0]
    size = _MEMORY.search(_spaced(name))
    if memory_gb is None and size is not None:
        memory_gb = float(size[1])
    for text in (whole, _plain(_MEMORY.sub(" ", _spaced(name)))):
        for spelling in (text, _plain(_FORM.sub(" ", text))):
            if spelling in aliases:
                return _nearest(aliases[spelling], memory_gb)
    return None


def _nearest(names: list[str], memory_gb: float | None) -> str:
    if memory_gb is None:
        return names[0]
    wanted = memory_gb * 1e9
    return min(names, key=lambda name: abs(_catalog()[name].memory_bytes - wanted))


def _spaced(name: str) -> str:
    return _NOISE.sub(" ", name[:_LONGEST].lower())


def _plain(name: str) -> str:
    """A name as the table of aliases has it: letters and digits."""
    return re.sub(r"[^a-z0-9]", "", _spaced(name))


@cache
def _data() -> Any:
    text = resources.files("irongrid").joinpath("catalog/devices.json").read_text("utf-8")
    return json.loads(text)


@cache
def _catalog() -> dict[str, Accelerator]:
    return {name: _accelerator(name, entry) for name, entry in _data()["devices"].items()}


@cache
def _aliases() -> dict[str, list[str]]:
    """Devices by every spelling, the likeliest first."""
    found: dict[str, list[str]] = {}
    for name, entry in _data()["devices"].items():
        for spelling in dict.fromkeys(_plain(alias) for alias in (name, *entry["aliases"])):
            found.setdefault(spelling, []).append(name)
    return found


def _accelerator(name: str, entry: Mapping[str, Any]) -> Accelerator:
    guessed = {
        figure
        for figure in _FIGURES
        if entry["sources"].get(figure, entry["sources"]["*"]) == "estimate"
    }
    return Accelerator(
        name=name,
        generation=entry["generation"],
        memory_bytes=entry["memory_mib"] * _MIB,
        memory_bytes_per_s=entry["memory_gb_per_s"] * 1e9,
        flops_per_s={precision: peak * 1e12 for precision, peak in entry["tflops"].items()},
        link_bytes_per_s=entry["link_gb_per_s"] * 1e9,
        host_bytes_per_s=entry["host_gb_per_s"] * 1e9,
        peak_watts=float(entry["peak_watts"]),
        idle_watts=float(entry["idle_watts"]),
        power_exponent=entry.get("power_exponent", 1.0),
        host=entry.get("host", "x86"),
        uncertain=entry.get("uncertain", False) or bool(guessed - {"idle_watts", "host_gb_per_s"}),
    )


@cache
def _plug_ins() -> dict[str, Accelerator]:
    """Devices of installed plug-ins by their plain name. One that is broken says so at once."""
    found: dict[str, Accelerator] = {}
    for entry in metadata.entry_points(group=ENTRY_POINTS):
        loaded = entry.load()
        brought = loaded() if callable(loaded) else loaded
        devices: Iterable[Any] = [brought] if isinstance(brought, Accelerator) else brought
        for device in devices:
            if not isinstance(device, Accelerator):
                raise Refused(
                    "bad_plug_in",
                    f"the plug-in {entry.value} brings {type(device).__name__}, no Accelerator",
                    "Repair or remove the package that has it",
                )
            found[_plain(device.name)] = device
    return found
