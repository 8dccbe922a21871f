"""The text files behind `train.data`, and what names their content."""

import glob
import hashlib
import os
import platform
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from irongrid.errors import Problem, SpecError

STDLIB = "stdlib"
STDLIB_BYTES = 4_000_000
# Tables, tests and programs: they say little about how people write Python.
_STDLIB_WITHOUT = frozenset(
    {"test", "tests", "site-packages", "dist-packages", "idlelib", "turtledemo", "lib2to3"}
    | {"encodings", "pydoc_data", "__pycache__"}
)
_READ_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file of the corpus as `stat` shows it."""

    path: Path
    size_bytes: int
    mtime_ns: int


def source_files(patterns: Sequence[str]) -> list[SourceFile]:
    """The files that the patterns name, each once, in an order that only the names decide.

    Raises:
        SpecError: a pattern matches no file.
    """
    if tuple(patterns) == (STDLIB,):
        return _stdlib_sample()
    found: dict[str, SourceFile] = {}
    for pattern in patterns:
        matches = [path for path in glob.glob(pattern, recursive=True) if os.path.isfile(path)]
        if not matches:
            problem = f"no file matches {pattern}"
            fix = f"Give a path or a pattern of text files, or the word {STDLIB}"
            raise SpecError([Problem(field="train.data.path", problem=problem, fix=fix)])
        found.update({path: _source(Path(path)) for path in matches})
    return [found[path] for path in sorted(found)]


def stat_fingerprint(files: Sequence[SourceFile]) -> str:
    """Changes whenever a file is written, without reading any."""
    digest = hashlib.sha256(platform.node().encode())
    for file in files:
        digest.update(f"{file.path}\0{file.size_bytes}\0{file.mtime_ns}\n".encode())
    return digest.hexdigest()


def content_hash(files: Sequence[SourceFile]) -> str:
    """Names the text itself, wherever it lies."""
    whole = hashlib.sha256()
    for file in files:
        with file.path.open("rb") as stream:
            whole.update(hashlib.file_digest(stream, "sha256").digest())
    return whole.hexdigest()


def text_pieces(path: Path) -> Iterator[str]:
    """A file's text in pieces of about 1 MiB that end at line ends; bad UTF-8 is replaced."""
    with path.open("rb") as stream:
        while piece := stream.read(_READ_BYTES):
            piece += stream.readline(_READ_BYTES)
            yield piece.decode("utf-8", errors="replace")


def _source(path: Path) -> SourceFile:
    facts = path.stat()
    return SourceFile(path, facts.st_size, facts.st_mtime_ns)


def _stdlib_sample() -> list[SourceFile]:
    """4 MB of this Python's own library: whole files, picked by a hash of their names."""
    root = Path(sysconfig.get_paths()["stdlib"])
    names: list[str] = []
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name not in _STDLIB_WITHOUT]
        within = Path(folder).relative_to(root)
        names += [str(within / name) for name in files if name.endswith(".py")]
    picked: list[SourceFile] = []
    left_bytes = STDLIB_BYTES
    for name in sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest()):
        file = _source(root / name)
        if file.size_bytes <= left_bytes:
            picked.append(file)
            left_bytes -= file.size_bytes
    if not picked:
        fix = "Install the library's sources, or give a path of text files"
        raise SpecError(
            [Problem(field="train.data.path", problem=f"no *.py files below {root}", fix=fix)]
        )
    return picked
