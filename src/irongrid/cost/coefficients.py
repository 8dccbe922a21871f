"""Efficiencies and constants of the cost formulas: data, fitted on measured rows.

A coefficient is a number, or a table with one number for each word of a vocabulary (generations of
devices, precisions, behaviours of software, schedules). In JSON a table names the words that were
measured, and `*` for all others, so a new device or a new framework always has a value.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irongrid.cost.behaviours import BEHAVIOURS
from irongrid.cost.devices import DEVICES
from irongrid.cost.memory_coefficients import MemoryCoefficients
from irongrid.cost.residual import NOTHING_LEARNT, Residual
from irongrid.cost.spread import UNCALIBRATED, Spread
from irongrid.domain.fleet import GENERATIONS
from irongrid.domain.plan import PRECISIONS, SCHEDULES
from irongrid.errors import Problem, SpecError

VOCABULARIES: Mapping[str, tuple[str, ...]] = {
    "generation": GENERATIONS,
    "precision": PRECISIONS,
    "behaviour": BEHAVIOURS,
    "schedule": SCHEDULES,
    "device": DEVICES,
}

Table = NDArray[np.float64]


# The vocabulary of each coefficient that is a table.
TABLES: Mapping[str, str] = {
    "gemm_efficiency": "generation",
    "precision_efficiency": "precision",
    "device_efficiency": "device",
    "flash_behaviour": "behaviour",
    "flash_efficiency": "generation",
    "host_expert_s": "behaviour",
    "tp_exposed": "behaviour",
    "expert_exposed": "behaviour",
    "bubble": "schedule",
    "shard_exposed": "behaviour",
    "recompute_share": "behaviour",
    "selective_share": "behaviour",
}


@dataclass(frozen=True, eq=False, kw_only=True)
class Coefficients:
    """One set of coefficients.

    Attributes:
        gemm_efficiency: share of the dense peak that a large matrix product reaches.
        precision_efficiency: the same, relative to bf16, for a narrower type.
        device_efficiency: of a device's products relative to its generation's.
        power_exponent: how the rate follows the device's power limit, against its generation's.
        gemm_half_k, gemm_half_n: inner and outer width at which half of the rate is reached.
        gemm_kernel_s: fixed time of one matrix product on the device.
        gemm_traffic: bytes of a product over those of its three matrices.
        wave_exponent: how much of a half-filled last wave of tiles is lost, 0 to 1.
        expert_efficiency, expert_half_tokens: of grouped products over experts.
        elementwise_passes: reads and writes of the residual stream in a block's forward pass.
        activation_passes: the same of the feed-forward layer's inner width.
        cast_passes: further passes over a product's input where it is quantised.
        flash_efficiency: share of the bf16 peak that fused attention reaches.
        flash_behaviour: of a framework's fused attention relative to the others'.
        score_efficiency, score_passes: of attention that writes its scores to memory.
        softmax_fallback: by how much scores cost more where Megatron's fused softmax cannot run.
        head_passes: reads and writes of the logits, forward and backward together.
        host_layer_s: time for the host to launch one block's forward pass.
        host_expert_s: the same of a block with experts.
        host_backward: host time of a backward pass over that of a forward pass.
        host_tp_growth: growth of host time from tp 1 to tp 8.
        host_grace: host time on a Grace CPU over that on x86.
        step_s: constant time of one optimizer step.
        micro_batch_s: constant time of one micro-batch of a stage, or of one piece of it.
        island_share, net_share: share of the link rate that a long collective reaches.
        collective_latency: latencies over those of the links.
        tp_exposed: share of tensor-parallel traffic that nothing hides.
        cp_exposed, cp_hidden: share of context-parallel traffic that is always exposed; share of
            attention's time that can hide the rest.
        expert_exposed: share of the all-to-all traffic that nothing hides.
        expert_passes: reads and writes of the routed tokens when they are sorted.
        p2p_exposed: share of the transfers between stages that nothing hides.
        bubble: of a schedule, relative to that of 1F1B.
        dp_exposed: share of the gradient traffic, once a step, that nothing hides.
        shard_exposed, shard_hidden: FSDP's always exposed share of its traffic; the share of the
            compute time that can hide the rest.
        recompute_share: cost of recomputing a block over its forward pass.
        selective_share: share of a forward pass that selective recomputation repeats.
        optimizer_passes: bytes moved per local parameter by an optimizer step, over Adam's 28.
        straggle: slowdown for each doubling of the devices beyond 8.
        memory: what `peak_memory` reads; None where only times are asked for, as in a fit.
    """

    gemm_efficiency: Table
    precision_efficiency: Table
    device_efficiency: Table
    power_exponent: float
    gemm_half_k: float
    gemm_half_n: float
    gemm_kernel_s: float
    gemm_traffic: float
    wave_exponent: float
    expert_efficiency: float
    expert_half_tokens: float
    elementwise_passes: float
    activation_passes: float
    cast_passes: float
    flash_efficiency: Table
    flash_behaviour: Table
    score_efficiency: float
    score_passes: float
    softmax_fallback: float
    head_passes: float
    host_layer_s: float
    host_expert_s: Table
    host_backward: float
    host_tp_growth: float
    host_grace: float
    step_s: float
    micro_batch_s: float
    island_share: float
    net_share: float
    collective_latency: float
    tp_exposed: Table
    cp_exposed: float
    cp_hidden: float
    expert_exposed: Table
    expert_passes: float
    p2p_exposed: float
    bubble: Table
    dp_exposed: float
    shard_exposed: Table
    shard_hidden: float
    recompute_share: Table
    selective_share: Table
    optimizer_passes: float
    straggle: float
    residual: Residual = NOTHING_LEARNT
    spread: Spread = UNCALIBRATED
    memory: MemoryCoefficients | None = None

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Coefficients":
        """Coefficients from their JSON form.

        Raises:
            SpecError: a coefficient is missing, is no positive number, or names an unknown word.
        """
        values: dict[str, Any] = {}
        problems: list[Problem] = []
        for spec in fields(cls):
            if spec.name in ("residual", "spread", "memory"):
                continue
            try:
                values[spec.name] = _read(TABLES.get(spec.name), document[spec.name])
            except (KeyError, TypeError, ValueError) as error:
                problems.append(_problem(spec.name, error))
        if problems:
            raise SpecError(problems)
        return cls(
            **values,
            residual=Residual.from_json(document.get("residual", {})),
            spread=Spread.from_json(document.get("spread", {})),
            memory=MemoryCoefficients.from_json(document["memory"], BEHAVIOURS)
            if "memory" in document
            else None,
        )

    def to_json(self) -> dict[str, Any]:
        """The JSON form: every word of every table by its name."""
        document: dict[str, Any] = {}
        for spec in fields(self):
            if spec.name == "memory":
                continue
            value = getattr(self, spec.name)
            vocabulary = TABLES.get(spec.name)
            if vocabulary is not None:
                document[spec.name] = dict(
                    zip(VOCABULARIES[vocabulary], map(float, value), strict=True)
                )
            elif spec.name in ("residual", "spread"):
                document[spec.name] = value.to_json()
            else:
                document[spec.name] = float(value)
        return document


def _read(vocabulary: str | None, value: Any) -> float | Table:
    if vocabulary is None:
        return _positive(value)
    words = VOCABULARIES[vocabulary]
    unknown = set(value) - {*words, "*"}
    if unknown:
        raise ValueError(f"no such {vocabulary}: {', '.join(sorted(unknown))}")
    return np.array([_positive(value[word] if word in value else value["*"]) for word in words])


def _positive(value: Any) -> float:
    number = float(value)
    if not (0.0 <= number < float("inf")):
        raise ValueError(f"{value} is not a finite number of at least 0")
    return number


def _problem(name: str, error: Exception) -> Problem:
    missing = isinstance(error, KeyError)
    return Problem(
        field=name,
        problem=f"{error} is missing" if missing else str(error),
        fix="Write the file anew with validation/fit.py",
        source="coefficients",
    )


__all__ = ["BEHAVIOURS", "TABLES", "VOCABULARIES", "Coefficients", "Table"]
