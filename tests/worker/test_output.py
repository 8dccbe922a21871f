"""A rank's output: everything on disk, the last lines at hand."""

import os
from pathlib import Path

from irongrid.telemetry.ranklogs import RankLog
from irongrid.worker.output import TAIL_LINES, Pipe, Tail


def tail_of(*parts: bytes) -> tuple[str, ...]:
    tail = Tail()
    for part in parts:
        tail.feed(part)
    return tail.lines()


def test_the_tail_is_the_last_twenty_lines_however_they_arrive() -> None:
    text = b"".join(b"line %d\n" % number for number in range(100))
    expected = tuple(f"line {number}" for number in range(80, 100))

    assert tail_of(text) == expected
    assert tail_of(*(bytes([byte]) for byte in text)) == expected


def test_an_open_line_counts_and_an_endless_one_is_cut() -> None:
    assert tail_of(b"one\n", b"tw", b"o") == ("one", "two")
    (line,) = tail_of(*[b"x" * 1000] * 50, b"end")
    assert line.endswith("xend")
    assert len(line) <= 2000


def test_of_a_progress_bar_only_its_last_state_is_kept() -> None:
    assert tail_of(b" 10%|#\r 20%|##\r 30%|###\r\n") == (" 30%|###",)


def test_bytes_that_are_no_text_do_no_harm() -> None:
    assert tail_of(b"\xff\xfe\n") == ("\ufffd\ufffd",)


def test_both_streams_are_in_the_log_and_stderr_in_the_tail(tmp_path: Path) -> None:
    log, tail = RankLog(tmp_path / "rank-0.log"), Tail()
    out, err = Pipe(log, None), Pipe(log, tail)
    os.write(out.write_fd, b"out\n")
    os.write(err.write_fd, b"err\n" * (TAIL_LINES + 5))
    for pipe in (out, err):
        pipe.close_writer()
        pipe.drain()
        assert not pipe.pump(), "the stream has ended"
        pipe.close()

    assert (tmp_path / "rank-0.log").read_text() == "out\n" + "err\n" * 25
    assert tail.lines() == ("err",) * TAIL_LINES


def test_draining_does_not_wait_for_a_writer_that_lives_on(tmp_path: Path) -> None:
    pipe = Pipe(RankLog(tmp_path / "rank-0.log"), None)
    os.write(pipe.write_fd, b"now")
    pipe.drain()

    assert (tmp_path / "rank-0.log").read_text() == "now"


class FullDisk(RankLog):
    """A log whose disk is full for a while."""

    full = False

    def write(self, data: bytes) -> int:
        return len(data) if self.full else super().write(data)


def test_output_that_a_full_disk_has_cost_is_mentioned_once_there_is_room(tmp_path: Path) -> None:
    log = FullDisk(tmp_path / "rank-0.log")
    pipe = Pipe(log, None)
    for full, text in ((False, b"before"), (True, b"lost"), (True, b"lost"), (False, b"after")):
        log.full = full
        os.write(pipe.write_fd, text)
        pipe.drain()

    assert (tmp_path / "rank-0.log").read_text() == (
        "before\n[irongrid: 8 bytes of output were lost, disk full]\nafter"
    )
