"""Text from a job's newest checkpoint: `python -m irongrid.train.sample --job-dir DIR`.

The prompt and what follows it go to stdout, and nothing else.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from irongrid.domain.plan import ParallelPlan
from irongrid.errors import CheckpointDamaged, IrongridError
from irongrid.train.checkpoint.layout import (
    Manifest,
    complete_places,
    read_indexes,
    read_manifest,
)
from irongrid.train.checkpoint.reader import SavedState
from irongrid.train.checkpoint.state import state_of
from irongrid.train.dataset import TOKENIZER
from irongrid.train.sharded import ShardedModel, build
from irongrid.train.tokenizer import END_OF_TEXT, Tokenizer, load_tokenizer

_ANY_EPOCH = 2**62
_SINGLE = ParallelPlan(world_size=1, dp_replicate=1, dp_shard=1, micro_batch=1, grad_accum=1)


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A model in one process, with its tokenizer and where it comes from."""

    module: nn.Module
    tokenizer: Tokenizer
    manifest: Manifest


def load_newest(job_dir: Path) -> TrainedModel:
    """The newest sound checkpoint of a job, weights alone.

    Raises:
        CheckpointDamaged: there is none.
    """
    root = job_dir / "checkpoints"
    problems = []
    for place in complete_places(root, _ANY_EPOCH):
        try:
            manifest = read_manifest(root, place)
            model = _load_weights(root, manifest)
        except CheckpointDamaged as error:
            problems.append(str(error))
            continue
        return TrainedModel(model.module, load_tokenizer(job_dir / TOKENIZER), manifest)
    raise CheckpointDamaged(str(root), "; ".join(problems) or "holds no checkpoint yet")


def generate(
    model: TrainedModel, prompt: str, *, tokens: int, temperature: float, seed: int
) -> str:
    """The prompt and up to `tokens` tokens more; temperature 0 takes the likeliest each time."""
    ids = model.tokenizer.encode([prompt])[0] or [END_OF_TEXT]
    ids += _continuation(model, list(ids), tokens, temperature, seed)
    return model.tokenizer.decode(ids)


def _continuation(
    model: TrainedModel, ids: list[int], tokens: int, temperature: float, seed: int
) -> Iterator[int]:
    randomness = torch.Generator().manual_seed(seed)
    context = model.manifest.seq_len
    for _ in range(tokens):
        tokens_BS = torch.tensor([ids[-context:]])
        with torch.no_grad():
            logits_V: Tensor = model.module(tokens_BS)[0, -1]
        if temperature <= 0:
            chosen = int(logits_V.argmax())
        else:
            chances_V = (logits_V / temperature).softmax(dim=-1)
            chosen = int(torch.multinomial(chances_V, 1, generator=randomness))
        if chosen == END_OF_TEXT:
            return
        ids.append(chosen)
        yield chosen


def _load_weights(root: Path, manifest: Manifest) -> ShardedModel:
    model = build(manifest.model, _SINGLE, None, torch.device("cpu"))
    saved = SavedState(root, read_indexes(root, manifest))
    for target in state_of(model.shards, None):
        saved.load(target)
    return model


def main(argv: list[str] | None = None) -> int:
    """Print a sample; the exit code."""
    parser = argparse.ArgumentParser(prog="irongrid.train.sample", description=__doc__)
    parser.add_argument("--job-dir", type=Path, required=True)
    parser.add_argument("--prompt", default="def ")
    parser.add_argument("--tokens", type=int, default=100)
    parser.add_argument("--temperature", type=float, default=0.7)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    try:
        model = load_newest(arguments.job_dir)
        text = generate(
            model,
            arguments.prompt,
            tokens=arguments.tokens,
            temperature=arguments.temperature,
            seed=arguments.seed,
        )
    except IrongridError as error:
        sys.stderr.write(f"irongrid: {error}\n")
        return 1
    sys.stdout.write(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
