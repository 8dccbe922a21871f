"""How a measured run was split: what its row says, and the choices that it leaves open."""

import itertools
import re
from collections.abc import Mapping

from validation.fields import assume, number, positive
from validation.names import Device

from irongrid.domain.model import ModelShape
from irongrid.domain.plan import RECOMPUTE, SCHEDULES, ZERO

# Cards smaller than this are taken to recompute where their row does not say.
_SMALL_CARD_BYTES = 32e9
_ZERO = {"0": "none", "1": "1", "2": "2", "3": "3", "1(distopt)": "1", "1/2(distopt)": "1"}


def layout_of(
    fields: Mapping[str, str], shape: ModelShape, device: Device, assumed: list[str]
) -> tuple[dict[str, float], list[dict[str, float]]]:
    given = {k: positive(fields, k) for k in ("tp", "pp", "cp", "ep", "dp", "gpus")}
    tp = given["tp"] or assume(assumed, "tp", _noted_tp(fields))
    pp = given["pp"] or assume(assumed, "pp", 1)
    cp = given["cp"] or 1.0
    gpus = given["gpus"] or tp * pp * cp * (given["dp"] or assume(assumed, "dp", 1))
    dp = max(round(gpus / (tp * pp * cp)), 1)
    if given["dp"] and given["dp"] != dp:
        assumed.append(f"dp={dp} from gpus")
    values = {
        "tp": tp, "pp": pp, "cp": cp, "ep": given["ep"] or 1.0, "offload": 0.0,
        "offload_tier": 0.0, "context": 0.0, "compression": 0.0, "recompute_share": 1.0,
    }  # fmt: skip
    values |= _sharding(fields, device, dp)
    if not given["tp"] and not fields.get("zero"):
        assumed.append(f"zero={ZERO[int(values['zero'])]}")
    values |= _recompute(fields, device, assumed)
    choices = _batches(fields, shape, dp, pp, values, assumed)
    return values, choices


def _sharding(fields: Mapping[str, str], device: Device, dp: float) -> dict[str, float]:
    text = fields.get("zero", "").lower()
    word = "fsdp" if "fsdp" in text else _ZERO.get(text, "none")
    modern = device.accelerator.generation in ("hopper", "blackwell")
    # Megatron's recipes shard the optimizer; DeepSpeed shards nothing unless told to.
    if not text and modern and "deepspeed" not in fields.get("framework", "").lower():
        word = "1"
    sp = number(fields, "sp")
    split = float(modern) if sp is None else sp
    shards = {"dp_replicate": 1.0, "dp_shard": dp} if word != "none" else {}
    return {
        "zero": float(ZERO.index(word)),
        "sequence_parallel": split,
        "dp_replicate": dp,
        "dp_shard": 1.0,
        **shards,
    }


def _noted_tp(fields: Mapping[str, str]) -> float:
    """Tensor ranks where no column has them: what the notes say of them, or one.

    Of mixed devices, those of the fullest one: cards of one size split alike, to the degree that
    the row names; of several sizes, the largest need not split at all.
    """
    way = re.search(r"(\d+)-way (?:model|tensor)", fields.get("notes", ""))
    if way:
        return float(way[1])
    most = re.search(r"TP degrees up to (\d+)", fields.get("notes", ""))
    small = "2080" in fields.get("gpu", "")
    return float(most[1]) if most and not small else 1.0


def _recompute(fields: Mapping[str, str], device: Device, assumed: list[str]) -> dict[str, float]:
    text = fields.get("recompute", "").lower()
    word = next((word for word in ("selective", "full", "none") if text.startswith(word)), None)
    if text in ("yes", "true", "1"):
        word = "full"
    if word is None:
        # Cards this small train no model of a row without.
        word = "full" if device.accelerator.memory_bytes < _SMALL_CARD_BYTES else "none"
        assumed.append(f"recompute={word}")
    return {"recompute": float(RECOMPUTE.index(word))}


def _divisors(number: float, most: float) -> list[float]:
    return [float(d) for d in range(1, int(min(number, most)) + 1) if number % d == 0]


def _batches(
    fields: Mapping[str, str],
    shape: ModelShape,
    dp: float,
    pp: float,
    values: dict[str, float],
    assumed: list[str],
) -> list[dict[str, float]]:
    """Micro-batch, accumulation, schedule and pieces; several where the row does not say."""
    batch = positive(fields, "gbs")
    mbs, accum = positive(fields, "mbs"), positive(fields, "grad_accum")
    if batch is None:
        batch = dp * (mbs or 1) * (accum or 1)
        if not (mbs and accum):
            assumed.append(f"gbs={batch:g}")
    each = max(batch / dp, 1.0)
    if mbs is None and accum is not None:
        mbs = max(each / accum, 1e-3)
    sizes = [mbs] if mbs else _divisors(round(each), 16)
    if mbs is None:
        assumed.append("mbs: best feasible")
    pieces = _pieces(fields, shape, pp, values, assumed)
    choices = [
        {"micro_batch": m, "grad_accum": accum if mbs and accum else max(each / m, 1.0), **piece}
        for m, piece in itertools.product(sizes, pieces)
    ]
    values |= choices[0]
    return choices if len(choices) > 1 else []


def _pieces(
    fields: Mapping[str, str],
    shape: ModelShape,
    pp: float,
    values: dict[str, float],
    assumed: list[str],
) -> list[dict[str, float]]:
    text, vp = fields.get("schedule", "").lower(), positive(fields, "vp")
    ends = "fewer" in fields.get("notes", "") and "layer" in fields.get("notes", "")
    short = float(pp > 1 and (ends or (shape.layers % pp > 0 and (shape.layers + 2) % pp == 0)))
    # No source publishes how many blocks each stage has.
    values |= {"short_ends": short, "most_blocks": 0.0, "last_blocks": 0.0}
    plain_schedule = {"virtual_stages": 1.0, "schedule": float(SCHEDULES.index("1f1b"))}
    if "dualpipe" in text or "dualpipe" in fields.get("overlap", "").lower():
        return [{"virtual_stages": 2.0, "schedule": float(SCHEDULES.index("dualpipev"))}]
    if text in SCHEDULES and text not in ("1f1b", "interleaved"):
        return [{"virtual_stages": vp or 1.0, "schedule": float(SCHEDULES.index(text))}]
    if pp == 1 or text == "1f1b" or (vp == 1):
        return [plain_schedule]
    inter = float(SCHEDULES.index("interleaved"))
    if vp:
        return [{"virtual_stages": vp, "schedule": inter}]
    if text == "1f1b_or_interleaved" or text == "interleaved":
        assumed.append("vp: best feasible")
        many = [d for d in _divisors(round((shape.layers + 2 * short) / pp), 8) if d > 1]
        choices = [{"virtual_stages": d, "schedule": inter} for d in many]
        return [plain_schedule, *choices] if text != "interleaved" or not choices else choices
    return [plain_schedule]
