"""What a careful person writes without Irongrid: FSDP2, fused AdamW, DCP, started by torchrun.

Same model class, same tokens, same batches and same hyper-parameters as `irongrid.train`, so that
only the loop and its surroundings differ. One JSON line per step goes to a file, with the time at
which the step was done.

torchrun --nproc-per-node 2 --max-restarts 3 benchmarks/overhead/bare.py --out DIR ...
"""

import argparse
import json
import os
import shutil
import sys
import time
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed import TCPStore  # type: ignore[attr-defined]
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.checkpoint.state_dict_loader import load as load_state
from torch.distributed.checkpoint.state_dict_saver import save as save_state
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.fsdp import fully_shard

from irongrid.domain.job import TrainTask
from irongrid.domain.model import PRESETS
from irongrid.train.layout import plan_for
from irongrid.train.model import Transformer, next_token_loss
from irongrid.train.optimizer import BETAS, EPSILON, learning_rate
from irongrid.train.sampler import samples_of
from irongrid.train.tokens import prepare_tokens


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--preset", default="llama-1m")
    parser.add_argument("--global-batch", type=int, default=16)
    parser.add_argument("--seq-len", type=int, default=128)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--save-every", type=int, default=0)
    return parser.parse_args()


def join() -> None:
    """Meet the other ranks.

    After a restart plain `init_process_group("gloo")` fails or hangs with torch 2.13: torchrun
    keeps its store, and ranks find the addresses of dead ones in it. Keys of each restart's own
    give torchrun its best time.
    """
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    store = TCPStore(address, port, is_master=False, wait_for_workers=False)
    dist.init_process_group(
        "gloo",
        store=PrefixStore(f"restart-{os.environ['TORCHELASTIC_RESTART_COUNT']}", store),
        rank=int(os.environ["RANK"]),
        world_size=int(os.environ["WORLD_SIZE"]),
    )


def build(task: TrainTask) -> torch.nn.Module:
    """The model, sharded block by block, with GPT-2's first values."""
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    torch.manual_seed(task.seed)
    model = Transformer(task.model)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.02)
        else:
            torch.nn.init.ones_(parameter)
    for part in (*model.layers, model):
        fully_shard(part, mesh=mesh, reshard_after_forward=False)
    return model


def optimizer_for(model: torch.nn.Module, task: TrainTask) -> torch.optim.AdamW:
    """Fused AdamW; norms do not decay."""
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() == 1]
    groups = [
        {"params": matrices, "weight_decay": task.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, betas=BETAS, eps=EPSILON, fused=True)


def save(folder: Path, step: int, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """A blocking DCP checkpoint; the newest finished one is named by a file."""
    weights, state = get_state_dict(model, optimizer)
    save_state({"model": weights, "optimizer": state}, checkpoint_id=str(folder / f"step-{step}"))
    if dist.get_rank() == 0:
        latest = folder / "latest"
        before = latest.read_text() if latest.exists() else ""
        latest.with_suffix(".new").write_text(str(step))
        latest.with_suffix(".new").rename(latest)
        if before:
            shutil.rmtree(folder / f"step-{before}")


def load(folder: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Go on from the newest checkpoint; the steps done."""
    latest = folder / "latest"
    if not latest.exists():
        return 0
    step = int(latest.read_text())
    weights, state = get_state_dict(model, optimizer)
    load_state({"model": weights, "optimizer": state}, checkpoint_id=str(folder / f"step-{step}"))
    set_state_dict(model, optimizer, model_state_dict=weights, optim_state_dict=state)
    return step


def main() -> None:
    """Train."""
    options = arguments()
    join()
    rank, world_size = dist.get_rank(), dist.get_world_size()
    task = TrainTask(
        model=PRESETS[options.preset],
        data=("stdlib",),
        global_batch=options.global_batch,
        seq_len=options.seq_len,
        steps=options.steps,
    )
    plan = plan_for(task, world_size, "cpu")
    stream = prepare_tokens(options.cache, task.data, task.model.vocab)
    order = stream.order(seq_len=task.seq_len, held_out_fraction=task.eval_fraction, seed=task.seed)
    model = build(task)
    optimizer = optimizer_for(model, task)
    done = load(options.out, model, optimizer)
    log = (options.out / "steps.jsonl").open("a") if rank == 0 else None
    for step in range(done + 1, task.steps + 1):
        total = 0.0
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(task, step)
        for micro_step in range(plan.grad_accum):
            windows = order.training_windows(samples_of(plan, step - 1, rank, micro_step))
            rows = torch.from_numpy(stream.windows(windows, task.seq_len))
            loss = next_token_loss(model(rows[:, :-1]), rows[:, 1:]) / plan.grad_accum
            torch.autograd.backward(loss)
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(model.parameters(), task.clip_norm)
        optimizer.step()
        optimizer.zero_grad()
        if log is not None:
            log.write(json.dumps({"step": step, "loss": total, "at_ns": time.time_ns()}) + "\n")
            log.flush()
        if options.save_every and step % options.save_every == 0:
            save(options.out, step, model, optimizer)
    dist.barrier()
    sys.stdout.flush()
    os._exit(0)  # At an orderly exit torch may abort; see the note in irongrid.train.rank.


if __name__ == "__main__":
    main()
