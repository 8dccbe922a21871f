"""The fields of a job file: their names, kinds, meanings and examples.

One class per section. A field that is not given is None, whether it is required or not: so a file
with a wrong field can still be checked for everything else. What is required, and what one field
means for another, is in `rules`. Defaults are those of the domain and stand nowhere else.
"""

from typing import Annotated

from pydantic import Field

from irongrid.domain.model import PRESETS
from irongrid.spec import amounts, paths, values
from irongrid.spec.amounts import MAX_COUNT, Accelerator, Count, Every
from irongrid.spec.environment import environment
from irongrid.spec.findings import Path
from irongrid.spec.sections import Grammar, Section, about, walk
from irongrid.spec.values import MAX_STEPS

API_VERSION = "irongrid/v1"
_YEAR_S = 365 * 86400


class Model(Section):
    """The shape of the model: a preset, the numbers themselves, or a preset with some changed."""

    example = "{preset: llama-3m}"

    preset: Annotated[str | None, values.choice(*PRESETS, called="a preset")] = about(
        "a known shape", "llama-160m"
    )
    layers: Annotated[int | None, values.whole(1, 1024)] = about("transformer blocks", 12)
    hidden: Annotated[int | None, values.whole(8, 131_072)] = about(
        "width of the residual stream", 768
    )
    heads: Annotated[int | None, values.whole(1, 1024)] = about(
        "query heads; they divide `hidden`, and `hidden / heads` is even", 12
    )
    kv_heads: Annotated[int | None, values.whole(1, 1024)] = about(
        "key and value heads; they divide `heads`, which is also the default", 4
    )
    ffn: Annotated[int | None, values.whole(8, 1_048_576)] = about(
        "width of SwiGLU's inner layer", 2048
    )
    vocab: Annotated[int | None, values.whole(512, 1_048_576)] = about(
        "tokens of the vocabulary, trained from the data", 32000
    )
    tied: Annotated[bool | None, values.yes_or_no()] = about(
        "whether embedding and output share weights", True
    )


class Data(Section):
    """The text to train on."""

    example = "{path: corpus/*.txt}"
    required = ("path",)

    path: Annotated[tuple[str, ...] | None, paths.data_paths()] = about(
        "a text file, a pattern, a list of them, or the word `stdlib`: a fixed 4 MB sample of the "
        "Python standard library's sources",
        "corpus/*.txt",
    )


class Eval(Section):
    """Measuring the loss on text that is held out of training."""

    example = "{every: 100}"

    every: Annotated[int | None, values.whole(0, MAX_STEPS)] = about(
        "steps between two measurements; 0 is never", 100
    )
    fraction: Annotated[float | None, values.number(0, 0.5, above=True)] = about(
        "share of the tokens that is held out", 0.01
    )


class Train(Section):
    """The built-in recipe: a decoder-only language model on text files."""

    example = "{model: {preset: llama-3m}, data: {path: stdlib}, ...}"
    required = ("model", "data", "global_batch", "seq_len", "steps")

    model: Model = Field(default_factory=Model)
    data: Data = Field(default_factory=Data)
    global_batch: Annotated[int | None, values.whole(1, 1_048_576)] = about(
        "samples per optimizer step, over all ranks", 256
    )
    seq_len: Annotated[int | None, values.whole(2, 1_048_576)] = about("tokens per sample", 1024)
    steps: Annotated[int | None, values.whole(1, MAX_STEPS)] = about("optimizer steps", 2000)
    micro_batch: Annotated[int | None, values.whole(1, 1_048_576)] = about(
        "samples per rank and forward pass; the recipe chooses by default", 4
    )
    dp_replicate: Annotated[int | None, values.whole(1, MAX_COUNT)] = about(
        "copies of the model that all-reduce (HSDP); the other ranks shard", 2
    )
    eval: Eval = Field(default_factory=Eval)
    learning_rate: Annotated[float | None, values.number(0, 10, above=True)] = about(
        "peak of the warm-up and cosine schedule", 0.0003
    )
    warmup_steps: Annotated[int | None, values.whole(0, MAX_STEPS)] = about(
        "steps over which the learning rate rises", 100
    )
    weight_decay: Annotated[float | None, values.number(0, 10)] = about("AdamW's weight decay", 0.1)
    clip_norm: Annotated[float | None, values.number(0, 1_000_000, above=True)] = about(
        "largest norm of the gradient", 1.0
    )
    seed: Annotated[int | None, values.whole(0, 2**32 - 1)] = about(
        "of initial weights and order of samples", 0
    )
    precision: Annotated[str | None, values.choice("auto", "fp32", "bf16")] = about(
        "of the computation; `auto` is bf16 on GPUs and fp32 on CPUs", "auto"
    )


