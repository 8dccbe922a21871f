"""Groups of both versions: what the kernel offers here for real, version 2 on its files."""

import os
import subprocess
from pathlib import Path

import pytest

from irongrid.telemetry import cgroup
from irongrid.telemetry.cgroup import Controller, Group, Limits

MIB = 2**20


def described(tmp_path: Path, cgroup_text: str, mounts: str) -> Path:
    """A /proc/self with these two files."""
    (tmp_path / "cgroup").write_text(cgroup_text)
    (tmp_path / "mountinfo").write_text(mounts)
    return tmp_path


def test_version_1_is_found_below_the_group_that_we_are_in(tmp_path: Path) -> None:
    memory = tmp_path / "memory"
    (memory / "outer").mkdir(parents=True)
    proc = described(
        tmp_path,
        "4:memory:/outer\n3:cpu,cpuacct:/\n0::/\n",
        f"30 20 0:26 / {memory} rw shared:9 - cgroup cgroup rw,memory\n"
        f"31 20 0:27 / {tmp_path} rw - cgroup cgroup rw,cpu,cpuacct\n",
    )

    assert cgroup.own_folders(proc) == {"memory": (1, memory / "outer"), "cpu": (1, tmp_path)}


def test_in_a_container_the_mount_shows_only_our_part(tmp_path: Path) -> None:
    mount = tmp_path / "memory"
    mount.mkdir()
    proc = described(
        tmp_path,
        "4:memory:/docker/1234\n",
        f"30 20 0:26 /docker/1234 {mount} ro - cgroup cgroup rw,memory\n",
    )

    assert cgroup.own_folders(proc) == {"memory": (1, mount)}


def test_version_2_offers_what_its_folder_lists(tmp_path: Path) -> None:
    folder = tmp_path / "unified" / "user.slice"
    folder.mkdir(parents=True)
    (folder / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    proc = described(
        tmp_path,
        "0::/user.slice\n",
        f"30 20 0:26 / {tmp_path}/unified rw - cgroup2 cgroup2 rw\n",
    )

    assert cgroup.own_folders(proc) == {"memory": (2, folder), "cpu": (2, folder)}


def test_a_controller_of_version_1_goes_before_one_of_version_2(tmp_path: Path) -> None:
    memory, unified = tmp_path / "memory", tmp_path / "unified"
    memory.mkdir()
    unified.mkdir()
    (unified / "cgroup.controllers").write_text("cpu memory")
    proc = described(
        tmp_path,
        "4:memory:/\n0::/\n",
        f"30 20 0:26 / {unified} rw - cgroup2 cgroup2 rw\n"
        f"31 20 0:27 / {memory} rw - cgroup cgroup rw,memory\n",
    )

    assert cgroup.own_folders(proc) == {"memory": (1, memory), "cpu": (2, unified)}


def version_2(base: Path, *files: str) -> Group:
    """A group of version 2 whose folder has these files, as the kernel would make them."""
    folder = base / "g"
    folder.mkdir()
    for file in files:
        (folder / file).write_text("")
    group = Group([Controller("memory", 2, base), Controller("cpu", 2, base)], "g")
    group.create(Limits(cpus=1.5, memory_bytes=64 * MIB))
    return group


def test_version_2_gets_its_limits_and_ends_as_a_whole(tmp_path: Path) -> None:
    files = ("memory.max", "memory.swap.max", "memory.oom.group", "cpu.max")
    version_2(tmp_path, *files)

    written = {file: (tmp_path / "g" / file).read_text() for file in files}
    assert written == {
        "memory.max": str(64 * MIB),
        "memory.swap.max": "0",
        "memory.oom.group": "1",
        "cpu.max": "150000 100000",
    }


def test_without_swap_accounting_the_memory_limit_still_holds(tmp_path: Path) -> None:
    version_2(tmp_path, "memory.max", "cpu.max")

    assert (tmp_path / "g" / "memory.max").read_text() == str(64 * MIB)
    assert not (tmp_path / "g" / "memory.swap.max").exists()


def test_version_2_tells_its_peak_and_its_kills(tmp_path: Path) -> None:
    group = version_2(tmp_path)
    assert group.memory_peak_bytes() is None
    (tmp_path / "g" / "memory.peak").write_text("12345\n")
    (tmp_path / "g" / "memory.events").write_text("low 0\nmax 7\noom 2\noom_kill 1\n")

    assert group.memory_peak_bytes() == 12345
    assert group.oom_kills() == 1


def version_2_tree(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A process two groups deep: /proc/self, its own group, and the one above."""
    above = tmp_path / "unified" / "user.slice"
    own = above / "session.scope"
    own.mkdir(parents=True)
    for folder in (own, above):
        (folder / "cgroup.controllers").write_text("cpu memory")
        (folder / "cgroup.procs").touch()
    mounts = f"30 20 0:26 / {tmp_path}/unified rw - cgroup2 cgroup2 rw\n"
    return described(tmp_path, "0::/user.slice/session.scope\n", mounts), own, above


def test_version_2_is_used_beside_our_group_where_ours_has_processes(tmp_path: Path) -> None:
    proc, own, above = version_2_tree(tmp_path)
    # The kernel refuses to enable controllers below a group with processes; a folder does too.
    (own / "cgroup.subtree_control").mkdir()
    (above / "cgroup.subtree_control").write_text("memory cpu")

    assert cgroup.usable(("memory", "cpu"), proc) == (
        Controller("memory", 2, above),
        Controller("cpu", 2, above),
    )


def test_version_2_is_used_below_our_group_where_that_works(tmp_path: Path) -> None:
    proc, own, above = version_2_tree(tmp_path)
    (own / "cgroup.subtree_control").write_text("")

    assert {each.base for each in cgroup.usable(("memory", "cpu"), proc)} == {own}
    assert not (above / "cgroup.subtree_control").exists(), "what is not ours stays as it is"


def test_controllers_of_version_2_share_a_folder_or_the_better_half_is_taken(
    tmp_path: Path,
) -> None:
    proc, own, above = version_2_tree(tmp_path)
    (own / "cgroup.subtree_control").mkdir()
    (above / "cgroup.subtree_control").write_text("memory")

    assert cgroup.usable(("memory", "cpu"), proc) == (Controller("memory", 2, above),)


@pytest.fixture
def controllers() -> tuple[Controller, ...]:
    found = cgroup.usable(("memory", "cpu"))
    if len(found) < 2:
        problem = "no cgroups that this user may use: run the tests as root"
        assert os.environ.get("CI") != "true", problem
        pytest.skip(problem)
    return found


def test_a_real_group_holds_its_process_and_goes(controllers: tuple[Controller, ...]) -> None:
    group = Group(controllers, f"irongrid-test-{os.getpid()}")
    group.create(Limits(cpus=0.5, memory_bytes=64 * MIB))
    process = subprocess.Popen(["sleep", "600"])
    try:
        for path in group.procs_files:
            Path(path).write_text(str(process.pid))
        folder = Path(group.procs_files[0]).parent

        assert (folder / "cgroup.procs").read_text().split() == [str(process.pid)]
        assert group.oom_kills() == 0
        assert (group.memory_peak_bytes() or 0) < 64 * MIB
    finally:
        process.kill()
        process.wait()
        group.remove()
    assert not any(Path(path).exists() for path in group.procs_files)


def test_nothing_wanted_needs_nothing() -> None:
    assert Limits().wanted == ()
    assert cgroup.usable(()) == ()
    assert Limits(cpus=1.0).wanted == ("cpu",)


def test_a_controller_that_nobody_offers_is_not_usable() -> None:
    assert cgroup.usable(("no-such-controller",)) == ()
