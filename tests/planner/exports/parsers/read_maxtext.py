"""Let MaxText's pyconfig read configs, and lay the mesh over devices that XLA makes up."""

import contextlib
import json
import sys
from pathlib import Path

with contextlib.redirect_stdout(sys.stderr):
    import jax
    from jax.experimental import mesh_utils
    from maxtext.configs import pyconfig

BATCHES = ("per_device_batch_size", "gradient_accumulation_steps", "num_pipeline_microbatches")


def read(folder: Path) -> dict[str, object]:
    world = int((folder / "world").read_text())
    config = pyconfig.initialize(
        [
            "",
            str(folder / "maxtext.yml"),
            "internal_compile=True",
            f"internal_compile_num_devices={world}",
            "skip_jax_distributed_system=True",
        ]
    )
    mesh = None
    if world == jax.device_count() and config.num_slices == 1:
        array = mesh_utils.create_device_mesh(config.ici_parallelism, jax.devices())
        mesh = dict(zip(config.mesh_axes, array.shape, strict=True))
        mesh = {name: size for name, size in mesh.items() if size > 1}
    return {
        "global_batch": config.global_batch_size_to_train_on,
        "layers": config.num_decoder_layers,
        "block": config.decoder_block.value,
        "ici": dict(zip(config.mesh_axes, config.ici_parallelism, strict=True)),
        "dcn": dict(zip(config.mesh_axes, config.dcn_parallelism, strict=True)),
        "mesh": mesh,
        "remat": config.remat_policy,
        "context": config.context_parallel_strategy,
        "repeats": config.num_pipeline_repeats,
        "experts": [config.num_experts, config.num_experts_per_tok, config.shared_experts],
        "groups": [config.n_routing_groups, config.topk_routing_group],
        **{name: getattr(config, name) for name in BATCHES},
    }


with contextlib.redirect_stdout(sys.stderr):
    answer = {Path(one).name: read(Path(one)) for one in sys.argv[1:]}
sys.stdout.write(json.dumps(answer) + "\n")