class Resources(Section):
    """What the gang of ranks needs. One rank runs on each device."""

    example = "{count: 4}"

    accelerator: Annotated[Accelerator | None, amounts.accelerator()] = about(
        "device type: `any`, `cpu`, or a name such as `H100`; `H100:8` also says how many",
        "H100:8",
    )
    count: Annotated[Count | None, amounts.count()] = about(
        "devices, so ranks: a number, or a range of sizes on which the job may run", "1..8"
    )
    cpus: Annotated[float | None, values.number(0, 4096)] = about(
        "CPU cores per rank; 0 asks for none and sets no limit", 2
    )
    memory: Annotated[int | None, amounts.size_bytes(2**20, 2**50)] = about(
        "host memory per rank, with its unit; no limit by default", "4GiB"
    )


class Retries(Section):
    """Starting a failed gang again."""

    example = "{max: 3}"

    max: Annotated[int | None, values.whole(0, 1000)] = about(
        "restarts in a row without progress before the job fails", 3
    )
    on: Annotated[tuple[str, ...] | None, values.words("infrastructure", "user")] = about(
        "whose failures are worth another try", ["infrastructure"]
    )


class Checkpoint(Section):
    """Saving the state of a train job."""

    example = "{every: auto}"

    every: Annotated[Every | None, amounts.every(1, _YEAR_S)] = about(
        "`auto` (from the measured cost and the failures seen), a number of steps, or a time",
        "auto",
    )
    keep: Annotated[int | None, values.whole(1, 1000)] = about("checkpoints that are kept", 2)


class Limits(Section):
    """When to stop a job that would go on."""

    example = "{max_duration: 12h}"

    max_duration: Annotated[float | None, amounts.duration_s(1, 10 * _YEAR_S)] = about(
        "running time after which the job is stopped; no limit by default", "12h"
    )


class Job(Section):
    """A job for Irongrid: a command (`run`) or the built-in recipe (`train`), and what it needs."""

    example = "{run: python train.py}"

    apiVersion: Annotated[str | None, values.choice(API_VERSION)] = about(  # noqa: N815
        "version of this format", API_VERSION
    )
    name: Annotated[str | None, values.job_name()] = about(
        "name for people; the name of the file by default", "code-llama-tiny"
    )
    run: Annotated[tuple[str, ...] | None, values.command()] = about(
        "command that every rank runs: text for the shell, or a list of arguments",
        "python train.py",
    )
    train: Train = Field(default_factory=Train)
    workdir: Annotated[str | None, paths.path()] = about(
        "folder in which ranks run, relative to the file; the file's own folder by default", "."
    )
    interpreter: Annotated[str | None, paths.path()] = about(
        "Python whose folder leads the ranks' PATH; the one that runs `irongrid` by default",
        ".venv/bin/python",
    )
    env: Annotated[dict[str, str] | None, environment()] = about(
        "variables for the ranks; values are kept out of logs, lists and reports",
        {"OMP_NUM_THREADS": "1"},
    )
    resources: Resources = Field(default_factory=Resources)
    retries: Retries = Field(default_factory=Retries)
    checkpoint: Checkpoint = Field(default_factory=Checkpoint)
    limits: Limits = Field(default_factory=Limits)
    priority: Annotated[str | None, values.only("normal")] = about(
        "place in the queue; only `normal` so far", "normal"
    )


SECTIONS: dict[Path, type[Section]] = dict(walk(Job))

# Part of the format, but nothing acts on them yet: refused, so that nobody relies on them.
NOT_YET: dict[Path, str] = {
    ("objective",): "Remove it; every job is started as early as possible",
    ("topology",): "Remove it; a gang is placed on the fewest nodes",
    ("team",): "Remove it; all jobs share one queue",
    ("plan",): "Remove it, and use train.dp_replicate to choose between copies and shards",
    ("notify",): "Remove it, and use `irongrid submit --wait` to learn of the end",
    ("limits", "deadline"): "Remove it, or use limits.max_duration",
    ("limits", "budget_usd"): "Remove it, or use limits.max_duration",
    ("resources", "fraction"): "Remove it; a rank gets a whole device",
    ("train", "init"): "Remove it; training begins from random weights",
    ("train", "trainable"): "Remove it; all weights are trained",
    ("train", "model", "experts"): "Remove it; models are dense",
    ("train", "model", "top_k"): "Remove it; models are dense",
}

# What people write who come from other tools.
OTHER_WORDS: dict[str, Path] = {
    "command": ("run",), "cmd": ("run",), "script": ("run",), "entrypoint": ("run",),
    "cwd": ("workdir",), "working_dir": ("workdir",), "environment": ("env",), "envs": ("env",),
    "python": ("interpreter",), "accelerators": ("resources", "accelerator"),
    "gpus": ("resources", "count"), "gpu": ("resources", "count"), "ranks": ("resources", "count"),
    "num_gpus": ("resources", "count"), "replicas": ("resources", "count"),
    "nproc_per_node": ("resources", "count"), "mem": ("resources", "memory"),
    "timeout": ("limits", "max_duration"), "time_limit": ("limits", "max_duration"),
    "lr": ("train", "learning_rate"), "batch_size": ("train", "global_batch"),
    "max_steps": ("train", "steps"), "d_model": ("train", "model", "hidden"),
}  # fmt: skip

GRAMMAR = Grammar(SECTIONS, NOT_YET, OTHER_WORDS)
