"""The catalog of devices: sourced figures, and names as makers, drivers and papers write them."""

import json
import re
from importlib.metadata import EntryPoint
from importlib.resources import files
from typing import Any

import pytest

from irongrid.domain.fleet import GENERATIONS, Accelerator
from irongrid.domain.plan import PRECISIONS
from irongrid.errors import Refused
from irongrid.spec import devices
from irongrid.spec.catalog import accelerator, accelerator_names, sources_of, usual_node

WANTED = (
    "V100", "T4", "A10", "A40", "L4", "L40S", "A100-40GB", "A100-80GB", "H100 SXM", "H100 PCIe",
    "H200", "H800", "A800", "B200", "B300", "GB200", "GB300", "GH200", "MI250X", "MI300X", "MI325X",
    "Gaudi 2", "Gaudi 3", "TPU v4", "TPU v5e", "TPU v5p", "TPU v6e", "Trainium 1", "Trainium 2",
    "Ascend 910B", "RTX 2080 Ti", "RTX 3090", "RTX 4090", "RTX 6000", "Titan RTX", "cpu", "MTIA",
    "Maia",
)  # fmt: skip


@pytest.mark.parametrize("name", WANTED)
def test_a_usual_device_is_in_the_catalog(name: str) -> None:
    assert accelerator(name).name in accelerator_names()


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("A100-80GB", "A100-80GB"),
        ("a100 40 gb", "A100-40GB"),
        ("NVIDIA A100-SXM4-80GB", "A100-80GB"),
        ("NVIDIA A100-PCIE-40GB", "A100-PCIe-40GB"),
        ("NVIDIA H100 80GB HBM3", "H100-80GB"),
        ("NVIDIA H100 PCIe", "H100-PCIe-80GB"),
        ("H100-96GB-HBM2e-500W", "H100-96GB-HBM2e-500W"),
        ("NVIDIA GH200 480GB", "GH200-96GB"),
        ("GH200-96GB", "GH200-96GB"),
        ("Tesla V100-SXM2-16GB", "V100-SXM2-16GB"),
        ("NVIDIA GeForce RTX 4090", "RTX-4090"),
        ("NVIDIA B300 SXM6 AC", "B300"),
        ("AMD Instinct MI300X OAM", "MI300X"),
        ("TPUv5e", "TPUv5e"),
        ("TPU v5 lite", "TPUv5e"),
        ("trn2", "Trainium2"),
        ("Ascend910B3", "Ascend-910B"),
    ],
)
def test_a_device_is_found_as_others_write_it(written: str, name: str) -> None:
    assert accelerator(written).name == name


def test_memory_tells_variants_of_one_name_apart() -> None:
    assert accelerator("A100", memory_gb=40).name == "A100-40GB"
    assert accelerator("A100", memory_gb=80).name == "A100-80GB"
    assert accelerator("V100", memory_gb=16).name == "V100-SXM2-16GB"
    assert accelerator("RTX 6000", memory_gb=48).name == "RTX-6000-Ada"


def test_an_unknown_device_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(Refused, match="did you mean L40S") as caught:
        accelerator("L40SS")

    assert caught.value.code == "unknown_device"
    with pytest.raises(Refused, match="by its numbers"):
        accelerator("\x00" * 5000)


@pytest.mark.parametrize("name", accelerator_names())
def test_every_figure_has_a_source_with_a_date(name: str) -> None:
    for figure, source in sources_of(name).items():
        assert source.title, figure
        assert re.fullmatch(r"20[12][0-9]-[01][0-9]", source.date), figure


@pytest.mark.parametrize("name", accelerator_names())
def test_figures_are_of_a_possible_size(name: str) -> None:
    device = accelerator(name)

    assert device.name == name
    assert device.generation in GENERATIONS
    assert set(device.flops_per_s) <= set(PRECISIONS)
    peak = max(device.flops_per_s.values())
    # Between a CPU core and a rack: the slips are thousands, and sparsity's factor of two.
    assert 1e11 <= peak <= 2e16
    # Operations per byte of a balanced device: 20 for a core, under 4,000 at four bits.
    assert 10 < peak / device.memory_bytes_per_s < 4000
    assert 2**32 <= device.memory_bytes <= 300 * 2**30
    assert 0 < device.idle_watts < device.peak_watts <= 1400
    assert device.link_bytes_per_s <= 900e9
    assert 5e9 <= device.host_bytes_per_s <= 450e9


def test_narrower_numbers_are_never_slower() -> None:
    for name in accelerator_names():
        peaks = accelerator(name).flops_per_s
        for wide, narrow in (("fp32", "tf32"), ("tf32", "bf16"), ("bf16", "fp8"), ("fp8", "nvfp4")):
            if wide in peaks and narrow in peaks:
                assert peaks[wide] <= peaks[narrow], (name, wide, narrow)


@pytest.mark.parametrize("name", ["MTIA-v2", "Maia-100", "Ascend-910B", "TPUv5p", "cpu"])
def test_what_its_maker_does_not_publish_is_called_uncertain(name: str) -> None:
    assert accelerator(name).uncertain


def test_the_usual_node_of_a_rack_scale_device_has_a_larger_island() -> None:
    assert (usual_node("GB200").devices, usual_node("GB200").island) == (4, 72)
    assert (usual_node("H100-80GB").devices, usual_node("H100-80GB").island) == (8, 8)
    assert (usual_node("H100-80GB").nics, usual_node("H100-80GB").link) == (8, "infiniband-ndr-400")


MINE = Accelerator(
    name="Mine-1",
    generation="other",
    memory_bytes=2**36,
    memory_bytes_per_s=1e12,
    flops_per_s={"bf16": 1e14},
    link_bytes_per_s=0.0,
    host_bytes_per_s=32e9,
    peak_watts=300.0,
    idle_watts=30.0,
)


@pytest.fixture
def plug_in(monkeypatch: pytest.MonkeyPatch) -> Any:
    def install(brought: object) -> None:
        monkeypatch.setattr(EntryPoint, "load", lambda self: brought)
        entry = EntryPoint(name="mine", value="mine:devices", group=devices.ENTRY_POINTS)
        monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [entry])
        devices._plug_ins.cache_clear()

    yield install
    monkeypatch.undo()
    devices._plug_ins.cache_clear()


@pytest.mark.parametrize("brought", [MINE, [MINE], lambda: [MINE]])
def test_a_plug_in_brings_devices(plug_in: Any, brought: object) -> None:
    plug_in(brought)

    assert accelerator("mine 1") is MINE
    assert accelerator_names()[-1] == "Mine-1"


def test_a_plug_in_that_brings_something_else_is_refused(plug_in: Any) -> None:
    plug_in(["H100"])

    with pytest.raises(Refused, match="mine:devices"):
        accelerator("H100")


def test_a_device_has_its_share_of_the_nics_of_its_usual_node() -> None:
    # Eight of 400 Gbit/s for eight devices; four of 100 Gbit/s for eight.
    assert usual_node("H100-80GB").nic_bytes_per_s == 50e9
    assert usual_node("V100-SXM2-32GB").nic_bytes_per_s == 6.25e9
    for name in accelerator_names():
        assert usual_node(name).nic_bytes_per_s > 0


def test_every_class_of_links_has_a_source_with_a_date() -> None:
    data = json.loads(files("irongrid").joinpath("catalog/links.json").read_text("utf-8"))

    for entry in data["links"].values():
        assert re.fullmatch(r"20[12][0-9]-[01][0-9]", data["sources"][entry["source"]]["date"])
