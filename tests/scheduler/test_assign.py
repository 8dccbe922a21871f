"""The most value that a fleet can bear, beside every answer there is."""

from itertools import product

import numpy as np
import pytest

from irongrid.domain.device import Node
from irongrid.domain.ids import NodeId
from irongrid.scheduler.assign import assign
from irongrid.scheduler.sizes import Sizes, sizes_of


def fleet(**counts: tuple[int, int]) -> Sizes:
    """Sizes of nodes: kind=(nodes, devices per node)."""
    return sizes_of(
        Node(id=NodeId(f"{kind}{at}"), device_type=kind, devices=devices, cpus=8.0, memory_bytes=1)
        for kind, (nodes, devices) in counts.items()
        for at in range(nodes)
    )


def fits(column_J: np.ndarray, sizes: Sizes) -> bool:
    held = [0] * len(sizes.kinds)
    for column in column_J:
        if column >= 0:
            held[sizes.kind_C[column]] += int(sizes.devices_C[column])
    return all(each <= room for each, room in zip(held, sizes.capacity, strict=True))


def worth(value_JC: np.ndarray, column_J: np.ndarray) -> float:
    return float(sum(value_JC[row, column] for row, column in enumerate(column_J) if column >= 0))


def best_of_all(value_JC: np.ndarray, sizes: Sizes) -> float:
    found = 0.0
    for answer in product(range(-1, len(sizes)), repeat=len(value_JC)):
        column_J = np.array(answer)
        if fits(column_J, sizes):
            found = max(found, worth(value_JC, column_J))
    return found


@pytest.mark.parametrize("seed", range(20))
def test_small_fleets_get_the_best_of_all_answers(seed: int) -> None:
    sizes = fleet(a=(2, 2), b=(1, 4))
    draw = np.random.default_rng(seed)
    value_JC = draw.uniform(-0.2, 1.0, (4, len(sizes)))

    found = assign(value_JC, sizes, np.full(4, -1))

    assert worth(value_JC, found) == pytest.approx(best_of_all(value_JC, sizes))
    assert fits(found, sizes)


def concave(seed: int, jobs: int, sizes: Sizes) -> np.ndarray:
    draw = np.random.default_rng(seed)
    speed_JK = draw.uniform(1.0, 5.0, (jobs, len(sizes.kinds)))
    bend_J1, weight_J1 = draw.uniform(0.3, 0.95, (jobs, 1)), draw.uniform(0.2, 3.0, (jobs, 1))
    speed_JC = speed_JK[:, sizes.kind_C] * sizes.devices_C**bend_J1
    found: np.ndarray = weight_J1 * speed_JC / speed_JC.max(axis=1, keepdims=True)
    return found


@pytest.mark.parametrize("jobs", [3, 12, 40])
def test_large_fleets_get_within_three_percent_of_the_bound(jobs: int) -> None:
    """128 devices of each kind are too many for the exact programme; the bound is of fractions."""
    from scipy.optimize import linprog

    sizes = fleet(a=(16, 8), b=(32, 4), c=(16, 8))
    value_JC = concave(jobs, jobs, sizes)
    rows = np.zeros((jobs + 3, jobs * len(sizes)))
    for job in range(jobs):
        part = slice(job * len(sizes), (job + 1) * len(sizes))
        rows[job, part] = 1
        for kind in range(3):
            rows[jobs + kind, part] = np.where(sizes.kind_C == kind, sizes.devices_C, 0)
    room = np.concatenate([np.ones(jobs), sizes.capacity])
    bound = -linprog(-value_JC.ravel(), A_ub=rows, b_ub=room, bounds=(0, None)).fun

    found = assign(value_JC, sizes, np.full(jobs, -1))

    assert worth(value_JC, found) >= 0.97 * bound
    assert fits(found, sizes)


def test_what_is_worth_nothing_is_not_taken() -> None:
    sizes = fleet(a=(1, 4))

    assert assign(np.zeros((2, 4)), sizes, np.full(2, -1)).tolist() == [-1, -1]
    assert assign(np.full((1, 4), -np.inf), sizes, np.full(1, 3)).tolist() == [-1]


def test_no_jobs_need_no_answer() -> None:
    assert len(assign(np.zeros((0, 4)), fleet(a=(1, 4)), np.zeros(0, dtype=int))) == 0
