"""Text to token ids and back: byte-level BPE, or plain bytes where `tokenizers` is not installed.

Both give any byte sequence an id sequence. Id 0 ends a document.
"""

import json
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from irongrid.errors import Problem, SpecError

if TYPE_CHECKING:
    import tokenizers

END_OF_TEXT = 0
_END_NAME = "<|end|>"
# 256 bytes and the end of a document.
SMALLEST_VOCAB = 257


class Tokenizer(Protocol):
    """Ids below the vocabulary's size for any text."""

    kind: str

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text, without an end mark."""

    def decode(self, ids: Sequence[int]) -> str:
        """The text behind ids; bytes that are no UTF-8 become replacement marks."""

    def definition(self) -> str:
        """JSON from which `load` makes the same tokenizer."""


class ByteTokenizer:
    """Id = byte + 1."""

    kind = "bytes"

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """One id per byte."""
        return [[byte + 1 for byte in text.encode("utf-8", "replace")] for text in texts]

    def decode(self, ids: Sequence[int]) -> str:
        """Skips ids that stand for no byte."""
        return bytes(i - 1 for i in ids if 1 <= i <= 256).decode("utf-8", "replace")

    def definition(self) -> str:
        """Nothing to remember but the kind."""
        return json.dumps({"kind": self.kind})


class BpeTokenizer:
    """Byte-level BPE by the `tokenizers` package."""

    kind = "bpe"

    def __init__(self, inner: "tokenizers.Tokenizer") -> None:
        self._inner = inner

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text; the package spreads the texts over threads."""
        return [list(encoding.ids) for encoding in self._inner.encode_batch_fast(list(texts))]

    def decode(self, ids: Sequence[int]) -> str:
        """Leaves out the end mark."""
        return str(self._inner.decode(list(ids), skip_special_tokens=True))

    def definition(self) -> str:
        """The package's own JSON, inside ours."""
        return json.dumps({"kind": self.kind, "tokenizers": json.loads(self._inner.to_str())})


def has_bpe() -> bool:
    """Whether the `tokenizers` package is installed."""
    return find_spec("tokenizers") is not None


def train_tokenizer(sample: Iterable[str], vocab: int, *, bpe: bool) -> Tokenizer:
    """A tokenizer of at most `vocab` ids, with merges learned from the sample.

    Raises:
        SpecError: the vocabulary cannot even hold every byte.
    """
    if vocab < SMALLEST_VOCAB:
        problem = f"{vocab} tokens cannot hold all 256 bytes and the end of a document"
        fix = f"Use at least {SMALLEST_VOCAB}"
        raise SpecError([Problem(field="train.model.vocab", problem=problem, fix=fix)])
    if not bpe:
        return ByteTokenizer()
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=[_END_NAME],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(sample, trainer)
    return BpeTokenizer(inner)


def load_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer that `definition` described.

    Raises:
        SpecError: it needs a package that is not installed.
    """
    described = json.loads(path.read_text(encoding="utf-8"))
    if described["kind"] == ByteTokenizer.kind:
        return ByteTokenizer()
    if not has_bpe():
        fix = "Install it: pip install tokenizers"
        raise SpecError([Problem(field=str(path), problem="needs `tokenizers`", fix=fix)])
    from tokenizers import Tokenizer

    return BpeTokenizer(Tokenizer.from_str(json.dumps(described["tokenizers"])))
