"""Homes with real servers, a shared cache, and the losses of a run that nothing disturbs."""

import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path

import pytest
from tests.integration.house import House
from tests.integration.jobs import training
from tests.integration.verdict import faults

OpenHouse = Callable[..., House]
Losses = list[tuple[int, float]]
_FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember whether a test failed: then its logs are shown before they are removed."""
    report = yield
    if report.failed:
        item.stash[_FAILED] = True
    return report


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tokenised data, made once for all homes."""
    return tmp_path_factory.mktemp("cache")


def _new_house(
    cache: Path, *, nodes: str, store: str, environment: Mapping[str, str] | None
) -> House:
    # Not below pytest's own folders: the path of a worker's socket must be short.
    folder = Path(tempfile.mkdtemp(prefix="irongrid-"))
    (folder / "cache").symlink_to(cache)
    return House(folder, nodes=nodes, store=store, environment=environment)


@pytest.fixture
def open_house(request: pytest.FixtureRequest, cache: Path) -> Iterator[OpenHouse]:
    """Make a home and start its server: `open_house(nodes="4x2", store=..., environment=...)`."""
    houses: list[House] = []

    def open_one(
        *,
        nodes: str = "1x2",
        store: str = "",
        environment: Mapping[str, str] | None = None,
        up: bool = True,
    ) -> House:
        house = _new_house(cache, nodes=nodes, store=store, environment=environment)
        houses.append(house)
        if up:
            house.up()
        return house

    yield open_one
    for house in houses:
        if request.node.stash.get(_FAILED, False):
            print(f"== server of {house.home.path}\n{house.server_log()}\n{house.logs()}")  # noqa: T201
        house.tear_down()


@pytest.fixture
def house(open_house: OpenHouse) -> House:
    """A home with a server that is up, on one node of two devices."""
    return open_house()


@pytest.fixture(scope="session")
def undisturbed(cache: Path) -> Losses:
    """Step and loss of a training job on two ranks that nothing disturbs."""
    house = _new_house(cache, nodes="1x2", store="", environment=None)
    try:
        house.up()
        job = house.submit(training())
        house.reaches(job, "succeeded")
        assert faults(house) == []
        return house.losses(job)
    finally:
        house.tear_down()


@pytest.fixture
def small_disk() -> Iterator[Callable[[Path, int], None]]:
    """Mount a file system of so many bytes on a folder."""
    mounted: list[Path] = []

    def mount(folder: Path, size_bytes: int) -> None:
        folder.mkdir(exist_ok=True, mode=0o700)
        argv = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes},mode=700", "tmpfs", str(folder)]
        if os.spawnvp(os.P_WAIT, "mount", argv) != 0:
            missing("root is needed to mount a small tmpfs. Run: sudo make test-slow")
        mounted.append(folder)

    yield mount
    for folder in mounted:
        os.spawnvp(os.P_WAIT, "umount", ["umount", "--lazy", str(folder)])


def missing(what: str) -> None:
    """Skip loudly what this machine cannot do; in CI that is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)


def tool(name: str, package: str) -> str:
    """The path of a program that a test needs."""
    found = shutil.which(name)
    if found is None:
        missing(f"{name} is missing. Install it: apt-get install {package}")
    assert found is not None
    return found
