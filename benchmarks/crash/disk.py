"""A disk that may lose power: what was synced is there, of the rest any sectors in any state.

Strict POSIX: a new name, or the end of one, is sure only once its folder was synced; data and sizes
only once their file was.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from benchmarks.crash.syscalls import Op, Open, Sync, Truncate, Unlink, Write

SECTOR_BYTES = 512
FATES = ("lost", "written", "half", "ordered", "garbage")


@dataclass(eq=False)
class File:
    """One inode: its content on the disk, and what waits in the page cache."""

    synced: bytearray = field(default_factory=bytearray)
    pending: list[Write | Truncate] = field(default_factory=list)


@dataclass
class Disk:
    """The state of a folder: names as processes see them, and names as the disk has them."""

    names: dict[str, File] = field(default_factory=dict)
    synced_names: dict[str, File] = field(default_factory=dict)

    def do(self, op: Op) -> None:
        """Carry out one call."""
        if isinstance(op, Open):
            self.names.setdefault(op.file, File())
        elif isinstance(op, Write | Truncate):
            self.names[op.file].pending.append(op)
        elif isinstance(op, Unlink):
            del self.names[op.file]
        elif isinstance(op, Sync) and op.file == ".":
            self.synced_names = dict(self.names)
        elif isinstance(op, Sync):
            file = self.names[op.file]
            for change in file.pending:
                _apply(file.synced, change)
            file.pending = []

    @property
    def at_risk(self) -> bool:
        """Whether a loss of power could lose anything."""
        return self.names != self.synced_names or any(f.pending for f in self.names.values())

    def after_power_loss(self, fate: str, rng: random.Random) -> dict[str, bytes]:
        """The files that could be found after power came back, under one of the `FATES`.

        lost: nothing that was not synced; written: all of it; half: each sector by the toss of a
        coin; ordered: the calls up to some point, the last one torn; garbage: as half, and some
        sectors hold noise.
        """
        names = self.names if fate == "written" else self.synced_names
        if fate not in ("lost", "written"):
            names = {name: file for name, file in self._possible_names() if rng.random() < 0.5}
            names |= {n: f for n, f in self.synced_names.items() if self.names.get(n) is f}
        return {name: self._content(file, fate, rng) for name, file in names.items()}

    def _possible_names(self) -> Iterator[tuple[str, File]]:
        yield from self.synced_names.items()
        yield from self.names.items()

    def _content(self, file: File, fate: str, rng: random.Random) -> bytes:
        content = bytearray(file.synced)
        if fate == "lost":
            return bytes(content)
        until = rng.randint(0, len(file.pending)) if fate == "ordered" else len(file.pending)
        for index, change in enumerate(file.pending):
            if fate == "written" or (fate == "ordered" and index < until):
                _apply(content, change)
            elif fate == "ordered":
                if index == until and isinstance(change, Write):
                    torn = rng.randrange(0, len(change.data) + 1, SECTOR_BYTES)
                    _apply(content, Write(change.file, change.offset, change.data[:torn]))
                break
            elif isinstance(change, Truncate):
                if rng.random() < 0.5:
                    _apply(content, change)
            else:
                _apply_sectors(content, change, rng, garbage=fate == "garbage")
        return bytes(content)


def _apply(content: bytearray, change: Write | Truncate) -> None:
    end = change.size if isinstance(change, Truncate) else change.offset + len(change.data)
    if len(content) < end:
        content.extend(bytes(end - len(content)))
    if isinstance(change, Truncate):
        del content[change.size :]
    else:
        content[change.offset : end] = change.data


def _apply_sectors(content: bytearray, write: Write, rng: random.Random, *, garbage: bool) -> None:
    """Apply each sector that the write touches, or not, or noise in its place."""
    start = write.offset
    end = write.offset + len(write.data)
    while start < end:
        stop = min(end, (start // SECTOR_BYTES + 1) * SECTOR_BYTES)
        data = write.data[start - write.offset : stop - write.offset]
        toss = rng.random()
        if toss < 0.5:
            _apply(content, Write(write.file, start, data))
        elif garbage and toss < 0.6:
            _apply(content, Write(write.file, start, rng.randbytes(stop - start)))
        start = stop
