"""The command line without a server: exit codes, the rule of --json, words for mistakes."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from tests.pace import at_known_pace

from irongrid.cli.main import run

# Verbs that need a server, with what they need besides.
NEED_A_SERVER = (
    ["ps"],
    ["show", "last"],
    ["why", "j000001"],
    ["logs", "1a"],
    ["logs", "j000001", "-f"],
    ["events"],
    ["events", "-f"],
    ["cancel", "last"],
    ["pause", "j000001", "j000002"],
    ["resume", "last"],
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IRONGRID_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def one_object(text: str) -> dict[str, object]:
    """The object of a --json call: one line, nothing else on stdout."""
    (line,) = text.splitlines()
    value = json.loads(line)
    assert isinstance(value, dict)
    return value


@pytest.mark.parametrize("argv", NEED_A_SERVER, ids=" ".join)
def test_without_a_server_a_verb_says_how_to_start_one(
    argv: list[str], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(argv) == 3

    out, err = capsys.readouterr()
    assert out == ""
    assert "-> start one: irongrid up --detach" in err


@pytest.mark.parametrize("argv", NEED_A_SERVER, ids=" ".join)
def test_with_json_an_error_is_one_object_too(
    argv: list[str], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*argv, "--json"]) == 3

    value = one_object(capsys.readouterr().out)
    assert value["exit_code"] == 3
    assert value["error"]["code"] == "unreachable"  # type: ignore[index]


def test_a_dead_server_is_not_reachable(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home.mkdir()
    (home / "address").write_text("http://127.0.0.1:1\n")
    (home / "token").write_text("t\n")

    assert run(["ps"]) == 3
    assert "http://127.0.0.1:1: no server answers" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["sumbit"], "did you mean: irongrid submit"),
        (["squeue"], "did you mean: irongrid ps"),
        (["zebra"], "see the verbs: irongrid --help"),
        (["ps", "--jsno"], "did you mean --json?"),
        (["ps", "--limit", "none"], "'--limit'"),
        (["ps", "--limit", "0"], "'--limit'"),
        (["show"], "Missing argument 'JOB'"),
        (["events", "--export", "-", "--json"], "both want stdout"),
        (["schema", "jbo"], "did you mean job?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_named_with_the_way_out(
    argv: list[str], said: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(argv) == 2
    assert said in capsys.readouterr().err


def test_a_mistake_with_json_is_one_object(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ps", "--jsno", "--json"]) == 2
    assert one_object(capsys.readouterr().out)["exit_code"] == 2


def test_an_exception_of_ours_leaves_a_log_and_no_traceback(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home.mkdir()
    (home / "address").mkdir()  # reading it fails in a way that nobody has planned for

    assert run(["ps", "--json"]) == 4

    out, err = capsys.readouterr()
    assert "Traceback" not in err
    log = home / "cli-errors.log"
    assert str(log) in err
    assert "IsADirectoryError" in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600
    assert one_object(out)["exit_code"] == 4


def test_bare_irongrid_prints_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    assert "submit" in capsys.readouterr().out


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    from irongrid import __version__

    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"irongrid {__version__}\n"


def test_help_takes_less_than_0_4_s_of_a_core() -> None:
    command = [sys.executable, "-m", "irongrid.cli.main", "--help"]

    def used_s() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    # Time of a core, not of the clock: other tests share the cores. Alone the two are the same.
    assert at_known_pace(used_s, 0.4) < 0.4


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from irongrid.cli.main import run; run(['--help']); "
        "heavy = ('torch', 'pydantic', 'fastapi', 'sklearn', 'sqlalchemy', 'httpx2'); "
        "print([name for name in heavy if name in sys.modules], file=sys.stderr)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize("verb", ["", "submit", "logs", "events"])
def test_help_fits_80_columns_and_obeys_no_color(verb: str) -> None:
    env = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "irongrid.cli.main", *verb.split(), "--help"]

    text = subprocess.run(command, check=True, capture_output=True, text=True, env=env).stdout

    assert max(len(line) for line in text.splitlines()) <= 80
    assert "\x1b" not in text


def test_a_closed_pipe_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)

    done = subprocess.run(
        [sys.executable, "-m", "irongrid.cli.main", "--help"],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writer)

    assert done.returncode == 0
    assert done.stderr == ""
