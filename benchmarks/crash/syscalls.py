"""What a process did to the files of one folder, in order, from a trace of its system calls."""

import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes went to the page cache."""

    file: str
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Truncate:
    """The file was cut, or filled up with zeros."""

    file: str
    size: int


@dataclass(frozen=True, slots=True)
class Open:
    """The file was opened, and made if there was none."""

    file: str


@dataclass(frozen=True, slots=True)
class Unlink:
    """The name was removed."""

    file: str


@dataclass(frozen=True, slots=True)
class Sync:
    """What was written to the file is on the disk when this ends. The folder's name is `.`."""

    file: str


@dataclass(frozen=True, slots=True)
class Note:
    """A line that the process wrote into the file `notes`: what it told the world."""

    text: str


Op = Write | Truncate | Open | Unlink | Sync | Note

NOTES = "notes"
CALLS = (
    "openat,open,creat,write,writev,pwrite64,pwritev,pwritev2,ftruncate,truncate,fallocate,fsync,"
    "fdatasync,sync_file_range,unlink,unlinkat,rename,renameat,renameat2,link,linkat,mmap"
)
_LINE = re.compile(r"\d+ +(\w+)\((.*)\) += (-?\d+|0x[0-9a-f]+)(<[^>]*>)?")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_PATH = re.compile(r"\d+<((?:\\x[0-9a-f]{2})*)>")


def strace() -> str:
    """Where strace is.

    Raises:
        FileNotFoundError: it is not installed.
    """
    found = shutil.which("strace")
    if found is None:
        raise FileNotFoundError("strace is missing. Install it: apt-get install strace")
    return found


def trace(argv: Sequence[str], folder: Path, ignored: Sequence[str]) -> list[Op]:
    """Run a command; what it did in `folder`, without the files whose names end as `ignored`."""
    log = folder.with_name(folder.name + ".trace")
    tracer = [strace(), "-f", "-y", "-xx", "-s", "9999999", "-e", f"trace={CALLS}", "-o", str(log)]
    subprocess.run([*tracer, *argv], check=True, timeout=120)
    with log.open() as lines:
        return list(_ops(lines, str(folder.resolve()), tuple(ignored)))


def _ops(lines: Iterable[str], folder: str, ignored: tuple[str, ...]) -> Iterator[Op]:
    here = _hex(folder)
    for line in lines:
        if here not in line:
            continue
        match = _LINE.match(line)
        if match is None:
            # A call that another thread interrupted would lose its place in the order.
            raise ValueError(f"a call that this model does not know: {line[:200]}")
        call, arguments, result, opened = match.groups()
        if result == "-1":
            continue
        path = _path_of(call, arguments, opened)
        if path != folder and not path.startswith(folder + "/"):
            continue
        name = path[len(folder) + 1 :] or "."
        if not name.endswith(ignored):
            yield from _op(call, name, arguments, int(result, 0), line)


def _op(call: str, name: str, arguments: str, result: int, line: str) -> Iterator[Op]:
    if call in ("openat", "open", "creat"):
        if name not in (".", NOTES):
            yield Open(name)
    elif call == "pwrite64":
        text = _TEXT.search(arguments)
        assert text is not None
        yield Write(name, int(arguments.rpartition(",")[2]), _bytes(text[1])[:result])
    elif call == "write" and name == NOTES:
        text = _TEXT.search(arguments)
        assert text is not None
        yield from (Note(note) for note in _bytes(text[1]).decode().splitlines())
    elif call == "ftruncate":
        yield Truncate(name, int(arguments.rpartition(",")[2]))
    elif call in ("fsync", "fdatasync"):
        yield Sync(name)
    elif call in ("unlink", "unlinkat"):
        yield Unlink(name)
    elif call != "mmap" or ("MAP_SHARED" in arguments and "PROT_WRITE" in arguments):
        raise ValueError(f"a call that this model does not know: {line[:200]}")


def _path_of(call: str, arguments: str, opened: str | None) -> str:
    if opened is not None:
        return _bytes(opened[1:-1]).decode()
    if call.startswith("unlink"):
        text = _TEXT.search(arguments)
        assert text is not None
        return _bytes(text[1]).decode()
    path = _PATH.search(arguments)
    return "" if path is None else _bytes(path[1]).decode()


def _hex(text: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in text.encode())


def _bytes(escaped: str) -> bytes:
    return bytes.fromhex(escaped.replace("\\x", ""))
