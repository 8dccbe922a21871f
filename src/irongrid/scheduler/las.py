"""Least attained service: jobs that have had little go first, as most of them end soon.

Source: Gu et al., "Tiresias: a GPU cluster manager for distributed deep learning", NSDI 2019, with
two queues, without its Gittins index. It differs in that jobs of one queue stand in the order of
their submission, and in that every gang is kept together.
"""

from dataclasses import dataclass
from typing import ClassVar

from irongrid.domain.decision import Action
from irongrid.domain.job import Resources
from irongrid.scheduler.cluster import Cluster, Running
from irongrid.scheduler.held import Held
from irongrid.scheduler.order import Waiting
from irongrid.scheduler.preempting import start_or_preempt
from irongrid.units import NS_PER_S

# GPU-seconds of the first queue, as in the replay that we compare with (traces.md, section 4).
FIRST_QUEUE_GPU_S = 18_000
# 16 GPU-hours, as in the Pollux artifact (OSDI 2021, branch osdi21-artifact of adaptdl).
LONG_FIRST_QUEUE_GPU_S = 57_600
# Seconds that put the second queue behind every submission of the first.
_BEHIND_ALL = 1e12


@dataclass(frozen=True, slots=True)
class Las:
    """Two queues by attained GPU time."""

    first_queue_gpu_s: int = FIRST_QUEUE_GPU_S
    name: str = "las"
    every_ns: ClassVar[int | None] = None

    def rank(self, job: Waiting) -> float:
        """Its queue, and its submission."""
        return self._rank(job, 0)

    def kind(self, job: Waiting) -> str:
        """All jobs of one need stand in one line."""
        return ""

    def line_rank(self, kind: str, need: Resources) -> float:
        """Lines have nothing in common."""
        return 0.0

    def held(self) -> Held:
        """By queue and submission, as the queue is."""
        return Held(self._rank, self._outgrows_ns)

    def decide(self, cluster: Cluster) -> list[Action]:
        """The actions of one round."""
        return start_or_preempt(cluster, cluster.held, lambda rank: rank)

    def _outgrows_ns(self, run: Running, now_ns: int) -> int | None:
        gpus = run.spec.resources.sizes[0]
        left_gpu_ns = self.first_queue_gpu_s * NS_PER_S - gpus * run.worked_ns(now_ns)
        return now_ns - (-left_gpu_ns // gpus) if left_gpu_ns > 0 else None

    def _rank(self, job: Waiting | Running, now_ns: int) -> float:
        gpu_ns = job.spec.resources.sizes[0] * job.worked_ns(now_ns)
        second = gpu_ns >= self.first_queue_gpu_s * NS_PER_S
        return job.submitted_at_ns / NS_PER_S + (_BEHIND_ALL if second else 0.0)
