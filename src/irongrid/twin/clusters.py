"""A fleet file's pools as nodes of the virtual world."""

from irongrid.domain.device import Node
from irongrid.domain.fleet import Fleet
from irongrid.domain.ids import NodeId
from irongrid.errors import Problem, SpecError

# Of a node whose pool does not say: enough for any job.
_CPUS, _MEMORY_BYTES = 96.0, 2**39


def nodes_of(fleet: Fleet) -> tuple[Node, ...]:
    """The nodes of a fleet file, pool by pool; the network between them plays no part here.

    Raises:
        SpecError: the fleet has several sites.
    """
    if len({pool.site for pool in fleet.pools}) > 1:
        problem = "the fleet has several sites, which the twin does not support yet"
        fix = "Use the pools of one site"
        raise SpecError([Problem(field="sites", problem=problem, fix=fix, source=fleet.name)])
    return tuple(
        Node(
            id=NodeId(f"{group.name}-{number:0{len(str(group.nodes - 1))}}"),
            device_type=group.accelerator.name,
            devices=group.devices_per_node,
            cpus=float(group.cpus or _CPUS),
            memory_bytes=group.host_memory_bytes or _MEMORY_BYTES,
        )
        for group in fleet.pools
        for number in range(group.nodes)
    )
