"""Let DeepSpeed read ds_config.json, and its launcher read launch.sh."""

import contextlib
import json
import shlex
import sys
from pathlib import Path

with contextlib.redirect_stdout(sys.stderr):
    from deepspeed.launcher.runner import parse_args
    from deepspeed.runtime import config as runtime_config


class OneRank:
    """Stands for torch's process group: the config asks for nothing but the rank."""

    @staticmethod
    def get_rank() -> int:
        return 0


runtime_config.dist = OneRank


class DataParallel:
    """What DeepSpeed asks of a script's parallel groups."""

    def __init__(self, ranks: int) -> None:
        self.ranks = ranks

    def get_data_parallel_world_size(self) -> int:
        return self.ranks


def read(folder: Path) -> dict[str, object]:
    raw = json.loads((folder / "ds_config.json").read_text())
    ranks = int((folder / "data_parallel").read_text())
    with contextlib.redirect_stdout(sys.stderr):
        config = runtime_config.DeepSpeedConfig(dict(raw), mpu=DataParallel(ranks))
    zero = config.zero_config
    launch = (folder / "launch.sh").read_text().replace("\\\n", " ").splitlines()[-1]
    launch = launch.replace('$(grep -v "^#" megatron_deepspeed.args)', "--args")
    command = shlex.split(launch)[2:]
    launcher = parse_args(command)
    return {
        "batch": [
            config.train_batch_size,
            config.train_micro_batch_size_per_gpu,
            config.gradient_accumulation_steps,
        ],
        "stage": int(zero.stage),
        "offload_optimizer": zero.offload_optimizer and str(zero.offload_optimizer.device),
        "offload_param": zero.offload_param and str(zero.offload_param.device),
        "bf16": bool(config.bfloat16_config.enabled),
        "fp16": bool(config.float16_config.enabled),
        "nodes": launcher.num_nodes,
        "gpus": launcher.num_gpus,
        "script": launcher.user_script,
    }


sys.stdout.write(json.dumps({Path(one).name: read(Path(one)) for one in sys.argv[1:]}) + "\n")
