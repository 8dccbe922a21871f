"""The applications of the sia and pollux data sets: limits, profiles and statistics from files."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from irongrid.twin.truth.profiles import Profile, Shape, profile
from irongrid.twin.truth.statistics import Measured, Statistics
from irongrid.twin.truth.tables import number, rows

_STEP = ("step_time", "sync_time")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Samples per GPU and pass that fit on one GPU type."""

    min_local_bsz: int
    max_local_bsz: int
    pipeline_stages: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """One application with all that was measured of it.

    Attributes:
        slowdown: how much slower than profiled training really goes; evaluation and input.
        profiles, limits: by GPU type.
    """

    name: str
    init_batch_size: int
    max_batch_size: int
    max_epochs: int
    restart_delay_s: int
    slowdown: float
    limits: Mapping[str, Limits]
    profiles: Mapping[str, Profile]
    statistics: Statistics


def load_applications(folder: Path) -> dict[str, Application]:
    """Every application of a data folder (`data/sia`).

    Raises:
        SpecError: a file is absent or broken.
    """
    known: dict[str, Any] = json.loads((folder / "applications.json").read_text())
    types: dict[str, Any] = json.loads((folder / "clusters.json").read_text())["gpu_types"]
    most_nodes = {name: int(about["max_profiled_nodes"]) for name, about in types.items()}
    return {name: _load(folder, name, about, most_nodes) for name, about in known.items()}


def pollux_rules(application: Application) -> Application:
    """The same application under the rules of the pollux set: restarts of 30 s, no slowdown."""
    return replace(application, restart_delay_s=30, slowdown=1.0)


def _load(
    folder: Path, name: str, about: Mapping[str, Any], most_nodes: Mapping[str, int]
) -> Application:
    init_batch_size = int(about["init_batch_size"])
    return Application(
        name=name,
        init_batch_size=init_batch_size,
        max_batch_size=int(about["max_batch_size"]),
        max_epochs=int(about["max_epochs"]),
        restart_delay_s=int(about["restart_delay_s"]),
        slowdown=float(about["slowdown"]),
        limits={kind: Limits(**limits) for kind, limits in about["per_gpu_type"].items()},
        profiles=_profiles(folder, name, most_nodes),
        statistics=Statistics(init_batch_size, _validation(folder, name)),
    )


def _profiles(folder: Path, name: str, most_nodes: Mapping[str, int]) -> dict[str, Profile]:
    placed: dict[str, list[tuple[Shape, float, float, float]]] = {}
    path = folder / "profiles" / f"{name}-placements.csv"
    for line, row in rows(path, ("gpu_type", "placement", "local_bsz", *_STEP)):
        shape = tuple(int(digit) for digit in row["placement"])
        figures = [number(path, line, row, column) for column in ("local_bsz", *_STEP)]
        placed.setdefault(row["gpu_type"], []).append((shape, figures[0], figures[1], figures[2]))
    spread: dict[str, list[tuple[float, float, float, float, float]]] = {}
    path = folder / "profiles" / f"{name}-scalability.csv"
    columns = ("num_nodes", "num_replicas", "local_bsz", *_STEP)
    for line, row in rows(path, ("gpu_type", *columns)):
        nodes, replicas, local_bsz, step_s, sync_s = (number(path, line, row, c) for c in columns)
        spread.setdefault(row["gpu_type"], []).append((nodes, replicas, local_bsz, step_s, sync_s))
    return {kind: profile(placed[kind], spread.get(kind, ()), most_nodes[kind]) for kind in placed}


def _validation(folder: Path, name: str) -> dict[int, list[Measured]]:
    path = folder / "profiles" / f"{name}-validation.csv"
    found: dict[int, dict[int, Measured]] = {}
    columns = ("batch_size", "epoch", "progress", "grad_sqr", "grad_var")
    for line, row in rows(path, columns):
        batch, epoch, progress, sqr, var = (number(path, line, row, column) for column in columns)
        found.setdefault(int(batch), {})[int(epoch)] = Measured(sqr, var, progress)
    return {
        batch: [by_epoch[epoch] for epoch in sorted(by_epoch)]
        for batch, by_epoch in sorted(found.items())
    }
