"""Let torchtitan's ConfigManager read config modules, and its model check the parallelism."""

import contextlib
import importlib
import json
import sys
from pathlib import Path

with contextlib.redirect_stdout(sys.stderr):
    from torch.distributed.pipelining.schedules import get_schedule_class
    from torchtitan.config import ConfigManager
    from torchtitan.distributed import ParallelDims

MODULE = "irongrid_plan"


def read(folder: Path) -> dict[str, object]:
    world = int((folder / "world").read_text())
    sys.path.insert(0, str(folder))
    sys.modules.pop(MODULE, None)
    importlib.invalidate_caches()
    config = ConfigManager().parse_args(["--module", MODULE, "--config", "plan"])
    sys.path.pop(0)
    config.model_spec.model.update_from_config(config=config)
    dims = ParallelDims.from_config(config.parallelism, world)
    if dims.pp > 1:
        get_schedule_class(config.parallelism.pipeline_parallel_schedule)
    checkpointing = config.activation_checkpoint
    return {
        "model": config.model_spec.name,
        "flavour": config.model_spec.flavor,
        "layers": len(config.model_spec.model.layers),
        "dims": [dims.dp_replicate, dims.dp_shard, dims.cp, dims.tp, dims.pp, dims.ep],
        "schedule": config.parallelism.pipeline_parallel_schedule,
        "stages": config.parallelism.module_fqns_per_model_part,
        "microbatch": config.parallelism.pipeline_parallel_microbatch_size,
        "local_batch": config.training.local_batch_size,
        "global_batch": config.training.global_batch_size,
        "seq_len": config.training.seq_len,
        "recompute": type(checkpointing).__qualname__,
        "compile": config.compile.components,
        "loss": type(config.loss).__qualname__,
    }


with contextlib.redirect_stdout(sys.stderr):
    answer = {Path(one).name: read(Path(one)) for one in sys.argv[1:]}
sys.stdout.write(json.dumps(answer) + "\n")
