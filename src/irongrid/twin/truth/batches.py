"""The batch that a job trains with on given devices, where its user fixed the global batch.

Rule: `data/sia/README.md`, "Batch size", rigid jobs. The samples of each GPU are split into
accumulation steps until a pass fits the GPU.
"""

from math import ceil

from irongrid.errors import Refused
from irongrid.twin.truth.applications import Application
from irongrid.twin.truth.profiles import Shape
from irongrid.twin.truth.training import Configuration

# Divisions of whole numbers that come out a hair above one must not cost a sample.
_HAIR = 1e-8


def rigid_configuration(
    application: Application, gpu_type: str, shape: Shape, batch_size: int
) -> Configuration:
    """The configuration of a fixed global batch.

    Raises:
        Refused: the batch does not fit these GPUs.
    """
    replicas = sum(shape)
    measured = application.profiles[gpu_type].largest_local_bsz(replicas)
    most = min(application.limits[gpu_type].max_local_bsz, measured)
    samples = ceil(batch_size / replicas - _HAIR)
    accum_steps = ceil(samples / most - _HAIR) - 1
    if replicas == 1 and batch_size > application.init_batch_size:
        # One GPU measures gradient noise between passes, so it needs two of them.
        accum_steps = max(accum_steps, 1)
    local_bsz = ceil(samples / (accum_steps + 1) - _HAIR)
    local_bsz = min(local_bsz, application.max_batch_size // (replicas * (accum_steps + 1)))
    if local_bsz < 1:
        problem = f"a batch of {batch_size} has no sample for each of {replicas} GPUs"
        raise Refused("batch_too_small", problem, f"Use at most {batch_size} GPUs")
    return Configuration(gpu_type, shape, local_bsz, accum_steps)
