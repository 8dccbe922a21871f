"""Plans divide the batch exactly, or say what would."""

import pytest

from irongrid.domain.job import TrainTask
from irongrid.domain.model import PRESETS
from irongrid.errors import SpecError
from irongrid.train.layout import plan_for


def task(**changes: object) -> TrainTask:
    fields: dict[str, object] = {
        "model": PRESETS["llama-1m"],
        "data": ("stdlib",),
        "global_batch": 24,
        "seq_len": 128,
        "steps": 10,
    }
    return TrainTask(**fields | changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("ranks", [1, 2, 3, 4, 6, 24])
def test_ranks_micro_batches_and_accumulation_give_the_batch(ranks: int) -> None:
    plan = plan_for(task(), ranks, "cpu")

    assert plan.global_batch == 24
    assert (plan.dp_replicate, plan.dp_shard) == (1, ranks)


def test_a_large_batch_is_cut_to_fit_memory() -> None:
    # 8B on GPUs: 32 layers * 34 B * 4096 + 12 B * 128256 = 6.0 MB per token, 16 GiB hold 2863.
    plan = plan_for(task(model=PRESETS["llama3-8b"], seq_len=1024, global_batch=64), 8, "cuda")

    assert (plan.micro_batch, plan.grad_accum) == (2, 4)
    assert plan.precision == "bf16"


def test_the_replicas_of_hsdp_share_the_ranks() -> None:
    plan = plan_for(task(dp_replicate=2), 6, "cpu")

    assert (plan.dp_replicate, plan.dp_shard) == (2, 3)


@pytest.mark.parametrize(
    ("changes", "ranks", "field"),
    [
        ({"global_batch": 7}, 2, "train.global_batch"),
        ({"dp_replicate": 2}, 3, "train.dp_replicate"),
        ({"micro_batch": 5}, 2, "train.micro_batch"),
    ],
)
def test_what_does_not_divide_is_named(changes: dict[str, int], ranks: int, field: str) -> None:
    with pytest.raises(SpecError) as refused:
        plan_for(task(**changes), ranks, "cpu")

    assert [problem.field for problem in refused.value.problems] == [field]
