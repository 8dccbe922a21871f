"""Least attained service: jobs that have had little go first, as most of them end soon.

Source: Gu et al., "Tiresias: a GPU cluster manager for distributed deep learning", NSDI 2019, with
two queues, without its Gittins index. It differs in that jobs of one queue stand in the order of
their submission, and in that every gang is kept together.
"""

from dataclasses import dataclass

from irongrid.domain.decision import Action
from irongrid.scheduler.cluster import Cluster, Running
from irongrid.scheduler.order import Waiting
from irongrid.scheduler.preempting import start_or_preempt
from irongrid.units import NS_PER_S

# GPU-seconds of the first queue, as in the replay that we compare with (traces.md, section 4).
FIRST_QUEUE_GPU_S = 18_000
# Seconds that put the second queue behind every submission of the first.
_BEHIND_ALL = 1e12


@dataclass(frozen=True, slots=True)
class Las:
    """Two queues by attained GPU time."""

    first_queue_gpu_s: int = FIRST_QUEUE_GPU_S
    name: str = "las"

    def rank(self, job: Waiting) -> float:
        """Its queue, and its submission."""
        return self._rank(job, 0)

    def decide(self, cluster: Cluster) -> list[Action]:
        """The actions of one round."""
        now_ns = cluster.now_ns

        return start_or_preempt(cluster, lambda run: self._rank(run, now_ns))

    def wakeup_ns(self, cluster: Cluster) -> int | None:
        """When the next running job outgrows the first queue, if somebody waits for that."""
        if not cluster.order.lines:
            return None
        now_ns, limit_gpu_ns = cluster.now_ns, self.first_queue_gpu_s * NS_PER_S
        soonest: int | None = None
        for run in cluster.running():
            gpus = run.spec.resources.sizes[0]
            left_gpu_ns = limit_gpu_ns - gpus * run.worked_ns(now_ns)
            if left_gpu_ns > 0:
                at_ns = now_ns + -(-left_gpu_ns // gpus)
                soonest = at_ns if soonest is None else min(soonest, at_ns)
        return soonest

    def _rank(self, job: Waiting | Running, now_ns: int) -> float:
        gpu_ns = job.spec.resources.sizes[0] * job.worked_ns(now_ns)
        second = gpu_ns >= self.first_queue_gpu_s * NS_PER_S
        return job.submitted_at_ns / NS_PER_S + (_BEHIND_ALL if second else 0.0)
