"""The plan's mesh in plain JAX: for programs that bring their own model."""

import json

from irongrid.domain.plan import ParallelPlan

_SCRIPT = '''"""The mesh of an Irongrid plan in plain JAX, and what is laid over which axis.

`python jax_mesh.py` checks it with one sharded product. Without accelerators:
XLA_FLAGS=--xla_force_host_platform_device_count={ranks} JAX_PLATFORMS=cpu python jax_mesh.py
"""

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

# Outermost first: neighbours in the last axis are neighbours in the network.
AXES = {axes}
BATCH = ("dp_replicate", "dp_shard")
RULES = {{
    "tokens": P(BATCH, "cp"),
    "activations": P(BATCH, "cp", None),
    "column_weight": P("dp_shard", "tp"),
    "row_weight": P("tp", "dp_shard"),
    "expert_weight": P(({expert}), None, None),
    "stage": P("pp"),
}}


def mesh() -> Mesh:
    """One device per rank, in the order of ranks; on a torus, laid along its rings."""
    devices = jax.devices()
    shape = tuple(AXES.values())
    if devices[0].platform == "tpu":
        return Mesh(mesh_utils.create_device_mesh(shape, devices), tuple(AXES))
    ordered = sorted(devices, key=lambda device: (device.process_index, device.id))
    return Mesh(np.array(ordered).reshape(shape), tuple(AXES))


def main() -> None:
    grid = mesh()
    rows = 2 * grid.shape["dp_replicate"] * grid.shape["dp_shard"]
    width = 8 * grid.shape["tp"] * grid.shape["dp_shard"]
    x = jax.device_put(np.ones((rows, width), np.float32), NamedSharding(grid, P(BATCH, None)))
    weight = NamedSharding(grid, RULES["column_weight"])
    w = jax.device_put(np.ones((width, width), np.float32), weight)
    product = jax.jit(lambda x, w: x @ w, out_shardings=NamedSharding(grid, P(BATCH, "tp")))(x, w)
    assert float(product[0, 0]) == width
    print(dict(grid.shape), "product of", product.shape, "over", grid.size, "devices")


if __name__ == "__main__":
    main()
'''


def mesh_script(plan: ParallelPlan) -> str:
    """A script that builds the mesh and checks it with one product."""
    sharded = plan.zero in ("3", "fsdp")
    axes = {
        "pp": plan.pp,
        "dp_replicate": plan.dp_replicate if sharded else plan.dp,
        "dp_shard": plan.dp_shard if sharded else 1,
        "cp": plan.cp,
        "tp": plan.tp,
    }
    # Experts go over the innermost axes whose product is ep.
    inner, expert = 1, []
    for name in ("tp", "cp", "dp_shard", "dp_replicate"):
        if inner >= plan.ep:
            break
        inner *= axes[name]
        if axes[name] > 1:
            expert.append(name)
    names = ", ".join(f'"{name}"' for name in reversed(expert)) + ("," if expert else "")
    return _SCRIPT.format(
        ranks=plan.world_size,
        axes=json.dumps(axes),
        expert=names,
    )
