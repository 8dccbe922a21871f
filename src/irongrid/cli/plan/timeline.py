"""Who computes what when, in one step of a pipeline: the boxes that the page draws.

The boxes follow the order in which each schedule issues its work; their lengths are shares of the
plan's own step time. It is a drawing of the plan, not another estimate of it.

Sources of the orders: 1F1B and interleaved, Narayanan et al., arXiv:2104.04473, figures 3 and 4
(2021-04); zero-bubble, Qi et al., arXiv:2401.10241 (2024-01), and the V-shaped ones,
arXiv:2405.15362 (2024-05).
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field

V_SHAPED = ("zbv", "dualpipev")
SPLIT_BACKWARD = ("zb-1p", "zb-2p", *V_SHAPED)


@dataclass(frozen=True, slots=True)
class Box:
    """One pass of one micro-batch through one chunk of one stage.

    Attributes:
        kind: `F` forward; `B` backward, or its part for the inputs where the schedule splits it;
            `W` its part for the weights.
    """

    stage: int
    kind: str
    micro_batch: int
    chunk: int
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What the order of a step depends on.

    Attributes:
        chunks: pieces of the model on each stage.
        lengths_s: seconds of F, B and W through one chunk of the slowest stage.
        weights: of each stage, its share of blocks; 1 is the slowest.
    """

    schedule: str
    stages: int
    chunks: int
    micro_batches: int
    lengths_s: dict[str, float]
    weights: Sequence[float] = ()

    def length_s(self, kind: str, stage: int) -> float:
        """Seconds of one box."""
        return self.lengths_s[kind] * (self.weights[stage] if self.weights else 1.0)

    def depth(self, stage: int, chunk: int) -> int:
        """The position of a chunk in the model, first to last."""
        if chunk and self.schedule in V_SHAPED:
            return 2 * self.stages - 1 - stage
        return chunk * self.stages + stage

    @property
    def depths(self) -> int:
        """Chunks of the whole model."""
        return self.chunks * self.stages


def boxes(pipeline: Pipeline) -> list[Box]:
    """Every box of the step, in order of time."""
    run = _Run(pipeline)
    queues = (
        None
        if pipeline.schedule in SPLIT_BACKWARD
        else [_one_forward_one_backward(pipeline, stage) for stage in range(pipeline.stages)]
    )
    while run.events:
        now_s = heapq.heappop(run.events)
        for stage in range(pipeline.stages):
            if run.free_s[stage] > now_s:
                continue
            op = _next(run, stage, queues[stage], now_s) if queues else _choice(run, stage, now_s)
            if op is not None:
                run.start(stage, op, now_s)
    return sorted(run.done, key=lambda box: (box.start_s, box.stage))


Op = tuple[str, int, int]  # kind, chunk, micro-batch


def _one_forward_one_backward(pipeline: Pipeline, stage: int) -> list[Op]:
    """A stage's order: forwards to fill the pipeline, then one of each, then what is left."""
    stages, chunks = pipeline.stages, pipeline.chunks
    forward: list[Op] = []
    backward: list[Op] = []
    for first in range(0, pipeline.micro_batches, stages if chunks > 1 else 1):
        group = range(first, min(first + (stages if chunks > 1 else 1), pipeline.micro_batches))
        forward += [("F", chunk, k) for chunk in range(chunks) for k in group]
        backward += [("B", chunk, k) for chunk in reversed(range(chunks)) for k in group]
    ahead = stages - stage - 1
    if chunks > 1:
        ahead = 2 * ahead + (chunks - 1) * stages
    ahead = min(ahead, len(forward))
    order = forward[:ahead]
    for number, op in enumerate(forward[ahead:]):
        order += [op, backward[number]]
    order += backward[len(forward) - ahead :]
    return order[::-1]


def _next(run: "_Run", stage: int, queue: list[Op], now_s: float) -> Op | None:
    if queue and run.is_ready(stage, queue[-1], now_s):
        return queue.pop()
    return None


def _choice(run: "_Run", stage: int, now_s: float) -> Op | None:
    """Backward before forward before weights: what others wait for comes first."""
    pipeline = run.pipeline
    deepest_first = list(reversed(range(pipeline.chunks)))
    for chunk in deepest_first:
        op = ("B", chunk, run.issued[stage, "B", chunk])
        if run.is_ready(stage, op, now_s):
            return op
    for chunk in deepest_first:
        op = ("F", chunk, run.issued[stage, "F", chunk])
        has_room = chunk > 0 or run.held[stage] < _room(pipeline)
        if has_room and run.is_ready(stage, op, now_s):
            return op
    for chunk in deepest_first:
        op = ("W", chunk, run.issued[stage, "W", chunk])
        if run.is_ready(stage, op, now_s):
            return op
    return None


def _room(pipeline: Pipeline) -> int:
    """Activations that a stage may hold before it must not begin another micro-batch."""
    stages = pipeline.stages
    return stages if pipeline.schedule == "zb-1p" else 2 * stages - 1


@dataclass
class _Run:
    """The state of a simulated step."""

    pipeline: Pipeline
    events: list[float] = field(default_factory=lambda: [0.0])
    ended_s: dict[tuple[str, int, int], float] = field(default_factory=dict)
    done: list[Box] = field(default_factory=list)

    def __post_init__(self) -> None:
        stages = range(self.pipeline.stages)
        self.free_s = [0.0 for _ in stages]
        self.held = [0 for _ in stages]
        self.issued = {
            (stage, kind, chunk): 0
            for stage in stages
            for kind in "FBW"
            for chunk in range(self.pipeline.chunks)
        }

    def is_ready(self, stage: int, op: Op, now_s: float) -> bool:
        """Whether everything that the box needs has ended."""
        kind, chunk, micro_batch = op
        if micro_batch >= self.pipeline.micro_batches:
            return False
        depth = self.pipeline.depth(stage, chunk)
        needs = [("F", depth - 1)] if kind == "F" else [("F", depth), ("B", depth + 1)]
        if kind == "W":
            needs = [("B", depth)]
        return all(
            self.ended_s.get((what, where, micro_batch), float("inf")) <= now_s
            for what, where in needs
            if 0 <= where < self.pipeline.depths
        )

    def start(self, stage: int, op: Op, now_s: float) -> None:
        """Put the box on its stage and wake the others when it ends."""
        kind, chunk, micro_batch = op
        end_s = now_s + self.pipeline.length_s(kind, stage)
        self.done.append(Box(stage, kind, micro_batch, chunk, now_s, end_s))
        self.ended_s[kind, self.pipeline.depth(stage, chunk), micro_batch] = end_s
        self.free_s[stage] = end_s
        self.issued[stage, kind, chunk] += 1
        last = "W" if self.pipeline.schedule in SPLIT_BACKWARD else "B"
        self.held[stage] += {"F": 1, last: -1}.get(kind, 0)
        heapq.heappush(self.events, end_s)
