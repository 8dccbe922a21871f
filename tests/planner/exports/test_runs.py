"""What can run without an accelerator is run: the FSDP2 script, and the mesh in JAX."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.planner.exports.cases import TINY, Case, case, device, pool
from tests.planner.exports.conftest import write

from irongrid.planner.exports import export

pytestmark = [pytest.mark.slow]
RUN_S = 300.0
CPUS = pool(1, device("cpu", "cpu"), per_node=4)


def train(one: Case, tmp_path: Path, steps: int = 4) -> list[float]:
    """Losses of the exported script, run as its launcher runs it."""
    folder = write(export("fsdp2", one.plan, one.model, one.training, one.pool), tmp_path)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *(f"--nproc-per-node={one.plan.world_size}", "train_fsdp2.py"),
            *(f"--steps={steps}", "--lr=0.01"),
        ],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=RUN_S,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return [float(loss) for loss in re.findall(r"loss (\d+\.\d+)", done.stdout)]


@pytest.mark.parametrize(
    "one",
    [
        case(TINY, 4, 32, tp=2, grad_accum=2, micro_batch=2, precision="fp32", on=CPUS),
        case(
            TINY, 4, 32, dp_replicate=2, micro_batch=4, recompute="full", precision="bf16", on=CPUS
        ),
        case(TINY, 2, 32, zero="none", micro_batch=4, precision="fp32", on=CPUS),
    ],
    ids=["tp2 x shard2", "hsdp, recomputed, bf16", "replicated"],
)
def test_the_fsdp2_script_trains_on_cpus(one: Case, tmp_path: Path) -> None:
    losses = train(one, tmp_path)

    # Random tokens of 256 kinds start at ln 256 = 5.55; the loss is finite and of that size.
    assert len(losses) == 4
    assert losses[0] == pytest.approx(5.55, abs=0.1)
    assert all(loss < 6.5 for loss in losses)


def test_the_same_batch_gives_the_same_first_loss_however_it_is_split(tmp_path: Path) -> None:
    whole = case(TINY, 1, 32, micro_batch=4, precision="fp32", on=CPUS)
    split = case(TINY, 2, 32, tp=2, micro_batch=4, precision="fp32", on=CPUS)

    alone = train(whole, tmp_path / "alone", steps=1)
    pair = train(split, tmp_path / "pair", steps=1)

    assert pair[0] == pytest.approx(alone[0], abs=0.05)


def test_jax_lays_the_plans_mesh_and_multiplies_over_it(
    exports_python: Path, tmp_path: Path
) -> None:
    one = case(TINY, 16, 32, tp=4, cp=2, on=pool(1, device("TPU v5e", "tpu"), per_node=16))
    folder = write(export("maxtext", one.plan, one.model, one.training, one.pool), tmp_path)

    done = subprocess.run(
        [str(exports_python), "jax_mesh.py"],
        cwd=folder,
        env=os.environ
        | {
            "JAX_PLATFORMS": "cpu",
            "XLA_FLAGS": "--xla_force_host_platform_device_count=16",
        },
        capture_output=True,
        text=True,
        timeout=RUN_S,
    )

    assert done.returncode == 0, done.stderr[-4000:]
    assert "'dp_shard': 2, 'cp': 2, 'tp': 4} product of" in done.stdout
    assert "over 16 devices" in done.stdout
