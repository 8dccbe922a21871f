"""The machine as nodes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from irongrid.errors import Refused
from irongrid.telemetry.machine import (
    device_type,
    discover_nodes,
    usable_cpus,
    usable_memory_bytes,
)


def test_this_machine_is_one_node() -> None:
    (node,) = discover_nodes(None)

    assert node.id == "local"
    assert node.devices >= 1
    assert 0 < node.cpus <= (os.cpu_count() or 1)
    assert 2**20 < node.memory_bytes <= usable_memory_bytes()


def test_a_layout_shares_the_memory_out_and_gives_each_device_a_cpu() -> None:
    nodes = discover_nodes("4x2")

    assert [node.id for node in nodes] == ["n0", "n1", "n2", "n3"]
    for node in nodes:
        assert (node.device_type, node.devices, node.cpus) == ("cpu", 2, 2.0)
        assert node.memory_bytes == usable_memory_bytes() // 4


@pytest.mark.parametrize("layout", ["", "4", "4x", "x2", "0x2", "4x0", "-1x2", "4x2x1", "99999x1"])
def test_what_is_no_layout_is_refused_with_an_example(layout: str) -> None:
    with pytest.raises(Refused, match="such as 4x2"):
        discover_nodes(layout)


def test_affinity_bounds_the_cpus() -> None:
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from irongrid.telemetry.machine import usable_cpus; print(usable_cpus())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert 0 < float(done.stdout) <= 1.0 <= usable_cpus() + 1


@pytest.mark.parametrize(
    ("product", "short"),
    [
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA A100-SXM4-80GB", "A100"),
        ("Tesla V100-SXM2-16GB", "V100"),
        ("NVIDIA GeForce RTX 4090", "RTX-4090"),
        ("NVIDIA RTX A6000", "RTX-A6000"),
        ("NVIDIA GH200 480GB", "GH200"),
        ("Tesla T4", "T4"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA", "gpu"),
    ],
)
def test_a_product_has_a_short_name(product: str, short: str) -> None:
    assert device_type(product) == short


FAKE_DRIVER = """
#include <string.h>
int nvmlInitWithFlags(unsigned f) { return 0; }
int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }
const char *nvmlErrorString(int r) { return "broken"; }
int nvmlDeviceGetCount_v2(unsigned *n) { *n = 4; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **d) { *d = (void *)(long)(i + 1); return 0; }
int nvmlDeviceGetName(void *d, char *name, unsigned length) {
    if ((long)d == 2) return 15;  /* NVML_ERROR_GPU_IS_LOST */
    strncpy(name, "NVIDIA H100 80GB HBM3", length);
    return 0;
}
"""


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a driver library of our own: four GPUs, the second of which is lost."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        assert os.environ.get("CI") != "true", "install gcc"
        pytest.skip("install gcc: it builds the fake GPU driver of this test")
    folder = tmp_path_factory.mktemp("driver")
    (folder / "nvml.c").write_text(FAKE_DRIVER)
    library = str(folder / "libnvidia-ml.so.1")
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-o", library, str(folder / "nvml.c")], check=True
    )
    return folder


def discovered(environment: dict[str, str]) -> str:
    code = (
        "from irongrid.telemetry.machine import discover_nodes\n"
        "node, = discover_nodes(None); print(node.device_type, node.devices)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=dict(os.environ) | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_gpus_that_answer_are_the_devices(driver: Path) -> None:
    assert discovered({"LD_LIBRARY_PATH": str(driver)}) == "H100 3"


def test_gpus_that_the_owner_hides_are_left_alone(driver: Path) -> None:
    found = {"LD_LIBRARY_PATH": str(driver)}

    assert discovered(found | {"CUDA_VISIBLE_DEVICES": "0,2"}) == "H100 2"
    assert discovered(found | {"CUDA_VISIBLE_DEVICES": "GPU-1b2c"}) == "H100 1"
    assert discovered(found | {"CUDA_VISIBLE_DEVICES": ""}).startswith("cpu ")
    assert discovered(found | {"CUDA_VISIBLE_DEVICES": "-1"}).startswith("cpu ")
