"""The published schema of fleets says what the parser does, and the page has every field."""

import re
from pathlib import Path

import jsonschema_rs
import pytest

from irongrid.domain.fleet import Accelerator
from irongrid.spec import fleet_schema
from irongrid.spec.catalog import accelerator, accelerator_names, usual_node
from irongrid.spec.fleet import parse_fleet_text
from irongrid.spec.fleet_fields import GRAMMAR
from irongrid.spec.links import link_classes
from irongrid.spec.sections import ANY
from irongrid.spec.yaml_text import read_yaml

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/reference/fleet-file.md"
EXAMPLES = sorted((ROOT / "examples/fleets").glob("*.yaml"))
BAD = sorted((Path(__file__).parent / "bad_fleets").glob("*.yaml"))
SCHEMA = jsonschema_rs.validator_for(fleet_schema())

# About several fields taken together, about the catalog, or about a rate's size.
BEYOND_A_SCHEMA = {
    "device-idle-above-peak",
    "island-does-not-fit",
    "island-not-whole",
    "island-without-link",
    "leaf-splits-islands",
    "leaves-in-a-leaf-spine",
    "new-device-incomplete",
    "site-not-said",
    "site-unknown",
    "sites-not-joined",
    "too-many-devices",
    "torus-beside-tree",
    "torus-not-whole",
    "torus-of-cards",
    "torus-with-island",
    "unknown-accelerator",
    "zero-bandwidth",
}
# The same name twice is no JSON.
NOT_IN_JSON = {"twice"}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_schema_accepts_every_example(path: Path) -> None:
    assert SCHEMA.is_valid(read_yaml(path.read_text()).document)


@pytest.mark.parametrize(
    "path", [path for path in BAD if path.stem not in NOT_IN_JSON], ids=lambda path: path.stem
)
def test_the_schema_refuses_what_a_schema_can(path: Path) -> None:
    document = read_yaml(path.read_text()).document

    assert SCHEMA.is_valid(document) == (path.stem in BEYOND_A_SCHEMA - {"site-not-said"})


def test_every_fleet_on_the_reference_page_is_right() -> None:
    found = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)

    assert len(found) >= 3
    for block in found:
        parse_fleet_text(block, source="page.yaml")


def test_the_reference_page_has_every_field_and_no_other() -> None:
    table = set(re.findall(r"^\| `([A-Za-z_.*]+)` \|", PAGE.read_text(), re.MULTILINE))
    fields = {
        ".".join(map(str, (*place, name)))
        for place, section in GRAMMAR.sections.items()
        for name in section.model_fields
        if (*place, name) not in GRAMMAR.sections and (*place, name, ANY) not in GRAMMAR.sections
    }

    assert table == fields


def peak(device: Accelerator, *precisions: str) -> str:
    found = [device.flops_per_s[name] for name in precisions if name in device.flops_per_s]
    return f"{found[0] / 1e12:.4g}" if found else ""


def row(name: str) -> str:
    device, usual = accelerator(name), usual_node(name)
    island = f", island {usual.island}" if usual.island > 1 else "" if usual.island else ", torus"
    link = f"{device.link_bytes_per_s / 1e9:.4g}" if device.link_bytes_per_s else ""
    cells = [
        f"{name} ~" if device.uncertain else name,
        f"{device.memory_bytes / 2**30:.4g}",
        f"{device.memory_bytes_per_s / 1e9:.4g}",
        peak(device, "fp32"),
        peak(device, "bf16", "fp16"),
        peak(device, "fp8"),
        link,
        f"{device.peak_watts:.4g}",
        f"{usual.devices} x{island}, {usual.nics} x {usual.link}",
    ]
    return f"| {' | '.join(cells)} |"


@pytest.mark.parametrize("name", accelerator_names())
def test_the_page_has_the_figures_of_the_catalog(name: str) -> None:
    assert row(name) in PAGE.read_text().splitlines()


def test_the_page_has_every_class_of_links() -> None:
    lines = PAGE.read_text().splitlines()

    for name, link in link_classes().items():
        rate = f"{link.bytes_per_s / 1e9:.4g} GB/s" if link.bytes_per_s else ""
        assert f"| {name} | {rate} | {link.latency_s * 1e6:g} us |" in lines
