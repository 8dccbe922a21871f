"""Ranks see what torchrun and JAX would show them, and the submitter's Python first."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.worker.stage import JOB, order_for, run_spec

from irongrid.domain.device import NodeShare, Placement
from irongrid.domain.ids import NodeId
from irongrid.domain.job import CheckpointPolicy, JobSpec, TrainTask
from irongrid.domain.messages import LaunchOrder
from irongrid.domain.model import PRESETS
from irongrid.worker.environment import base_environment, rank_environment

# Two nodes with three ranks: the second one's ranks are 1 and 2.
TWO_NODES = Placement(
    shares=(
        NodeShare(node=NodeId("a"), devices=(5,)),
        NodeShare(node=NodeId("b"), devices=(2, 7)),
    )
)


def an_order(environment: dict[str, str] | None = None) -> LaunchOrder:
    spec = replace(run_spec(Path("/work"), "true"), interpreter="/opt/py/bin/python3")
    return order_for(
        Path("/home/u"),
        spec,
        node=NodeId("b"),
        placement=TWO_NODES,
        environment=environment or {},
    )


def ranks_of(order: LaunchOrder, inherited: dict[str, str]) -> list[dict[str, str]]:
    base = base_environment(order, inherited)
    return [
        rank_environment(
            order,
            base,
            local_rank=local_rank,
            generation=4,
            rendezvous="127.0.0.1:4711",
            socket_path="/s",
        )
        for local_rank in range(2)
    ]


def test_a_rank_gets_torchruns_variables() -> None:
    _, second = ranks_of(an_order(), {})

    assert {
        name: second[name]
        for name in (
            "RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK",
            "GROUP_WORLD_SIZE", "ROLE_RANK", "ROLE_WORLD_SIZE", "ROLE_NAME", "MASTER_ADDR",
            "MASTER_PORT", "TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT",
            "TORCHELASTIC_MAX_RESTARTS", "OMP_NUM_THREADS", "PYTHONUNBUFFERED",
        )
    } == {
        "RANK": "2", "LOCAL_RANK": "1", "WORLD_SIZE": "3", "LOCAL_WORLD_SIZE": "2",
        "GROUP_RANK": "1", "GROUP_WORLD_SIZE": "2", "ROLE_RANK": "2", "ROLE_WORLD_SIZE": "3",
        "ROLE_NAME": "default", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "4711",
        "TORCHELASTIC_RUN_ID": f"{JOB}.1", "TORCHELASTIC_RESTART_COUNT": "4",
        "TORCHELASTIC_MAX_RESTARTS": "3", "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1",
    }  # fmt: skip


def test_jax_finds_its_coordinator() -> None:
    first, second = ranks_of(an_order(), {})

    assert first["JAX_COORDINATOR_ADDRESS"] == "127.0.0.1:4711"
    assert (second["JAX_NUM_PROCESSES"], second["JAX_PROCESS_ID"]) == ("3", "2")


def test_the_submitters_interpreter_leads_path_and_pythonpath_stays() -> None:
    first, _ = ranks_of(an_order(), {"PATH": "/usr/bin:/bin", "PYTHONPATH": "/lib/a"})

    assert first["PATH"] == "/opt/py/bin:/usr/bin:/bin"
    assert first["PYTHONPATH"] == "/lib/a"


def test_the_jobs_own_values_go_before_the_inherited_and_ours_before_both() -> None:
    order = an_order({"OMP_NUM_THREADS": "4", "RANK": "9", "PATH": "/mine"})
    first, _ = ranks_of(order, {"OMP_NUM_THREADS": "8", "HOME": "/home/u"})

    assert first["OMP_NUM_THREADS"] == "4"
    assert first["HOME"] == "/home/u"
    assert first["RANK"] == "1"
    assert first["PATH"] == "/opt/py/bin:/mine"


@pytest.mark.parametrize(("visible", "expected"), [(None, "2,7"), ("0,1,2,3,4,5,6,9", "2,9")])
def test_on_a_gpu_node_a_gang_sees_its_own_gpus(visible: str | None, expected: str) -> None:
    inherited = {"IRONGRID_DEVICE_TYPE": "H100"}
    if visible is not None:
        inherited["CUDA_VISIBLE_DEVICES"] = visible
    first, second = ranks_of(an_order(), inherited)

    assert first["CUDA_VISIBLE_DEVICES"] == second["CUDA_VISIBLE_DEVICES"] == expected
    assert first["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"


def test_on_cpu_slots_gpus_are_left_as_they_are() -> None:
    first, _ = ranks_of(an_order(), {"IRONGRID_DEVICE_TYPE": "cpu"})

    assert "CUDA_VISIBLE_DEVICES" not in first


def test_the_recipe_gets_its_task_and_its_folders() -> None:
    task = TrainTask(
        model=PRESETS["llama-1m"], data=("stdlib",), global_batch=8, seq_len=64, steps=10
    )
    spec = JobSpec(name="t", task=task, workdir="/work", checkpoint=CheckpointPolicy(every_steps=5))
    order = order_for(Path("/home/u"), spec, node=NodeId("b"), placement=TWO_NODES)
    first, _ = ranks_of(order, {})
    config = json.loads(first["IRONGRID_TRAIN"])

    assert config["task"]["model"]["layers"] == 4
    assert config["checkpoint"]["every_steps"] == 5
    assert (config["job"], config["epoch"], config["generation"]) == (JOB, 1, 4)
    assert config["job_dir"] == f"/home/u/jobs/{JOB}"
    assert config["cache_dir"] == "/home/u/cache"
    assert config["workdir"] == "/work"
