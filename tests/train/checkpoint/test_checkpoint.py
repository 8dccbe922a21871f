"""A checkpoint is whole and exact, or it does not exist."""

import itertools
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.train.checkpoint.saving import ALONE, ROWS, Writers, boxes, equal, loaded, weights

from irongrid.train.checkpoint.chunks import CHUNK_BYTES, ChunkStore
from irongrid.train.checkpoint.layout import (
    MANIFEST,
    Place,
    complete_places,
    read_indexes,
    read_manifest,
)
from irongrid.train.checkpoint.reader import restore
from irongrid.train.checkpoint.retention import retain
from irongrid.train.checkpoint.writer import begin_epoch


def cuts() -> st.SearchStrategy[tuple[int, ...]]:
    """Row borders of some ranks; some may hold nothing."""
    inner = st.lists(st.integers(0, ROWS), min_size=0, max_size=4)
    return inner.map(lambda borders: (0, *sorted(borders), ROWS))


@given(before=cuts(), after=cuts())
@settings(max_examples=25, deadline=None)
def test_any_cut_into_ranks_loads_on_any_other(
    before: tuple[int, ...], after: tuple[int, ...]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root, saved = Path(folder), weights(1)
        assert Writers(root, saved, before).save(3) is None
        back = {name: torch.full_like(t, torch.nan) for name, t in saved.items()}

        for first, last in itertools.pairwise(after):
            assert restore(root, ALONE, boxes(back, first, last), 1).manifest is not None

        assert equal(back, saved)


def test_a_tensor_larger_than_a_chunk_comes_back_and_unread_chunks_are_not_needed(
    tmp_path: Path,
) -> None:
    rows = CHUNK_BYTES // (5 * 4)
    saved = weights(1, rows)  # The matrix takes 4 MiB, all of it about 14 MiB.
    Writers(tmp_path, saved, (0, rows)).save(1)
    [index] = read_indexes(tmp_path, read_manifest(tmp_path, Place(1, 1)))
    assert len(index.chunks) == 4

    _, back = loaded(tmp_path, rows=rows)
    assert equal(back, saved)

    ChunkStore(tmp_path / "chunks").path(index.chunks[-1].sha256).unlink()
    [box, *_] = boxes(back, 0, rows // 2)
    assert restore(tmp_path, ALONE, [box], 1).manifest is not None


def test_what_training_does_after_the_copy_is_not_in_the_checkpoint(tmp_path: Path) -> None:
    live, then = weights(1), weights(1)
    writers = Writers(tmp_path, live)

    for writer in writers.writers:
        writer.save(1, running_s=0.0)
    for tensor in live.values():
        tensor.zero_()
    for writer in writers.writers:
        writer.wait()

    assert equal(loaded(tmp_path)[1], then)


def test_equal_content_is_written_once(tmp_path: Path) -> None:
    writers = Writers(tmp_path, weights(1))
    writers.save(1)
    writers.save(2)

    first, second = (read_manifest(tmp_path, Place(1, step)) for step in (1, 2))
    assert first.written_bytes == first.size_bytes > 0
    assert second.written_bytes == 0
    assert second.size_bytes == first.size_bytes


def flip_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def swap_with_another(path: Path) -> None:
    others = [p for p in path.parent.parent.rglob("*") if p.is_file() and p.name != path.name]
    same_size = [p for p in others if p.stat().st_size == path.stat().st_size] or others
    path.write_bytes(sorted(same_size)[0].read_bytes())


HARM: dict[str, Callable[[Path], object]] = {
    "bit flipped": flip_bit,
    "cut short": cut_short,
    "empty": empty,
    "missing": Path.unlink,
    "swapped": swap_with_another,
}


@pytest.mark.parametrize("victim", ["manifest", "index 0", "index 1", "chunk 0", "chunk 1"])
@pytest.mark.parametrize("harm", HARM)
def test_damage_anywhere_is_found_and_the_checkpoint_before_is_used(
    tmp_path: Path, victim: str, harm: str
) -> None:
    older, newer = weights(1), weights(2)
    Writers(tmp_path, older).save(1)
    Writers(tmp_path, newer).save(2)
    manifest = read_manifest(tmp_path, Place(1, 2))
    indexes = read_indexes(tmp_path, manifest)
    kind, _, number = victim.partition(" ")
    folder = Place(1, 2).folder(tmp_path)
    if kind == "manifest":
        path = folder / MANIFEST
    elif kind == "index":
        path = folder / manifest.shards[int(number)].file
    else:
        chunk = indexes[int(number)].chunks[0]
        path = ChunkStore(tmp_path / "chunks").path(chunk.sha256)

    HARM[harm](path)
    restored, back = loaded(tmp_path)

    assert restored.manifest is not None
    assert restored.manifest.step == 1
    assert equal(back, older)
    if (victim, harm) != ("manifest", "missing"):  # Without a manifest there is no checkpoint.
        [damage] = restored.damaged
        assert damage.place == Place(1, 2)
        assert damage.problem


def test_damage_everywhere_leaves_a_fresh_start(tmp_path: Path) -> None:
    Writers(tmp_path, weights(1)).save(1)
    for chunk in (tmp_path / "chunks").glob("*/*"):
        flip_bit(chunk)

    restored, _ = loaded(tmp_path)

    assert restored.manifest is None
    assert len(restored.damaged) == 1


def test_a_damaged_chunk_is_written_anew_when_its_content_comes_again(tmp_path: Path) -> None:
    saved = weights(1)
    Writers(tmp_path, saved).save(1)
    for chunk in (tmp_path / "chunks").glob("*/*"):
        flip_bit(chunk)

    assert Writers(tmp_path, saved, generation=2, damaged=frozenset({Place(1, 1)})).save(1) is None

    restored, back = loaded(tmp_path)
    assert restored.manifest is not None
    assert not restored.damaged
    assert equal(back, saved)


def test_a_damaged_checkpoint_goes_once_a_sound_one_stands(tmp_path: Path) -> None:
    Writers(tmp_path, weights(1)).save(1)
    Writers(tmp_path, weights(2)).save(9)

    Writers(tmp_path, weights(3), generation=2, damaged=frozenset({Place(1, 9)})).save(5)

    assert complete_places(tmp_path, 1) == [Place(1, 5), Place(1, 1)]


def test_another_shape_is_refused_with_both(tmp_path: Path) -> None:
    Writers(tmp_path, weights(1)).save(1)

    restored, _ = loaded(tmp_path, rows=ROWS + 1)

    assert restored.manifest is None
    assert "float32[12, 5], not [13, 5]" in restored.damaged[0].problem


def test_an_unfinished_checkpoint_does_not_exist_and_is_swept_up(tmp_path: Path) -> None:
    saved = weights(1)
    Writers(tmp_path, saved).save(1)
    # Rank 1 of a gang that died before rank 0 had written anything.
    lone = Writers(tmp_path, weights(2), generation=2).writers[1]
    lone.save(2, running_s=0.0)
    lone.wait()
    assert Place(1, 2).folder(tmp_path).exists()

    restored, back = loaded(tmp_path)
    assert restored.manifest is not None
    assert (restored.manifest.step, restored.damaged) == (1, ())
    assert equal(back, saved)

    Writers(tmp_path, weights(3), generation=3).save(3)
    assert not Place(1, 2).folder(tmp_path).exists()
    assert named_chunks(tmp_path) == chunks_on_disk(tmp_path)


def named_chunks(root: Path) -> set[str]:
    return {
        chunk.sha256
        for place in complete_places(root, 99)
        for index in read_indexes(root, read_manifest(root, place))
        for chunk in index.chunks
    }


def chunks_on_disk(root: Path) -> set[str]:
    return {path.name for path in (root / "chunks").glob("*/*")}


def test_the_newest_checkpoints_stay_and_nothing_else_does(tmp_path: Path) -> None:
    for step in range(1, 6):
        Writers(tmp_path, weights(step), generation=step, keep=2).save(step)

    assert complete_places(tmp_path, 1) == [Place(1, 5), Place(1, 4)]
    assert named_chunks(tmp_path) == chunks_on_disk(tmp_path)
    assert {path.name for path in (tmp_path / "epoch-1").iterdir()} == {"step-4", "step-5"}


def test_a_chunk_that_two_checkpoints_share_stays_for_the_newer(tmp_path: Path) -> None:
    saved = weights(1)
    writers = Writers(tmp_path, saved, keep=1)
    writers.save(1)
    writers.save(2)

    assert complete_places(tmp_path, 1) == [Place(1, 2)]
    assert equal(loaded(tmp_path)[1], saved)


def test_a_broken_checkpoint_does_not_count_among_those_kept(tmp_path: Path) -> None:
    Writers(tmp_path, weights(1), keep=3).save(1)
    Writers(tmp_path, weights(2), keep=3).save(2)
    Writers(tmp_path, weights(3), keep=3).save(3)
    flip_bit(Place(1, 2).folder(tmp_path) / MANIFEST)

    retain(tmp_path, keep=2, up_to_epoch=1)

    assert equal(loaded(tmp_path)[1], weights(3))
    assert Place(1, 1) in complete_places(tmp_path, 1)


def test_an_epoch_that_has_been_overtaken_writes_no_more(tmp_path: Path) -> None:
    old = Writers(tmp_path, weights(1))
    old.save(1)
    begin_epoch(tmp_path, 2)

    failed = old.save(2)

    assert failed is not None
    assert failed.code == "fenced"
    assert complete_places(tmp_path, 9) == [Place(1, 1)]


def test_latest_goes_by_epoch_before_step_and_never_beyond_the_own_epoch(tmp_path: Path) -> None:
    Writers(tmp_path, weights(1), keep=9).save(50)
    Writers(tmp_path, weights(2), epoch=2, keep=9).save(40)

    assert complete_places(tmp_path, 2) == [Place(2, 40), Place(1, 50)]
    restored, back = loaded(tmp_path, epoch=1)
    assert restored.manifest is not None
    assert restored.manifest.place == Place(1, 50)
    assert equal(back, weights(1))


def test_a_failure_to_write_leaves_nothing_and_the_older_checkpoint_stands(tmp_path: Path) -> None:
    saved = weights(1)
    writers = Writers(tmp_path, saved)
    writers.save(1)
    before = chunks_on_disk(tmp_path)
    # A file where rank 1's folder of chunks would be: an I/O error that even root meets.
    blocked = [f"{number:02x}" for number in range(256)]
    for name in blocked:
        if not (tmp_path / "chunks" / name).exists():
            (tmp_path / "chunks" / name).write_text("")

    for tensor in writers.state.values():
        tensor.add_(1)
    failed = writers.save(2)

    assert failed is not None
    assert failed.code == "io_error"
    assert not Place(1, 2).folder(tmp_path).exists()
    assert chunks_on_disk(tmp_path) == before
    assert equal(loaded(tmp_path)[1], weights(1))


def test_the_manifest_says_what_a_person_wants_to_know(tmp_path: Path) -> None:
    Writers(tmp_path, weights(1)).save(4)

    document = json.loads((Place(1, 4).folder(tmp_path) / MANIFEST).read_text())

    assert document["apiVersion"] == "irongrid/v1"
    assert document["kind"] == "checkpoint"
    assert (document["epoch"], document["step"], document["world_size"]) == (1, 4, 2)
    assert document["model"]["layers"] == 4
    assert document["running_s"] == 4.0
    assert os.stat(Place(1, 4).folder(tmp_path) / MANIFEST).st_size < 2000
