"""The corpus of one job: the same tokens at its first step and after every restart."""

import json
import time
from collections.abc import Sequence
from pathlib import Path

from irongrid import session
from irongrid.domain.codec import canonical
from irongrid.errors import Problem, SpecError
from irongrid.train.config import TrainConfig
from irongrid.train.files import write_atomically
from irongrid.train.gang import Gang
from irongrid.train.tokens import TokenStream, open_tokens, prepare_tokens

PINNED = "data.json"
TOKENIZER = "tokenizer.json"
_WORD_EVERY_S = 5.0


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
        task = config.task
        stream = prepare_tokens(cache_dir, task.data, task.model.vocab, _Working())
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


class _Working:
    """Tells the worker every few seconds that this rank is not hung: tokenising may take hours."""

    def __init__(self) -> None:
        self._next_s = 0.0

    def __call__(self) -> None:
        now_s = time.monotonic()
        if now_s >= self._next_s:
            self._next_s = now_s + _WORD_EVERY_S
            session.phase("build")


def _pinned(path: Path) -> dict[str, str] | None:
    if not path.exists():
        return None
    content = json.loads(path.read_text(encoding="utf-8"))
    return {str(name): str(value) for name, value in content.items()}


def _differs(problem: str, patterns: Sequence[str]) -> SpecError:
    fix = f"Bring back the content of {', '.join(patterns)}, or submit a new job"
    return SpecError([Problem(field="train.data.path", problem=problem, fix=fix)])
