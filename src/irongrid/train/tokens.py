"""Tokenised corpora: built once, kept by the hash of what they were made from, memory-mapped.

<cache>/tokens/<key>/{tokens.bin, tokenizer.json, meta.json}
<cache>/tokens/seen/<fingerprint>           which key unchanged files have
"""

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from irongrid.domain.codec import canonical, from_json, to_json
from irongrid.errors import CodecError, Problem, SpecError
from irongrid.train.corpus import (
    SourceFile,
    content_hash,
    source_files,
    stat_fingerprint,
    text_pieces,
)
from irongrid.train.files import write_atomically
from irongrid.train.sampler import Indices, SampleOrder
from irongrid.train.tokenizer import END_OF_TEXT, has_bpe, train_tokenizer

_FORMAT = 1
# Merges are learned from this much text; on the stdlib sample 1, 2 and 4 MB gave 3.11, 3.16 and
# 3.20 bytes per token.
_TRAINING_BYTES = 4_000_000
_ENCODE_AT_ONCE = 32
_LOCK_POLL_S = 0.02
Working = Callable[[], None]


def _quiet() -> None:
    """Nobody waits for a word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenMeta:
    """What `meta.json` says of a finished cache entry.

    Attributes:
        mtime_ns: of `tokens.bin` when it was verified; while it stands, so does the verdict.
    """

    key: str
    tokenizer: str
    vocab: int
    dtype: str
    tokens: int
    tokens_sha256: str
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class TokenStream:
    """A corpus as token ids, ready to be read by windows."""

    meta: TokenMeta
    folder: Path
    ids: NDArray[np.unsignedinteger]

    @property
    def tokenizer_path(self) -> Path:
        """The definition of the tokenizer that made it."""
        return self.folder / "tokenizer.json"

    def windows(self, windows: Indices, seq_len: int) -> NDArray[np.int64]:
        """Rows of `seq_len + 1` tokens: inputs, and targets shifted by one."""
        rows = [self.ids[first : first + seq_len + 1] for first in (windows * seq_len).tolist()]
        return np.stack(rows).astype(np.int64)

    def order(self, *, seq_len: int, held_out_fraction: float, seed: int) -> SampleOrder:
        """The order in which to train on this stream.

        Raises:
            SpecError: the corpus is too short for one sample.
        """
        windows = (self.meta.tokens - 1) // seq_len
        held_out = max(1, round(windows * held_out_fraction)) if held_out_fraction > 0 else 0
        if windows - held_out < 1:
            problem = f"{self.meta.tokens} tokens do not give one training sample of {seq_len}"
            fix = "Give more text, or a shorter train.seq_len"
            raise SpecError([Problem(field="train.data.path", problem=problem, fix=fix)])
        return SampleOrder(windows=windows, held_out=held_out, seed=seed)


def prepare_tokens(
    cache_dir: Path, patterns: Sequence[str], vocab: int, working: Working = _quiet
) -> TokenStream:
    """The tokenised corpus behind the patterns; the first caller builds it, others wait.

    Args:
        working: called again and again meanwhile, as both may take long.
    """
    root = cache_dir / "tokens"
    files = source_files(patterns)
    settings = f"{_FORMAT}/{'bpe' if has_bpe() else 'bytes'}/{vocab}"
    seen = hashlib.sha256(f"{settings}/{stat_fingerprint(files)}".encode()).hexdigest()
    note = root / "seen" / seen
    note.parent.mkdir(parents=True, exist_ok=True)
    with _locked(note.with_suffix(".lock"), working):
        if note.exists() and (known := open_tokens(cache_dir, note.read_text())):
            return known
        key = hashlib.sha256(f"{settings}/{content_hash(files)}".encode()).hexdigest()[:32]
        stream = open_tokens(cache_dir, key)
        if stream is None:
            _build(root, key, files, vocab, working)
            stream = open_tokens(cache_dir, key)
        if stream is None:
            raise OSError(f"{root / key} cannot be read back right after it was written")
        write_atomically(note, key.encode())
        return stream


def open_tokens(cache_dir: Path, key: str) -> TokenStream | None:
    """A finished entry; None when it is missing or does not match its checksum."""
    folder = cache_dir / "tokens" / key
    path = folder / "tokens.bin"
    try:
        meta = from_json(TokenMeta, json.loads((folder / "meta.json").read_text()))
        facts = path.stat()
    except (OSError, ValueError, CodecError):
        return None
    dtype = np.dtype(meta.dtype)
    if facts.st_size != meta.tokens * dtype.itemsize:
        return None
    if facts.st_mtime_ns != meta.mtime_ns and _sha256(path) != meta.tokens_sha256:
        return None
    return TokenStream(meta, folder, np.memmap(path, dtype=dtype, mode="r"))


def _build(root: Path, key: str, files: Sequence[SourceFile], vocab: int, working: Working) -> None:
    """Write the entry aside and move it into place whole."""
    aside = root / f".{key}.{os.getpid()}"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    tokenizer = train_tokenizer(_training_sample(files), vocab, bpe=has_bpe())
    write_atomically(aside / "tokenizer.json", tokenizer.definition().encode())
    dtype = np.dtype(np.uint16 if vocab <= 2**16 else np.uint32)
    digest, tokens, path = hashlib.sha256(), 0, aside / "tokens.bin"
    with path.open("wb") as out:
        for texts in _batched(_pieces_and_ends(files), _ENCODE_AT_ONCE):
            working()
            for text, ids in zip(texts, tokenizer.encode([t or "" for t in texts]), strict=True):
                raw = np.array([END_OF_TEXT] if text is None else ids, dtype=dtype).tobytes()
                digest.update(raw)
                tokens += len(raw) // dtype.itemsize
                out.write(raw)
        out.flush()
        os.fsync(out.fileno())
    meta = TokenMeta(
        key=key,
        tokenizer=tokenizer.kind,
        vocab=vocab,
        dtype=dtype.name,
        tokens=tokens,
        tokens_sha256=digest.hexdigest(),
        mtime_ns=path.stat().st_mtime_ns,
    )
    write_atomically(aside / "meta.json", canonical(to_json(meta)).encode())
    shutil.rmtree(root / key, ignore_errors=True)  # a damaged one; an intact one is never rebuilt
    aside.rename(root / key)


def _training_sample(files: Sequence[SourceFile]) -> Iterator[str]:
    """Text from the start of every file, an equal share of each."""
    share = max(2**16, _TRAINING_BYTES // len(files))
    left = _TRAINING_BYTES
    for file in files:
        taken = 0
        for piece in text_pieces(file.path):
            part = piece[: share - taken]
            taken += len(part)
            yield part
            if taken == share:
                break
        left -= taken
        if left <= 0:
            return


def _pieces_and_ends(files: Sequence[SourceFile]) -> Iterator[str | None]:
    """Every file's text in order; None where a file ends."""
    for file in files:
        yield from text_pieces(file.path)
        yield None


def _batched(items: Iterable[str | None], size: int) -> Iterator[list[str | None]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def _locked(path: Path, working: Working) -> Iterator[None]:
    """Hold a lock between processes; it goes with its holder."""
    with path.open("w") as stream:
        while not _try_lock(stream):
            working()
            time.sleep(_LOCK_POLL_S)
        yield


def _try_lock(stream: IO[str]) -> bool:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
