"""Tokenised data: built once, exact, found again by its content."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from irongrid.errors import SpecError
from irongrid.train.corpus import STDLIB_BYTES, source_files
from irongrid.train.tokenizer import (
    END_OF_TEXT,
    BpeTokenizer,
    ByteTokenizer,
    load_tokenizer,
    train_tokenizer,
)
from irongrid.train.tokens import open_tokens, prepare_tokens

TEXT = "the quick brown fox — 速い茶色の狐 🦊\n" * 50


@pytest.mark.parametrize("bpe", [True, False])
def test_any_text_comes_back(tmp_path: Path, bpe: bool) -> None:
    tokenizer = train_tokenizer([TEXT], 400, bpe=bpe)
    path = tmp_path / "tokenizer.json"
    path.write_text(tokenizer.definition())
    again = load_tokenizer(path)

    for text in (TEXT, "never seen: \x00\u1234\n\t", ""):
        [ids] = tokenizer.encode([text])
        assert all(END_OF_TEXT < i < 400 for i in ids)
        assert again.decode(ids) == text
        assert again.encode([text]) == [ids]


def test_bpe_needs_fewer_tokens_than_bytes() -> None:
    [bpe], [plain] = (train_tokenizer([TEXT], 400, bpe=b).encode([TEXT]) for b in (True, False))

    assert len(bpe) < len(plain) / 3


def test_a_vocabulary_below_all_bytes_is_refused() -> None:
    with pytest.raises(SpecError, match="Use at least 257"):
        train_tokenizer([TEXT], 256, bpe=True)


def files(folder: Path, count: int = 3) -> str:
    folder.mkdir(exist_ok=True)
    for number in range(count):
        (folder / f"{number}.txt").write_text(f"file {number}\n{TEXT}")
    return str(folder / "*.txt")


def test_the_stream_is_all_files_in_order_each_with_its_end(tmp_path: Path) -> None:
    stream = prepare_tokens(tmp_path / "cache", [files(tmp_path / "in")], 400)

    documents = np.split(stream.ids, np.flatnonzero(stream.ids == END_OF_TEXT) + 1)
    decode = load_tokenizer(stream.tokenizer_path).decode
    assert [decode(d[:-1].tolist()) for d in documents[:-1]] == [
        f"file {number}\n{TEXT}" for number in range(3)
    ]
    assert len(documents[-1]) == 0
    assert stream.ids.dtype == np.uint16


def test_windows_overlap_only_in_the_token_that_is_target_and_next_input(tmp_path: Path) -> None:
    stream = prepare_tokens(tmp_path / "cache", [files(tmp_path / "in")], 400)

    rows = stream.windows(np.array([0, 1, 2], dtype=np.uint64), 8)

    assert rows.shape == (3, 9)
    assert (rows[:, :-1].flatten() == stream.ids[:24]).all()
    assert (rows[:-1, -1] == rows[1:, 0]).all()


def test_equal_content_is_built_once_wherever_it_lies(tmp_path: Path) -> None:
    first = prepare_tokens(tmp_path / "cache", [files(tmp_path / "a")], 400)
    built_at_ns = first.meta.mtime_ns
    second = prepare_tokens(tmp_path / "cache", [files(tmp_path / "b")], 400)
    other_vocab = prepare_tokens(tmp_path / "cache", [files(tmp_path / "a")], 500)

    assert second.folder == first.folder
    assert second.meta.mtime_ns == built_at_ns
    assert other_vocab.folder != first.folder


def test_changed_files_give_other_tokens(tmp_path: Path) -> None:
    pattern = files(tmp_path / "in")
    first = prepare_tokens(tmp_path / "cache", [pattern], 400)
    (tmp_path / "in" / "1.txt").write_text("something else\n")

    assert prepare_tokens(tmp_path / "cache", [pattern], 400).meta.key != first.meta.key


def test_a_damaged_entry_is_noticed_and_built_again(tmp_path: Path) -> None:
    pattern = files(tmp_path / "in")
    first = prepare_tokens(tmp_path / "cache", [pattern], 400)
    wanted = first.ids.tolist()
    path = first.folder / "tokens.bin"
    path.write_bytes(path.read_bytes()[:-2] + b"\x01\x01")

    assert open_tokens(tmp_path / "cache", first.meta.key) is None
    assert prepare_tokens(tmp_path / "cache", [pattern], 400).ids.tolist() == wanted


def test_many_processes_build_an_entry_once(tmp_path: Path) -> None:
    pattern, cache = files(tmp_path / "in", count=20), tmp_path / "cache"
    code = (
        "import sys; from pathlib import Path\n"
        "from irongrid.train.tokens import prepare_tokens\n"
        "s = prepare_tokens(Path(sys.argv[1]), [sys.argv[2]], 400)\n"
        "print(s.meta.mtime_ns, s.meta.tokens_sha256)"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(cache), pattern], stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    said = [process.communicate(timeout=180)[0] for process in processes]

    assert len(set(said)) == 1
    assert said[0]
    assert [p for p in (cache / "tokens").iterdir() if p.name.startswith(".")] == []


def test_a_pattern_without_files_and_a_text_without_a_sample_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no file matches"):
        prepare_tokens(tmp_path / "cache", [str(tmp_path / "*.md")], 400)

    (tmp_path / "short.md").write_text("short")
    stream = prepare_tokens(tmp_path / "cache", [str(tmp_path / "*.md")], 400)
    with pytest.raises(SpecError, match="do not give one training sample of 64"):
        stream.order(seq_len=64, held_out_fraction=0.01, seed=0)


def test_the_standard_library_sample_is_four_megabytes_and_always_the_same() -> None:
    one, two = source_files(["stdlib"]), source_files(["stdlib"])

    assert one == two
    assert STDLIB_BYTES * 0.97 < sum(file.size_bytes for file in one) <= STDLIB_BYTES
    assert not any("test" in file.path.parts for file in one)


def test_both_tokenizers_name_their_kind() -> None:
    assert {BpeTokenizer.kind, ByteTokenizer.kind} == {"bpe", "bytes"}
