"""What the sources call their models, devices, precisions and software, in our words."""

import re
from dataclasses import dataclass
from functools import cache

from irongrid.domain.fleet import Accelerator
from irongrid.domain.model import Experts, ModelShape
from irongrid.errors import IrongridError
from irongrid.spec.devices import UsualNode, accelerator, catalog_name, usual_node
from irongrid.spec.models import model as catalog_model

# Models of the rows that the catalog does not have. State-space blocks are written as attention of
# the same weights that sees 2,560 tokens, which is what their scans cost in the rows of Nano.
# Sources: NVIDIA Nemotron 3 Nano and Nemotron-H reports (arXiv:2512.20848, arXiv:2504.03624) and
# Nemotron-4's (arXiv:2402.16819, arXiv:2406.11704); PaLM (arXiv:2204.02311, table 1).
_HYBRID_NANO = ModelShape(
    layers=26, hidden=2688, heads=54, kv_heads=2, head_dim=128, ffn=1856, vocab=131072, tied=False,
    gated=False, window=25600, windowed_layers=20,
    experts=Experts(count=128, top_k=6, ffn=1856, shared_ffn=3712, dense_layers=3),
)  # fmt: skip
_SHAPES: dict[str, ModelShape] = {
    "nemotron3nano": _HYBRID_NANO,
    "nemotron35lightning": _HYBRID_NANO,
    "nemotron3super": ModelShape(
        layers=44, hidden=4096, heads=72, kv_heads=2, head_dim=128, ffn=5376, vocab=131072,
        tied=False, gated=False, window=2560, windowed_layers=36,
        experts=Experts(count=512, top_k=22, ffn=1344, shared_ffn=5376, dense_layers=4),
    ),
    "nemotronh56b": ModelShape(
        layers=64, hidden=8192, heads=128, kv_heads=8, head_dim=128, ffn=32768, vocab=131072,
        tied=False, gated=False, window=2560, windowed_layers=54,
    ),
    "nemotronh47b": ModelShape(
        layers=54, hidden=8192, heads=128, kv_heads=8, head_dim=128, ffn=30720, vocab=131072,
        tied=False, gated=False, window=2560, windowed_layers=49,
    ),
    "nemotronh8b": ModelShape(
        layers=26, hidden=4096, heads=64, kv_heads=8, head_dim=128, ffn=21504, vocab=131072,
        tied=False, gated=False, window=2560, windowed_layers=22,
    ),
    "nemotron415b": ModelShape(
        layers=32, hidden=6144, heads=48, kv_heads=8, ffn=24576, vocab=256000, tied=False,
        gated=False,
    ),
    "nemotron4340b": ModelShape(
        layers=96, hidden=18432, heads=96, kv_heads=8, ffn=73728, vocab=256000, tied=False,
        gated=False,
    ),
    "palm540b": ModelShape(
        layers=118, hidden=18432, heads=48, kv_heads=1, head_dim=256, ffn=73728, vocab=256000,
    ),
    "opt350m": ModelShape(
        layers=24, hidden=1024, heads=16, kv_heads=16, ffn=4096, vocab=50272, gated=False,
        positions=2048,
    ),
}  # fmt: skip
# Shapes of GPT-like models by size in 1e9 weights: hidden width and layers, for rows that give no
# more than a count. GPT-3 (arXiv:2005.14165, table 2.1), Megatron (arXiv:2104.04473, table 1).
_BY_SIZE = (
    (0.125, 768, 12), (0.35, 1024, 24), (0.76, 1536, 24), (1.3, 2048, 24), (2.7, 2560, 32),
    (6.7, 4096, 32), (13, 5120, 40), (20, 6144, 44), (30, 7168, 48), (65, 8192, 80),
    (175, 12288, 96), (310, 16384, 96), (530, 20480, 105), (1008, 25600, 128),
)  # fmt: skip
_GATED = re.compile(
    r"llama|qwen|mis?x?tral|deepseek|kimi|gemma|palm|gpt.?oss|phi|yi|glm|olmo|grok|internlm|baichuan"
)


