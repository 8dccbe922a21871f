"""Output on disk is bounded, and every byte keeps its position."""

import threading
from pathlib import Path

import pytest

from irongrid.telemetry.ranklogs import CHUNK_BYTES, RankLog, log_path, read_log

PIECE = 100


@pytest.fixture
def job_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "j000001"
    log_path(folder, 2, 0).parent.mkdir(parents=True)
    return folder


def writer(job_dir: Path, kept: int = 3) -> RankLog:
    return RankLog(log_path(job_dir, 2, 0), piece_bytes=PIECE, kept_pieces=kept)


def whole(job_dir: Path, offset: int = 0, limit_bytes: int = CHUNK_BYTES) -> str:
    """Everything from an offset on, chunk by chunk."""
    text = ""
    while True:
        chunk = read_log(job_dir, 2, 0, offset, limit_bytes, piece_bytes=PIECE)
        if chunk.next_offset == offset:
            return text
        text += chunk.text
        offset = chunk.next_offset


def test_what_was_written_is_read_back_across_pieces(job_dir: Path) -> None:
    text = "".join(f"line {number}\n" for number in range(40))
    log = writer(job_dir, kept=100)
    for start in range(0, len(text), 7):
        assert log.write(text[start : start + 7].encode()) == 0

    assert whole(job_dir) == text
    assert whole(job_dir, limit_bytes=9) == text
    assert whole(job_dir, offset=150) == text[150:]


def test_the_oldest_pieces_go_and_a_reader_is_told_how_much_it_missed(job_dir: Path) -> None:
    log = writer(job_dir, kept=3)
    log.write(b"x" * 950)
    chunk = read_log(job_dir, 2, 0, 120, piece_bytes=PIECE)

    # 9 full pieces were there; the newest 3 of them and 50 bytes are kept.
    assert (chunk.offset, chunk.next_offset, chunk.dropped_bytes) == (600, 950, 480)
    assert chunk.text == "x" * 350
    assert sum(path.stat().st_size for path in log_path(job_dir, 2, 0).parent.iterdir()) == 350


def test_a_negative_offset_counts_from_the_end(job_dir: Path) -> None:
    writer(job_dir).write(b"0123456789" * 12)

    chunk = read_log(job_dir, 2, 0, -5, piece_bytes=PIECE)
    assert (chunk.text, chunk.offset, chunk.next_offset) == ("56789", 115, 120)
    assert read_log(job_dir, 2, 0, -5000, piece_bytes=PIECE).offset == 0


def test_a_character_is_never_cut_between_chunks(job_dir: Path) -> None:
    text = "aé漢🚀" * 40
    writer(job_dir, kept=100).write(text.encode())

    for limit_bytes in range(4, 12):
        assert whole(job_dir, limit_bytes=limit_bytes) == text


def test_half_a_character_waits_for_its_other_half_until_the_attempt_is_over(
    job_dir: Path,
) -> None:
    writer(job_dir).write(b"a\xf0\x9f")

    waiting = read_log(job_dir, 2, 0, 0, piece_bytes=PIECE)
    over = read_log(job_dir, 2, 0, 0, piece_bytes=PIECE, attempt_over=True)
    assert (waiting.text, waiting.next_offset, waiting.ended) == ("a", 1, False)
    assert (over.text, over.next_offset, over.ended) == ("a\ufffd", 3, True)


def test_a_chunk_is_bounded_and_says_whether_it_is_the_last(job_dir: Path) -> None:
    RankLog(log_path(job_dir, 2, 0)).write(b"x" * (CHUNK_BYTES + 10))

    first = read_log(job_dir, 2, 0, 0, 10**9, attempt_over=True)
    last = read_log(job_dir, 2, 0, first.next_offset, attempt_over=True)
    assert (len(first.text), first.ended) == (CHUNK_BYTES, False)
    assert (len(last.text), last.ended) == (10, True)


def test_a_rank_that_has_not_written_yet_has_an_empty_chunk(job_dir: Path) -> None:
    chunk = read_log(job_dir, 2, 5, 0)

    assert (chunk.attempt, chunk.rank) == ("j000001.2", 5)
    assert (chunk.text, chunk.offset, chunk.next_offset, chunk.ended) == ("", 0, 0, False)
    assert read_log(job_dir, 9, 5, 0, attempt_over=True).ended


def test_a_log_is_continued_where_it_was(job_dir: Path) -> None:
    for part in ("first ", "second ", "third " * 30):
        log = writer(job_dir, kept=100)
        log.write(part.encode())
        log.close()

    assert whole(job_dir) == "first second " + "third " * 30


def test_a_log_that_cannot_be_rotated_loses_bytes_and_goes_on_when_it_can(job_dir: Path) -> None:
    log = writer(job_dir, kept=100)
    log.write(b"x" * PIECE)
    elsewhere = job_dir / "elsewhere"
    log_path(job_dir, 2, 0).parent.rename(elsewhere)
    assert log.write(b"lost") == 4
    elsewhere.rename(log_path(job_dir, 2, 0).parent)
    assert log.write(b"kept") == 0

    assert whole(job_dir) == "x" * PIECE + "kept"


def test_ranks_with_similar_numbers_do_not_mix(job_dir: Path) -> None:
    for rank in (1, 10):
        path = log_path(job_dir, 2, rank)
        RankLog(path, piece_bytes=PIECE).write(f"{rank}".encode() * 150)

    chunk = read_log(job_dir, 2, 1, 0, piece_bytes=PIECE)
    assert chunk.text == "1" * 150


def test_a_reader_beside_a_writer_sees_each_byte_once_and_in_order(job_dir: Path) -> None:
    text = "".join(f"{number:07d}\n" for number in range(3000))
    log = writer(job_dir, kept=10_000)

    def write() -> None:
        for start in range(0, len(text), 64):
            log.write(text[start : start + 64].encode())

    thread = threading.Thread(target=write)
    thread.start()
    seen = ""
    while thread.is_alive() or len(seen) < len(text):
        seen += whole(job_dir, offset=len(seen))

    assert seen == text
