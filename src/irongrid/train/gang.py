"""The ranks of one generation: where they meet, their devices, and how they agree."""

import os
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch.distributed import TCPStore  # type: ignore[attr-defined]
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.distributed_c10d import PrefixStore, Store

from irongrid.domain.plan import ParallelPlan
from irongrid.train.config import Seat

# A dead peer closes its sockets and is seen at once; this is for a silent network. Hangs are found
# by the worker, phase by phase, long before.
TIMEOUT = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Gang:
    """This rank among its peers.

    Attributes:
        store: key-value store that all ranks of the generation share; None for a single rank.
        mesh: (dp_replicate, dp_shard), without an axis of size 1 that nobody needs; None where one
            rank holds everything.
    """

    seat: Seat
    device: torch.device
    plan: ParallelPlan
    store: Store | None
    mesh: DeviceMesh | None

    @property
    def rank(self) -> int:
        """Global rank."""
        return self.seat.rank

    @property
    def leads(self) -> bool:
        """Whether this is rank 0, which writes what exists once."""
        return self.seat.rank == 0

    @property
    def writers(self) -> range:
        """The ranks that together hold one whole copy of the model's state."""
        return range(self.plan.dp_shard)

    def tell(self, key: str, text: str | None) -> str:
        """Rank 0's text, at every rank. The others pass None. A key serves once."""
        if self.store is None:
            assert text is not None
            return text
        if self.leads:
            assert text is not None
            self.store.set(key, text)
        return bytes(self.store.get(key)).decode()

    def all_agree(self, yes: bool) -> bool:
        """Whether every rank says yes. All ranks must call it."""
        if self.store is None:
            return yes
        noes = torch.tensor(0 if yes else 1)
        dist.all_reduce(noes)
        return noes.item() == 0

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """Add a tensor up over all ranks, in place."""
        if self.store is not None:
            dist.all_reduce(values)
        return values


def device_of(seat: Seat) -> torch.device:
    """The GPU of this rank, where there is one and the fleet says so, else the CPU."""
    if seat.device_type == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    index = seat.local_rank if seat.local_rank < torch.cuda.device_count() else 0
    device = torch.device("cuda", index)
    torch.cuda.set_device(device)
    return device


def connect_store(seat: Seat) -> TCPStore:
    """A new connection to the store of the attempt; safe to use in one thread."""
    serves = seat.rank == 0 and not seat.store_is_served
    return TCPStore(
        seat.master_addr,
        seat.master_port,
        is_master=serves,
        wait_for_workers=False,
        timeout=TIMEOUT,
        multi_tenant=True,
    )


def serve_store(host: str) -> TCPStore:
    """A store on a free port, for as long as this process lives."""
    return TCPStore(host, 0, is_master=True, wait_for_workers=False, timeout=TIMEOUT)


def generation_store(seat: Seat, generation: int) -> Store:
    """The part of the attempt's store that belongs to one generation."""
    return PrefixStore(f"g{generation}", connect_store(seat))


def join(seat: Seat, device: torch.device, plan: ParallelPlan, generation: int) -> Gang:
    """Meet the other ranks and lay the device mesh out. A single fp32 rank needs neither."""
    if seat.world_size == 1 and plan.precision == "fp32":
        return Gang(seat, device, plan, None, None)
    if seat.master_addr in ("127.0.0.1", "localhost"):
        # Otherwise gloo looks the host's own name up, which may fail or lead outside.
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    store = generation_store(seat, generation)
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo",
        store=store,
        rank=seat.rank,
        world_size=seat.world_size,
        timeout=TIMEOUT,
        device_id=device if device.type == "cuda" else None,
    )
    return Gang(seat, device, plan, PrefixStore("gang", store), lay_out(device, plan))


def lay_out(device: torch.device, plan: ParallelPlan) -> DeviceMesh:
    """The mesh of a plan; needs a process group."""
    if plan.dp_replicate == 1:
        return init_device_mesh(device.type, (plan.dp_shard,), mesh_dim_names=("dp_shard",))
    return init_device_mesh(
        device.type,
        (plan.dp_replicate, plan.dp_shard),
        mesh_dim_names=("dp_replicate", "dp_shard"),
    )
