"""What a plan's report shows, gathered: the question in words, and whatever was computed."""

from dataclasses import dataclass

from irongrid.domain.curve import ScalingCurve
from irongrid.domain.fleet import Fleet, Pool
from irongrid.domain.model import ModelShape
from irongrid.domain.training import Training
from irongrid.planner.answer import Answer, PricedPlan
from irongrid.planner.matrix import CommunicationMatrix
from irongrid.planner.rank_map import RankMap


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One answered question.

    Attributes:
        model_name: as the person named it.
        goal: as the person named it.
        pareto: plans that no other beats in every figure.
        curve: the best plan's speed by size.
        matrix, ranks: the best plan's traffic, and which device each of its ranks gets.
    """

    model_name: str
    model: ModelShape
    training: Training
    fleet: Fleet
    goal: str
    answer: Answer
    pareto: tuple[PricedPlan, ...] = ()
    curve: ScalingCurve | None = None
    matrix: CommunicationMatrix | None = None
    ranks: RankMap | None = None

    def pool_of(self, priced: PricedPlan) -> Pool:
        """The pool on which a plan runs."""
        return self.fleet.pool(priced.pool)

    @property
    def title(self) -> str:
        """The question in one line."""
        tokens = f"{self.training.global_batch:,} x {self.training.seq_len:,} tokens"
        model = f"{self.model_name} ({_count(self.model.parameters)} parameters)"
        return f"{model}, batch {tokens}, for {self.goal}"

    @property
    def where(self) -> str:
        """The fleet in one line."""
        pools = ", ".join(
            f"{pool.devices:,} {pool.accelerator.name} in {_nodes(pool.nodes)}"
            for pool in self.fleet.pools
        )
        training = self.training
        how = f"{training.runtime}, {training.precision}, {training.optimizer}"
        if training.lora_rank:
            how += f", LoRA of rank {training.lora_rank}"
        return f"{self.fleet.name}: {pools}; {how}"


def _nodes(count: int) -> str:
    return f"{count:,} nodes" if count > 1 else "1 node"


def _count(parameters: int) -> str:
    """As models are named: `405B`, `1.24B`, `2.8M`."""
    for factor, letter in ((10**12, "T"), (10**9, "B"), (10**6, "M")):
        if parameters >= factor:
            return f"{parameters / factor:.3g}{letter}"
    return f"{parameters:,}"
