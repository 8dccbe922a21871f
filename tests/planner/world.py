"""A small world for the planner's tests: devices, pools and models with round figures."""

import json
from importlib import resources
from typing import Any

import numpy as np

from irongrid.cost.coefficients import Coefficients
from irongrid.domain.fleet import Accelerator, Fleet, Level, Pool, Site
from irongrid.domain.model import Experts, ModelShape
from irongrid.domain.training import Training
from irongrid.planner.knobs import AXES
from irongrid.planner.one_pool import PoolSearch, pinned
from irongrid.planner.pricing import Pricer
from irongrid.planner.question import Question
from irongrid.planner.space import families
from irongrid.planner.table import Table, take

GIB = 2**30

A100 = Accelerator(
    name="a100-80gb",
    generation="ampere",
    memory_bytes=80 * GIB,
    memory_bytes_per_s=2.039e12,
    flops_per_s={"fp32": 19.5e12, "tf32": 156e12, "fp16": 312e12, "bf16": 312e12},
    link_bytes_per_s=300e9,
    host_bytes_per_s=25e9,
    peak_watts=400,
    idle_watts=60,
)
H100 = Accelerator(
    name="h100-sxm",
    generation="hopper",
    memory_bytes=80 * GIB,
    memory_bytes_per_s=3.35e12,
    flops_per_s={"fp32": 67e12, "tf32": 494e12, "fp16": 989e12, "bf16": 989e12, "fp8": 1979e12},
    link_bytes_per_s=450e9,
    host_bytes_per_s=50e9,
    peak_watts=700,
    idle_watts=80,
)

GPT3 = ModelShape(
    layers=96, hidden=12288, heads=96, kv_heads=96, ffn=49152, vocab=51200, gated=False,
    positions=2048,
)  # fmt: skip
SMALL = ModelShape(layers=24, hidden=2048, heads=16, kv_heads=16, ffn=8192, vocab=51200)
MIXTURE = ModelShape(
    layers=32, hidden=4096, heads=32, kv_heads=8, ffn=14336, vocab=32000, tied=False,
    experts=Experts(count=8, top_k=2, ffn=14336),
)  # fmt: skip


def coefficients() -> Coefficients:
    """The shipped ones."""
    folder = resources.files("irongrid") / "catalog"
    document: dict[str, Any] = json.loads((folder / "coefficients.json").read_text())
    document["memory"] = json.loads((folder / "memory.json").read_text())
    return Coefficients.from_json(document)


def pool(
    devices: int, accelerator: Accelerator = A100, *, name: str = "gpus", net: float = 25e9,
    node: int = 8, host_gib: int = 1024, torus: tuple[int, ...] = (), site: str = "site",
    usd: float | None = 2.0,
) -> Pool:  # fmt: skip
    """A pool of NVLink nodes under one switch."""
    return Pool(
        name=name,
        accelerator=accelerator,
        nodes=devices // node,
        devices_per_node=node,
        levels=(
            Level(name="island", devices=node, bytes_per_s=accelerator.link_bytes_per_s,
                  latency_s=2e-6, link="nvlink"),
            Level(name="site", devices=devices, bytes_per_s=net, latency_s=5e-6),
        ),
        torus=torus,
        host_memory_bytes=host_gib * GIB,
        usd_per_device_h=usd,
        node_watts=1000.0,
        site=site,
    )  # fmt: skip


def fleet(*pools: Pool) -> Fleet:
    """Pools at one site with a price for carbon."""
    sites = tuple(
        Site(name=name, pue=1.2, carbon_g_per_kwh=400.0) for name in sorted({p.site for p in pools})
    )
    return Fleet(name="test", pools=pools, sites=sites)


def question(model: ModelShape, training: Training, *pools: Pool, **more: Any) -> Question:
    """A question about these pools."""
    return Question(model=model, training=training, fleet=fleet(*pools), **more)


def everything(one: PoolSearch, sizes: tuple[int, ...]) -> Table:
    """Every candidate of a space, knobs and all: what the search must not need."""
    q = one.question
    table = pinned(families(q.model, q.training, sizes, one.space, q.ability), q)
    knobs = one.knobs
    for axis in AXES:
        table = knobs.expanded(table, axis)
    return table


def cheapest_score(pricer: Pricer, table: Table) -> float | None:
    """The best score of all candidates that fit, by pricing them all."""
    fits = take(table, pricer.fits(table, pricer.memory(table)))
    if not len(fits["tp"]):
        return None
    return float(np.min(pricer.score(fits, pricer.time(fits))))
