"""One tiny step of everything, so that what torch does lazily is done before ranks are forked.

Without it the first `fully_shard` and the first step of each rank take about a second more.
"""

from pathlib import Path

import torch
import torch.distributed as dist
from torch.testing._internal.distributed.fake_pg import FakeStore

from irongrid.domain.model import ModelShape
from irongrid.domain.plan import ParallelPlan
from irongrid.train.checkpoint.state import Stage, state_of
from irongrid.train.gang import lay_out
from irongrid.train.model import next_token_loss
from irongrid.train.optimizer import Optimizer, clip, squared_norm
from irongrid.train.sharded import ShardedModel, build, fill

_SHAPE = ModelShape(layers=2, hidden=16, heads=2, kv_heads=1, ffn=32, vocab=32)
_PLAN = ParallelPlan(world_size=4, dp_replicate=1, dp_shard=4, micro_batch=1, grad_accum=1)


def warm() -> None:
    """Build, train and stage a toy model in a gang whose other ranks are pretended."""
    torch.set_num_threads(1)
    cpu = torch.device("cpu")
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=_PLAN.world_size)
    model = build(_SHAPE, _PLAN, lay_out(cpu, _PLAN), cpu)
    optimizer = Optimizer(model.shards, weight_decay=0.1)
    fill(model.shards, _SHAPE.layers, seed=0)
    Stage(state_of(model.shards, optimizer)).copy()
    if not _has_gpus():
        _step(model, optimizer)
    dist.destroy_process_group()


def _step(model: ShardedModel, optimizer: Optimizer) -> None:
    tokens_BS = torch.zeros(1, 9, dtype=torch.int64)
    model.before_micro_step(last=True)
    loss = next_token_loss(model.module(tokens_BS[:, :-1]), tokens_BS[:, 1:])
    torch.autograd.backward(loss)
    gradients = model.gradients()
    norm = squared_norm(gradients).sqrt()
    clip(gradients, norm, limit=1.0)
    optimizer.step(gradients, rate=0.0)
    model.drop_gradients()


def _has_gpus() -> bool:
    """Where there are GPUs, a backward pass would start one thread for each of them."""
    return any(Path("/dev").glob("nvidia[0-9]*"))