@dataclass(frozen=True, slots=True)
class Device:
    """A device with the server that it usually comes in."""

    accelerator: Accelerator
    node: UsualNode
    assumed: tuple[str, ...] = ()


def plain(text: str) -> str:
    """A name without what varies: case, spaces, dashes, points."""
    return re.sub(r"[^a-z0-9]", "", text.lower())


@cache
def shape_of(name: str) -> ModelShape | None:
    """The shape that the catalog or this file knows under the name, or one much like it."""
    short = plain(name)
    for key, shape in _SHAPES.items():
        if short.startswith(key):
            return shape
    for candidate in _spellings(name):
        try:
            return catalog_model(candidate)
        except IrongridError:
            continue
    return None


def _spellings(name: str) -> list[str]:
    """How the catalog may write what a source calls `LLAMA3_8B` or `Llama-3.1-8B (GBS 128)`."""
    text = re.sub(r"[_\s]+", "-", re.sub(r"\(.*", "", name).strip().lower())
    found = [text, text.replace("llama-", "llama")]
    llama3 = re.sub(r"llama-?3-", "llama3.1-", text)
    found += [llama3, re.sub(r"llama-?(\d)", r"llama\1", text)]
    found += [text.replace("gpt-", "gpt3-"), text.replace("gpt-oss", "gpt_oss")]
    found += [
        re.sub(r"-(instruct|base|chat|hf)$", "", text),
        re.sub(r"^(\w+)-v(\d)", r"\1v\2", text),
    ]
    return list(dict.fromkeys(found))


def shape_by_size(params_b: float) -> tuple[int, int]:
    """Hidden width and layers of a GPT-like model of this size."""
    size, hidden, layers = min(_BY_SIZE, key=lambda entry: abs(entry[0] / params_b - 1))
    layers = max(round(layers * params_b / size), 1)
    return hidden, layers


def usual_vocab(embedding_weights: tuple[float, float] | None, hidden: int) -> int:
    """The smallest usual vocabulary that the count of weights leaves room for; GPT's if none."""
    usual = (32000, 51200, 128256)
    if embedding_weights is None:
        return 51200
    low, high = embedding_weights
    return next((size for size in usual if low <= size * hidden <= high), 51200)


def is_gated(name: str) -> bool:
    """Whether a model of this name has three matrices in its feed-forward layer."""
    return _GATED.search(name.lower()) is not None


# Longer names first: an H100 is in every GH100.
_FAMILIES = (
    "GB300", "GB200", "B300", "B200", "GH200", "H200", "H800", "H100", "A800", "A100", "MI300X",
    "MI250X", "V100", "TPUv6e", "TPUv5p", "TPUv5e", "TPUv4", "Gaudi3", "Gaudi2", "L40S", "A40",
    "T4",
)  # fmt: skip
_SLOWEST_FIRST = ("RTX-2080-Ti", "Titan-RTX", "RTX-3090")


@cache
def device_of(name: str, memory_gb: float | None) -> Device:
    """The device of this name; of several, the slowest, which sets the pace.

    Raises:
        IrongridError: nobody knows it, nor a family that it may belong to.
    """
    mixed = [part for part in _SLOWEST_FIRST if part.lower()[:8] in name.lower()]
    if "+" in name and mixed:
        told = f"the slowest device of {name}"
        return Device(accelerator(mixed[0]), usual_node(catalog_name(mixed[0])), (told,))
    for candidate, notes in _device_spellings(name):
        for memory in (memory_gb, None):
            try:
                found = catalog_name(candidate, memory)
            except IrongridError:
                continue
            return Device(accelerator(candidate, memory), usual_node(found), notes)
    return Device(
        accelerator("A100-80GB"), usual_node("A100-80GB"), (f"{name} is unknown: as A100",)
    )


def _device_spellings(name: str) -> list[tuple[str, tuple[str, ...]]]:
    """The name itself, then less and less of it."""
    names: list[tuple[str, tuple[str, ...]]] = [(name, ())]
    words = re.split(r"[-_ /(]+", name)
    names += [("-".join(words[:n]), ()) for n in range(len(words) - 1, 0, -1)]
    for family in _FAMILIES:
        if plain(family) in plain(name):
            names.append((family, (f"{name} as {family}",)))
    return names


