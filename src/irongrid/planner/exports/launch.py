"""The lines that start a plan's ranks, node by node."""

from irongrid.domain.fleet import Pool
from irongrid.domain.plan import ParallelPlan


def nodes_of(plan: ParallelPlan, pool: Pool) -> int:
    """Nodes that the ranks fill, in the order of their ranks."""
    return max(1, plan.world_size // pool.devices_per_node)


def torchrun(plan: ParallelPlan, pool: Pool, command: str, *exports: str) -> str:
    """A script to be started once on every node.

    Args:
        command: what torchrun starts, with its arguments.
        exports: lines of shell before it.
    """
    per_node = min(plan.world_size, pool.devices_per_node)
    lines = [
        "#!/usr/bin/env bash",
        "# Start once on every node. NODE_RANK counts nodes in the order of ranks: neighbours",
        "# in the network get neighbouring numbers, and the same node keeps its number.",
        "set -euo pipefail",
        'cd "$(dirname "$0")"',
        *exports,
        "exec torchrun \\",
        f"  --nnodes {nodes_of(plan, pool)} --nproc-per-node {per_node} \\",
        '  --node-rank "${NODE_RANK:-0}" \\',
        '  --master-addr "${MASTER_ADDR:-localhost}" --master-port "${MASTER_PORT:-29500}" \\',
        f"  {command}",
    ]
    return "\n".join(lines) + "\n"


def sourced(name: str) -> str:
    """The shell line that exports every variable of an env file."""
    return f"set -a; . ./{name}; set +a"
