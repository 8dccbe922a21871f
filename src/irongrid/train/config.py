"""What a rank is told: its task, and its seat in the gang as torchrun puts it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from irongrid.domain.codec import from_json
from irongrid.domain.job import CheckpointPolicy, TrainTask
from irongrid.errors import Problem, SpecError

CONFIG_VARIABLE = "IRONGRID_TRAIN"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """The task and where its files are.

    Attributes:
        job_dir: folder of the job: metrics and checkpoints.
        cache_dir: folder shared by jobs: tokenised data.
    """

    task: TrainTask
    checkpoint: CheckpointPolicy
    job: str
    epoch: int
    generation: int
    job_dir: str
    cache_dir: str
    workdir: str

    @property
    def checkpoint_dir(self) -> Path:
        """Where epochs and chunks are."""
        return Path(self.job_dir) / "checkpoints"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """A rank's place in its gang.

    Attributes:
        store_is_served: whether another process already serves the rendezvous at the master's
            address; without that, rank 0 serves it.
        threads: threads of one operator on a CPU.
        device_type: what the fleet calls this rank's device; `any` takes a GPU if there is one.
    """

    rank: int
    world_size: int
    local_rank: int
    local_world_size: int
    master_addr: str
    master_port: int
    store_is_served: bool
    threads: int
    device_type: str = "any"


def config_from(environ: Mapping[str, str]) -> TrainConfig:
    """The task in `IRONGRID_TRAIN`.

    Raises:
        SpecError: the variable is missing or is no JSON.
        CodecError: the JSON has another form.
    """
    text = environ.get(CONFIG_VARIABLE, "")
    try:
        value = json.loads(text)
    except ValueError as error:
        problem = f"expected a JSON document, got {text[:40]!r} ({error})"
        fix = "Start ranks through `irongrid submit`, or set it as the worker does"
        raise SpecError([Problem(field=CONFIG_VARIABLE, problem=problem, fix=fix)]) from error
    return from_json(TrainConfig, value)


def seat_from(environ: Mapping[str, str], cores: int) -> Seat:
    """The seat in torchrun's variables; without them, the only rank of a gang of one.

    Args:
        cores: processors that this process may use, shared by the ranks of the machine.
    """
    local_world_size = int(environ.get("LOCAL_WORLD_SIZE", "1"))
    threads = environ.get("OMP_NUM_THREADS", "")
    return Seat(
        rank=int(environ.get("RANK", "0")),
        world_size=int(environ.get("WORLD_SIZE", "1")),
        local_rank=int(environ.get("LOCAL_RANK", "0")),
        local_world_size=local_world_size,
        master_addr=environ.get("MASTER_ADDR", "127.0.0.1"),
        master_port=int(environ.get("MASTER_PORT", "0")),
        store_is_served=environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True",
        threads=int(threads) if threads.isdecimal() else max(1, cores // local_world_size),
        device_type=environ.get("IRONGRID_DEVICE_TYPE", "any"),
    )