_PRECISIONS = (
    (r"nvfp4|fp4", "nvfp4"), (r"mxfp8|fp8-mx|fp8.mx", "mxfp8"), (r"fp8|float8|e4m3", "fp8"),
    (r"tf32", "tf32"), (r"bf16|bfloat", "bf16"), (r"fp16|float16|half|amp", "fp16"),
    (r"fp32|float32", "fp32"),
)  # fmt: skip


def precision_of(text: str, device: Accelerator) -> tuple[str, tuple[str, ...]]:
    """The precision of the products, and what was assumed.

    An FP8 run on Blackwell whose scaling is said to be of another granularity is block-scaled.
    """
    if "fp32/fp16" in text:
        return "fp16", ("precision not stated: fp16",)
    word = next((word for pattern, word in _PRECISIONS if re.search(pattern, text.lower())), "")
    told: tuple[str, ...] = () if word else ("precision: bf16",)
    word = word or "bf16"
    if "rowwise" in text:
        # In the rows that have both, scaling by rows gains nothing over bf16.
        return "bf16", ("fp8 by rows at the rate of bf16",)
    if "alt granularity" in text and device.generation == "blackwell":
        word = "mxfp8"
    if word in device.flops_per_s:
        return word, told
    stand_in = "fp8" if word == "mxfp8" and "fp8" in device.flops_per_s else ""
    stand_in = stand_in or next((p for p in ("bf16", "fp16") if p in device.flops_per_s), "fp32")
    return stand_in, (*told, f"{word} at the rate of {stand_in}")


# Software that is built on another that we know: MegaScale, arXiv:2402.15627; GPT-NeoX, its README.
_FORKS = (("megascale", "megatron"), ("neox", "megatron-deepspeed"))


def behaviour_of(
    framework: str, overlap: str, place: str, generation: str, zero: str, notes: str
) -> str:
    """The behaviour of the software that a row names, by its era where that matters."""
    text = framework.lower()
    old = generation in ("volta", "ampere", "turing")
    if "torchtitan" in text:
        eager = "torchtitan-eager" if "no compile" in notes else "torchtitan"
        return "torchtitan-async" if "async" in overlap.lower() else eager
    if "foundry" in text or "composer" in text:
        return "llm-foundry"
    if "bridge" in text:
        return _bridge_release(place)
    if "nemo" in text:
        return "nemo"
    if "maxtext" in text or "jax" in text or "pax" in text:
        return "maxtext"
    if "deepspeed" in text and "megatron" in text:
        return "zero3-2021" if zero == "3" and old else "megatron-deepspeed"
    if "deepspeed" in text:
        return "deepspeed"
    if "fsdp" in text:
        return "fsdp2"
    if "megatron" in text:
        return _megatron_year(text, place) if old and "core" not in text else "megatron"
    return next((known for fork, known in _FORKS if fork in text), "generic")


def _megatron_year(framework: str, place: str) -> str:
    """Megatron-LM by the year of its paper: fused attention came in 2023.

    The zero-bubble code of 2023 still writes its scores, as its memory shows.
    """
    found = re.search(r"arxiv:(\d\d)\d\d\.", place.lower())
    year = int(found[1]) if found else 21
    if "zero-bubble" in framework or year == 22:
        return "megatron-2022"
    return "megatron" if year > 22 else "megatron-2021"


def _bridge_release(place: str) -> str:
    """Megatron-Bridge by its container: its host time fell twice; 25.09 still dropped tokens."""
    found = re.search(r"container (\d\d)\.(\d\d)", place)
    release = int(found[1] + found[2]) if found else 2606
    if release >= 2606:
        return "megatron-bridge"
    if release >= 2602:
        return "megatron-bridge-2604"
    return "megatron-bridge-2511" if release >= 2511 else "megatron-bridge-2509"
