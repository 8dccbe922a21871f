"""What a person asked for, after the border has checked it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from irongrid.domain.model import ModelShape


class JobState(StrEnum):
    """Where a job stands. The last three are final."""

    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether no event can change the state any more."""
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTask:
    """Any command; every rank of the gang runs it with torchrun's environment."""

    kind: ClassVar[str] = "run"
    argv: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainTask:
    """The built-in recipe: a decoder-only language model on text files.

    Attributes:
        data: glob patterns of text files, absolute; or the one word `stdlib`, which is a fixed
            4 MB sample of the Python standard library's own sources.
        global_batch: samples per optimizer step, over all ranks.
        seq_len: tokens per sample.
        steps: optimizer steps.
        micro_batch: samples per rank and forward pass; None lets the recipe choose.
        eval_every: steps between two measurements of the held-out loss; 0 is never.
        eval_fraction: share of the tokens that is held out.
        learning_rate: peak of the warm-up and cosine schedule.
        dp_replicate: copies of the model that all-reduce (HSDP); the other ranks shard.
        precision: `fp32`, `bf16`, or `auto`: bf16 on GPUs and fp32 on CPUs.
    """

    kind: ClassVar[str] = "train"
    model: ModelShape
    data: tuple[str, ...]
    global_batch: int
    seq_len: int
    steps: int
    micro_batch: int | None = None
    dp_replicate: int = 1
    eval_every: int = 100
    eval_fraction: float = 0.01
    learning_rate: float = 3e-4
    warmup_steps: int = 0
    weight_decay: float = 0.1
    clip_norm: float = 1.0
    seed: int = 0
    precision: str = "auto"


# A device is shared in thousandths, as in Kubernetes' quantities.
WHOLE_MILLI = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What the gang needs; CPUs and memory are per device, so per rank.

    Attributes:
        accelerator: a device type, several that do as well, joined by `|`, or `any`.
        sizes: gang sizes that the job can run on, ascending; one entry is a rigid job.
        cpus: CPU cores per rank; 0 asks for none and sets no limit.
        memory_bytes: host memory per rank; 0 asks for none and sets no limit.
        device_milli: thousandths of its device that each rank holds. A rank that needs no device
            holds 0 of one, whose number then only names the rank's place.
    """

    accelerator: str = "any"
    sizes: tuple[int, ...] = (1,)
    cpus: float = 0.0
    memory_bytes: int = 0
    device_milli: int = WHOLE_MILLI

    def allows(self, device_type: str) -> bool:
        """Whether the gang may run on devices of a type."""
        wanted = self.accelerator
        return wanted in ("any", device_type) or device_type in wanted.split("|")


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalBatch:
    """Samples per rank and pass that a device type bears."""

    device_type: str
    least: int
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptiveBatch:
    """What a job's user says of a training whose batch may change with its devices.

    Attributes:
        application: what is trained; jobs of one application run alike.
        init_batch_size: samples per step at which the learning rate was set; the smallest batch.
        max_batch_size: the largest with which training still converges.
        local: per device type; a type that is not named cannot run the job.
        restart_s: time from a launch to the first step.
    """

    application: str
    init_batch_size: int
    max_batch_size: int
    local: tuple[LocalBatch, ...]
    restart_s: float

    def local_on(self, device_type: str) -> LocalBatch | None:
        """What one rank bears on a device type; None where the job cannot run."""
        return next((each for each in self.local if each.device_type == device_type), None)


class RetryCause(StrEnum):
    """Whose fault a failure was."""

    INFRASTRUCTURE = "infrastructure"
    USER = "user"


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """How often a failed gang is started again without progress in between."""

    max: int = 3
    on: tuple[RetryCause, ...] = (RetryCause.INFRASTRUCTURE,)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointPolicy:
    """When to save. With both intervals None the recipe works it out (`every: auto`)."""

    every_steps: int | None = None
    every_s: float | None = None
    keep: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """A job as the log keeps it. Values of `env` never get here, only their names.

    Attributes:
        workdir: absolute folder in which ranks run.
        interpreter: absolute path of the submitter's Python; its folder leads the ranks' PATH.
        max_duration_s: running time after which the job is stopped; None is no limit.
        adaptive: limits of a batch that may change with the devices; None keeps the user's batch.
    """

    name: str
    task: RunTask | TrainTask
    workdir: str
    interpreter: str = ""
    env_names: tuple[str, ...] = ()
    resources: Resources = Resources()
    retries: Retries = Retries()
    checkpoint: CheckpointPolicy = CheckpointPolicy()
    max_duration_s: float | None = None
    adaptive: AdaptiveBatch | None = None
