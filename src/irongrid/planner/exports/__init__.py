"""Plans for other software: argument files, configs, scripts and launch lines."""

from collections.abc import Callable, Iterable

from irongrid.domain.fleet import Pool
from irongrid.domain.model import ModelShape
from irongrid.domain.plan import ParallelPlan
from irongrid.domain.training import Training
from irongrid.errors import Refused
from irongrid.planner.exports import deepspeed, fsdp2, maxtext, megatron, torchtitan
from irongrid.planner.exports.refusals import ability_obstacles, check, common_obstacles

_Obstacles = Callable[[ParallelPlan, ModelShape, Training, Pool], Iterable[str]]
_Export = Callable[[ParallelPlan, ModelShape, Training, Pool], dict[str, str]]
_EXPORTERS: dict[str, tuple[_Obstacles, _Export]] = {
    "megatron": (megatron.obstacles, megatron.export),
    "deepspeed": (deepspeed.obstacles, deepspeed.export),
    "torchtitan": (torchtitan.obstacles, torchtitan.export),
    "fsdp2": (fsdp2.obstacles, fsdp2.export),
    "maxtext": (maxtext.obstacles, maxtext.export),
}
NAMES = tuple(_EXPORTERS)


def export(
    name: str, plan: ParallelPlan, model: ModelShape, training: Training, pool: Pool
) -> dict[str, str]:
    """Files that start the plan under the named software, by file name.

    Raises:
        Refused: there is no such export, or its software cannot run the plan; the problem names
            everything that stands against it.
    """
    if name not in _EXPORTERS:
        raise Refused(
            "unknown_export", f"there is no export {name!r}", f"Use one of {', '.join(NAMES)}"
        )
    obstacles, write = _EXPORTERS[name]
    against = ability_obstacles(name, plan) + common_obstacles(plan, model, training, pool)
    # What the exporter looks at may not even be there in a plan that the table rules out.
    against = against or list(obstacles(plan, model, training, pool))
    check(name, against, plan)
    return write(plan, model, training, pool)
