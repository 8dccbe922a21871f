"""Launch lines and scripts are what a shell and Python can read."""

import ast
import subprocess

import pytest
from tests.planner.exports.cases import GPT3_PAPER, LLAMA3_8B, LLAMA3_PAPER, MIXTRAL, Case, case

from irongrid.planner.exports import export

CASES = {
    "megatron": GPT3_PAPER,
    "deepspeed": case(LLAMA3_8B, 64, 4096, zero="3"),
    "torchtitan": LLAMA3_PAPER.but(zero="fsdp"),
    "fsdp2": case(LLAMA3_8B, 16, 4096, tp=2),
    "maxtext": MIXTRAL.but(zero="fsdp", pp=1, dp_shard=32, grad_accum=4),
}


@pytest.mark.parametrize(("name", "one"), CASES.items())
def test_every_file_is_well_formed(name: str, one: Case) -> None:
    made = export(name, one.plan, one.model, one.training, one.pool)

    assert {"launch.sh", "nccl.env", "compile.json"} <= set(made)
    for file, text in made.items():
        assert text.endswith("\n")
        if file.endswith(".sh"):
            subprocess.run(["bash", "-n"], input=text, text=True, check=True)
        if file.endswith(".py"):
            ast.parse(text)


def test_as_many_nodes_are_started_as_the_ranks_fill() -> None:
    made = export(
        "megatron", GPT3_PAPER.plan, GPT3_PAPER.model, GPT3_PAPER.training, GPT3_PAPER.pool
    )

    assert "--nnodes 192 --nproc-per-node 8" in made["launch.sh"]


def test_the_published_layout_of_gpt3_reads_as_its_arguments() -> None:
    made = export(
        "megatron", GPT3_PAPER.plan, GPT3_PAPER.model, GPT3_PAPER.training, GPT3_PAPER.pool
    )

    lines = made["megatron.args"].splitlines()
    for line in (
        "--tensor-model-parallel-size 8",
        "--pipeline-model-parallel-size 12",
        "--num-virtual-stages-per-pipeline-rank 2",
        "--global-batch-size 1536",
        "--recompute-granularity full",
        "--sequence-parallel",
    ):
        assert line in lines
    assert "--swiglu" not in lines
