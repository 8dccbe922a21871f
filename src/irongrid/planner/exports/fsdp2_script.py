"""The script that `fsdp2` exports: plain PyTorch, one file, no import of ours.

The line `# --- the plan ---` is where the plan's sizes are put.
"""

MARK = "# --- the plan ---\n"

SCRIPT = '''"""A plan of Irongrid in plain PyTorch: DeviceMesh, tensor parallelism and FSDP2.

Start it with launch.sh, or `torchrun --nproc-per-node N train_fsdp2.py`. The model and the data
are stand-ins of the right sizes: put your own in `Decoder` and `batches`, keep the rest.
"""

import argparse
import os
import time

import torch
import torch.distributed as dist
import torch.nn as nn
import torch.nn.functional as F
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import (
    CPUOffloadPolicy,
    MixedPrecisionPolicy,
    OffloadPolicy,
    fully_shard,
)
from torch.distributed.tensor import Replicate, Shard
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    PrepareModuleInput,
    RowwiseParallel,
    SequenceParallel,
    parallelize_module,
)
from torch.utils.checkpoint import checkpoint

# --- the plan ---

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def rotate(x: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    """Turn pairs of a head's dimensions by their position (RoPE)."""
    left, right = x.float().chunk(2, dim=-1)
    cos, sin = angles.cos(), angles.sin()
    turned = torch.cat((left * cos - right * sin, left * sin + right * cos), dim=-1)
    return turned.type_as(x)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q = nn.Linear(HIDDEN, HEADS * HEAD, bias=False)
        self.k = nn.Linear(HIDDEN, KV_HEADS * HEAD, bias=False)
        self.v = nn.Linear(HIDDEN, KV_HEADS * HEAD, bias=False)
        self.o = nn.Linear(HEADS * HEAD, HIDDEN, bias=False)

    def forward(self, x: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
        batch, tokens, _ = x.shape
        q, k, v = (
            layer(x).view(batch, tokens, -1, HEAD).transpose(1, 2)
            for layer in (self.q, self.k, self.v)
        )
        mixed = F.scaled_dot_product_attention(
            rotate(q, angles), rotate(k, angles), v, is_causal=True, enable_gqa=HEADS != KV_HEADS
        )
        return self.o(mixed.transpose(1, 2).reshape(batch, tokens, -1))


class FeedForward(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(HIDDEN, FFN, bias=False)
        self.up = nn.Linear(HIDDEN, FFN, bias=False)
        self.down = nn.Linear(FFN, HIDDEN, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(F.silu(self.gate(x)) * self.up(x))


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.RMSNorm(HIDDEN), nn.RMSNorm(HIDDEN)
        self.attention, self.feed_forward = Attention(), FeedForward()

    def forward(self, x: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(self.norm1(x), angles)
        return x + self.feed_forward(self.norm2(x))


class Decoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCAB, HIDDEN)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm = nn.RMSNorm(HIDDEN)
        self.head = nn.Linear(HIDDEN, VOCAB, bias=False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        rates = 500000.0 ** -(torch.arange(0, HEAD, 2, device=ids.device) / HEAD)
        angles = torch.outer(torch.arange(ids.shape[1], device=ids.device), rates)
        x = self.embedding(ids)
        for block in self.blocks:
            if RECOMPUTE:
                x = checkpoint(block, x, angles, use_reentrant=False)
            else:
                x = block(x, angles)
        return self.head(self.norm(x))


def split_matrices(model: Decoder, mesh: DeviceMesh) -> None:
    """Tensor parallelism with sequence parallelism: between blocks each rank has some tokens."""
    for block in model.blocks:
        layout = {
            "norm1": SequenceParallel(),
            "attention": PrepareModuleInput(
                input_layouts=(Shard(1), None), desired_input_layouts=(Replicate(), None)
            ),
            "attention.q": ColwiseParallel(),
            "attention.k": ColwiseParallel(),
            "attention.v": ColwiseParallel(),
            "attention.o": RowwiseParallel(output_layouts=Shard(1)),
            "norm2": SequenceParallel(),
            "feed_forward": PrepareModuleInput(
                input_layouts=(Shard(1),), desired_input_layouts=(Replicate(),)
            ),
            "feed_forward.gate": ColwiseParallel(),
            "feed_forward.up": ColwiseParallel(),
            "feed_forward.down": RowwiseParallel(output_layouts=Shard(1)),
        }
        parallelize_module(block, mesh, layout)
    outside = {
        "embedding": RowwiseParallel(input_layouts=Replicate(), output_layouts=Shard(1)),
        "norm": SequenceParallel(),
        "head": ColwiseParallel(input_layouts=Shard(1), output_layouts=Replicate()),
    }
    parallelize_module(model, mesh, outside)


def build(mesh: DeviceMesh) -> Decoder:
    """The model, split and sharded before it has any memory."""
    with torch.device("meta"):
        model = Decoder()
    if TP > 1:
        split_matrices(model, mesh["tp"])
    if TIED:
        model.head.weight = model.embedding.weight
    if COMPILE and DEVICE == "cuda":
        for block in model.blocks:
            block.compile()
    policy = MixedPrecisionPolicy(param_dtype=PARAM_DTYPE, reduce_dtype=torch.float32)
    offload = CPUOffloadPolicy() if OFFLOAD and DEVICE == "cuda" else OffloadPolicy()
    # Copies along the first axis, shards along the second (HSDP); with one copy it is FSDP.
    data = mesh["dp_replicate", "dp_shard"]
    for block in model.blocks:
        fully_shard(block, mesh=data, mp_policy=policy, offload_policy=offload)
    fully_shard(model, mesh=data, mp_policy=policy, offload_policy=offload)
    model.to_empty(device="cpu" if OFFLOAD else DEVICE)
    for module in model.modules():
        if isinstance(module, nn.RMSNorm):
            nn.init.ones_(module.weight)
        elif isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
    return model


def batches(seed: int, data_rank: int):
    """Micro-batches of made-up tokens; ranks of one tensor-parallel group get the same ones."""
    generator = torch.Generator().manual_seed(seed * 100_003 + data_rank)
    while True:
        ids = torch.randint(VOCAB, (MICRO_BATCH, SEQ_LEN + 1), generator=generator).to(DEVICE)
        yield ids[:, :-1], ids[:, 1:]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--lr", type=float, default=3e-4)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()

    if DEVICE == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        torch.backends.cuda.matmul.allow_tf32 = TF32
    axes = ("dp_replicate", "dp_shard", "tp")
    mesh = init_device_mesh(DEVICE, (DP_REPLICATE, DP_SHARD, TP), mesh_dim_names=axes)
    torch.manual_seed(args.seed)
    model = build(mesh)
    optimizer = OPTIMIZER(model.parameters(), args.lr)
    data_rank = dist.get_rank() // TP
    stream = batches(args.seed, data_rank)
    tokens = DP_REPLICATE * DP_SHARD * MICRO_BATCH * GRAD_ACCUM * SEQ_LEN

    for step in range(1, args.steps + 1):
        started = time.monotonic()
        total = torch.zeros((), device=DEVICE)
        for micro in range(GRAD_ACCUM):
            # Gradients meet once a step, with the last micro-batch.
            model.set_requires_gradient_sync(micro == GRAD_ACCUM - 1)
            ids, targets = next(stream)
            loss = F.cross_entropy(model(ids).flatten(0, 1).float(), targets.flatten())
            (loss / GRAD_ACCUM).backward()
            total += loss.detach() / GRAD_ACCUM
        optimizer.step()
        optimizer.zero_grad()
        dist.all_reduce(total)
        if dist.get_rank() == 0:
            mean = total.item() / dist.get_world_size()
            rate = tokens / (time.monotonic() - started)
            print(f"step {step} loss {mean:.4f} tokens/s {rate:.0f}", flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
'''
