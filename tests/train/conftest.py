"""One zygote and one corpus for all tests of this folder; a fresh job for each."""

import os
import random
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.train.gangs import Job, Listener, Nest

SMALL_DISK_BYTES = 4 * 2**20


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 kB of words in a made-up but learnable order."""
    chance = random.Random(0)
    words = [f"{chance.choice('bdfglmnprst')}{chance.choice('aeiou')}" * 2 for _ in range(60)]
    lines = []
    for _ in range(1500):
        first = chance.randrange(len(words))
        lines.append(" ".join(words[(first + i) % len(words)] for i in range(8)))
    path = tmp_path_factory.mktemp("corpus") / "text.txt"
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tokenised data, shared by all jobs of the tests."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def nest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nest]:
    """A warm zygote."""
    nest = Nest(tmp_path_factory.mktemp("nest") / "ranks.log")
    yield nest
    nest.close()


@pytest.fixture
def job(tmp_path: Path, corpus: Path, cache: Path) -> Job:
    """A job that has not begun."""
    return Job(folder=tmp_path / "job", corpus=corpus, cache=cache)


@pytest.fixture
def listener() -> Iterator[Listener]:
    """A worker's ear. Its path must be short, which pytest's own folders are not."""
    with tempfile.TemporaryDirectory(prefix="ig") as folder:
        listener = Listener(Path(folder) / "s")
        yield listener
        listener.close()


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 4 MiB."""
    folder = Path(tempfile.mkdtemp(prefix="irongrid-disk-"))
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK_BYTES}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        folder.rmdir()
        if os.environ.get("CI") == "true":
            pytest.fail("CI must run as root: a full disk is a small tmpfs")
        pytest.skip("a full disk is a small tmpfs, and mounting one needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
    folder.rmdir()
