"""A job's `env`: names that a process can have, values that no report ever shows."""

import re
from collections.abc import Mapping

from irongrid.spec.findings import kind
from irongrid.spec.values import Kind, Wrong, wrong

MAX_NAMES = 256
MAX_BYTES = 64 * 1024

_NAME = r"[A-Za-z_][A-Za-z0-9_]{0,127}"
_PATTERN = re.compile(_NAME)
# What torchrun, JAX and Irongrid set for each rank, and what binds a rank to its devices.
_OURS = (
    "RANK|WORLD_SIZE|LOCAL_RANK|LOCAL_WORLD_SIZE|GROUP_RANK|GROUP_WORLD_SIZE|NODE_RANK"
    "|ROLE_RANK|ROLE_WORLD_SIZE|ROLE_NAME|MASTER_.*|TORCHELASTIC_.*|IRONGRID_.*"
    "|JAX_COORDINATOR_ADDRESS|JAX_NUM_PROCESSES|JAX_PROCESS_ID|CUDA_VISIBLE_DEVICES"
)
_RESERVED = re.compile(_OURS)


def environment() -> Kind:
    """Names and their text."""
    schema = {
        "type": "object",
        "maxProperties": MAX_NAMES,
        "propertyNames": {"pattern": f"^{_NAME}$", "not": {"pattern": f"^({_OURS})$"}},
        "additionalProperties": {"type": "string"},
    }
    return Kind(_check, schema)


def _check(value: object) -> dict[str, str]:
    if not isinstance(value, Mapping):
        fix = 'Write names and values: {OMP_NUM_THREADS: "1"}'
        raise wrong(Wrong(f"expected a mapping of names to texts, got {kind(value)}", fix))
    parts = [part for index, name in enumerate(value) for part in _entry(index, name, value[name])]
    size_bytes = sum(
        len(name.encode()) + len(text.encode()) + 2
        for name, text in value.items()
        if isinstance(text, str)
    )
    if len(value) > MAX_NAMES or size_bytes > MAX_BYTES:
        fix = f"Use at most {MAX_NAMES} names and {MAX_BYTES // 1024} KiB in all"
        parts.append(Wrong("holds too much", fix))
    if parts:
        raise wrong(*parts)
    return dict(value)


def _entry(index: int, name: str, text: object) -> list[Wrong]:
    if _PATTERN.fullmatch(name) is None:
        # Not named: with a slip such as `{TOKEN=abc}` the secret is part of the name.
        problem = f"entry {index + 1} has a name that no variable can have"
        return [Wrong(problem, "Use letters, digits and underscores, and no digit first")]
    parts = []
    if _RESERVED.fullmatch(name) is not None:
        parts.append(Wrong("is set by Irongrid for each rank", "Remove it", (name,)))
    if not isinstance(text, str):
        parts.append(Wrong(f"expected text, got {kind(text)}", "Put the value in quotes", (name,)))
    return parts
