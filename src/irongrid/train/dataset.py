"""The corpus of one job: the same tokens at its first step and after every restart."""

import json
from collections.abc import Sequence
from pathlib import Path

from irongrid.domain.codec import canonical
from irongrid.errors import Problem, SpecError
from irongrid.train.config import TrainConfig
from irongrid.train.files import write_atomically
from irongrid.train.gang import Gang
from irongrid.train.tokens import TokenStream, open_tokens, prepare_tokens

PINNED = "data.json"
TOKENIZER = "tokenizer.json"


def open_dataset(config: TrainConfig, gang: Gang) -> TokenStream:
    """The job's tokens, checked to be the same on every rank and as at the job's first start.

    Raises:
        SpecError: the text files changed since then, or differ between nodes.
    """
    job_dir = Path(config.job_dir)
    pinned = _pinned(job_dir / PINNED)
    cache_dir = Path(config.cache_dir)
    stream = open_tokens(cache_dir, pinned["key"]) if pinned else None
    if stream is None:
        stream = prepare_tokens(cache_dir, config.task.data, config.task.model.vocab)
    mine = {"key": stream.meta.key, "tokens_sha256": stream.meta.tokens_sha256}
    if pinned and pinned != mine:
        raise _differs("the text files are not those of the job's first start", config.task.data)
    if gang.tell("data", canonical(mine) if gang.leads else None) != canonical(mine):
        raise _differs(f"rank {gang.rank} has other text files than rank 0", config.task.data)
    if gang.leads and not pinned:
        job_dir.mkdir(parents=True, exist_ok=True)
        write_atomically(job_dir / TOKENIZER, stream.tokenizer_path.read_bytes())
        write_atomically(job_dir / PINNED, canonical(mine).encode())
    return stream


def _pinned(path: Path) -> dict[str, str] | None:
    if not path.exists():
        return None
    content = json.loads(path.read_text(encoding="utf-8"))
    return {str(name): str(value) for name, value in content.items()}


def _differs(problem: str, patterns: Sequence[str]) -> SpecError:
    fix = f"Bring back the content of {', '.join(patterns)}, or submit a new job"
    return SpecError([Problem(field="train.data.path", problem=problem, fix=fix)])
