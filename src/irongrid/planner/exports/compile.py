"""Advice on compilation: what to compile, and when a compiled artefact may be used again.

A graph compiled by Inductor, Triton or XLA is good for the same shapes, precision, device and
compiler. The key names what the plan decides of these; the compilers check the rest themselves.
"""

import hashlib
import json

from irongrid.domain.fleet import Pool
from irongrid.domain.model import ModelShape
from irongrid.domain.plan import ParallelPlan
from irongrid.domain.training import Training
from irongrid.planner.exports.stages import pieces

FILE = "compile.json"
KEY_DIGITS = 16


def local_shapes(plan: ParallelPlan, model: ModelShape, training: Training) -> dict[str, int]:
    """The sizes that one rank's graph is specialised for."""
    sharded_tokens = training.seq_len // plan.cp
    shapes = {
        "micro_batch": plan.micro_batch,
        "tokens": sharded_tokens,
        "hidden": model.hidden,
        "heads": max(1, model.heads // plan.tp),
        "kv_heads": max(1, model.kv_heads // plan.tp),
        "ffn": model.ffn // plan.tp,
        "head": model.head,
        "vocab": -(-model.vocab // plan.tp),
    }
    if model.experts is not None:
        shapes["experts"] = max(1, model.experts.count // plan.ep)
        shapes["expert_ffn"] = model.experts.ffn
    return shapes


def cache_key(plan: ParallelPlan, model: ModelShape, training: Training, pool: Pool) -> str:
    """Names the compiled graphs that a rank of this plan can share with others."""
    parts = {
        "device": pool.accelerator.name,
        "generation": pool.accelerator.generation,
        "precision": plan.precision,
        "recompute": plan.recompute,
        "sequence_parallel": plan.sequence_parallel and plan.tp > 1,
        "shapes": local_shapes(plan, model, training),
    }
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).hexdigest()[:KEY_DIGITS]
    return f"{pool.accelerator.generation}-{plan.precision}-{digest}"


def _environment(runtime: str, key: str) -> dict[str, str]:
    root = f"${{IRONGRID_COMPILE_CACHE:-$HOME/.cache/irongrid-compile}}/{key}"
    if runtime == "maxtext":
        return {"JAX_COMPILATION_CACHE_DIR": root}
    return {
        "TORCHINDUCTOR_CACHE_DIR": f"{root}/inductor",
        "TORCHINDUCTOR_FX_GRAPH_CACHE": "1",
        "TRITON_CACHE_DIR": f"{root}/triton",
    }


def _what(runtime: str, plan: ParallelPlan, model: ModelShape) -> tuple[str, list[str]]:
    """The unit of compilation and the reasons for it."""
    if runtime == "maxtext":
        return "the whole step, one scan over blocks", [
            "XLA compiles the step; scanning over equal blocks makes that time independent of "
            "their number"
        ]
    if runtime == "megatron":
        return "its own fused functions", [
            "Transformer Engine brings fused kernels and Megatron-LM compiles what is left by "
            "itself; a whole-model compile would break its overlap of communication"
        ]
    if runtime == "torchtitan" and plan.pp > 1 and plan.schedule not in ("1f1b", "interleaved"):
        return "the loss", [
            f"{plan.schedule} runs the two halves of backward apart, which torch's pipelining "
            "refuses on compiled blocks"
        ]
    if runtime == "deepspeed" and plan.zero == "3":
        return "nothing at first", [
            "ZeRO-3 gathers weights in hooks, at which a graph breaks; compile only if the "
            "trace shows more than a tenth of the step outside matrix products"
        ]
    reasons = [
        f"the {model.layers} blocks are equal: one graph compiled for a block serves all, and "
        "sharding's collectives stay between graphs, where they overlap"
    ]
    if plan.recompute == "selective":
        reasons.append("selective recompute is decided per block, inside its graph")
    return "each transformer block", reasons


def advice(
    runtime: str, plan: ParallelPlan, model: ModelShape, training: Training, pool: Pool
) -> str:
    """The advice as JSON."""
    what, reasons = _what(runtime, plan, model)
    key = cache_key(plan, model, training, pool)
    depths = sorted(set(pieces(plan, model)))
    per_depth = "" if len(depths) == 1 else f"; pieces hold {' or '.join(map(str, depths))} blocks"
    reasons.append(
        "shapes are static: micro-batch, tokens and sharded widths do not change from step to step"
    )
    reasons.append(
        f"ranks of one {pool.accelerator.name} share the cache; another device or plan has "
        f"another key{per_depth}"
    )
    value = {
        "compile": what,
        "dynamic": False,
        "cache_key": key,
        "shapes": local_shapes(plan, model, training),
        "environment": _environment(runtime, key),
        "reasons": reasons,
    }
    return json.dumps(value, indent=2) + "\n"
