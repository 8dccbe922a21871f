"""The transformer has the parameters that its shape promises, and looks only back."""

from dataclasses import replace

import pytest
import torch

from irongrid.domain.model import PRESETS, ModelShape
from irongrid.domain.plan import ParallelPlan
from irongrid.train.model import Rotary, Transformer, next_token_loss
from irongrid.train.sharded import Shard, build, fill

SMALL = ModelShape(layers=2, hidden=16, heads=4, kv_heads=2, ffn=24, vocab=50)
ALONE = ParallelPlan(world_size=1, dp_replicate=1, dp_shard=1, micro_batch=1, grad_accum=1)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_has_as_many_parameters_as_it_says(name: str) -> None:
    with torch.device("meta"):
        model = Transformer(PRESETS[name])

    assert sum(p.numel() for p in model.parameters()) == PRESETS[name].parameters


def test_names_are_global_and_carry_no_trace_of_ranks() -> None:
    with torch.device("meta"):
        tied = dict(Transformer(SMALL).named_parameters())
        untied = dict(Transformer(replace(SMALL, tied=False)).named_parameters())

    assert "layers.1.attention.wq.weight" in tied
    assert set(untied) - set(tied) == {"output.weight"}


def filled(seed: int = 0) -> torch.nn.Module:
    model = build(SMALL, ALONE, None, torch.device("cpu"))
    fill(model.shards, SMALL.layers, seed)
    return model.module


def test_a_position_sees_nothing_that_comes_after_it() -> None:
    model = filled()
    tokens = torch.arange(12)[None]
    changed = tokens.clone()
    changed[0, 8:] = 49

    before, after = model(tokens), model(changed)

    assert torch.equal(before[0, :8], after[0, :8])
    assert not torch.equal(before[0, 8:], after[0, 8:])


def test_rotary_attention_depends_on_distances_alone() -> None:
    rotary = Rotary(head=8)
    q, k = torch.randn(2, 1, 1, 1, 8).unbind(0)
    turned_q, turned_k = (rotary.turn(x.expand(1, 10, 1, 8))[0, :, 0] for x in (q, k))

    scores = turned_q @ turned_k.T

    assert torch.allclose(scores[3, 1], scores[9, 7], atol=1e-5)
    assert not torch.allclose(scores[3, 1], scores[3, 2], atol=1e-3)


def test_the_first_loss_is_that_of_a_guess() -> None:
    tokens = torch.randint(0, 50, (4, 33), generator=torch.Generator().manual_seed(0))

    loss = next_token_loss(filled()(tokens[:, :-1]), tokens[:, 1:])

    assert loss.item() == pytest.approx(torch.tensor(50.0).log().item(), abs=0.1)


def test_first_values_depend_on_seed_and_name_but_not_on_who_holds_which_rows() -> None:
    def drawn(name: str, first: int, last: int, seed: int) -> torch.Tensor:
        rows = torch.empty(last - first, 3)
        parameter = torch.nn.Parameter(rows)
        fill([Shard(name, (3000, 3), first, parameter, rows)], layers=2, seed=seed)
        return rows

    whole = drawn("a", 0, 3000, 0)

    assert torch.equal(torch.cat([drawn("a", 0, 1100, 0), drawn("a", 1100, 3000, 0)]), whole)
    assert not torch.equal(drawn("b", 0, 3000, 0), whole)
    assert not torch.equal(drawn("a", 0, 3000, 1), whole)
    assert whole.std().item() == pytest.approx(0.02, rel=0.05)
    residual = drawn("layers.0.attention.wo.weight", 0, 3000, 0)
    assert residual.std().item() == pytest.approx(0.02 / 4**0.5, rel=0.05)
