"""From a file to the document that a server gets."""

import json
import shutil
from pathlib import Path

import pytest

from irongrid.errors import SpecError
from irongrid.spec import load_job_file, load_job_text, parse_job_document

TRAIN = "train: {model: {preset: llama-1m}, global_batch: 8, seq_len: 64, steps: 9, data: %s}\n"


def data_paths(data: str, folder: str) -> object:
    loaded = load_job_text(TRAIN % data, source="a test", folder=folder)
    return loaded.document["train"]["data"]["path"]


def test_a_file_becomes_a_document_that_parses_to_the_same_job(tmp_path: Path) -> None:
    file = tmp_path / "my job.yaml"
    file.write_text("run: python train.py\nworkdir: sub/../runs\nenv: {A: b}\n")

    loaded = load_job_file(str(file), interpreter="/usr/bin/python3")

    assert loaded.document == {
        "name": "my-job",
        "run": "python train.py",
        "workdir": f"{tmp_path}/runs",
        "interpreter": "/usr/bin/python3",
        "env": {"A": "b"},
    }
    sent = json.loads(json.dumps(loaded.document))
    assert parse_job_document(sent, source="http") == loaded.parsed


def test_the_folder_of_the_file_is_where_ranks_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs/one.yaml").write_text("run: x\n")
    monkeypatch.chdir(tmp_path)

    assert load_job_file("jobs/one.yaml").document["workdir"] == f"{tmp_path}/jobs"


def test_data_paths_start_at_the_folder_which_is_no_pattern_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", "/home/me")

    assert data_paths("{path: a/*.txt}", "/runs[1]") == "/runs[[]1]/a/*.txt"
    assert data_paths("{path: [../b, ~/c, /d]}", "/w/x") == ["/w/b", "/home/me/c", "/d"]


def test_stdlib_is_a_word_and_a_folder_of_that_name_is_written_with_a_dot() -> None:
    assert data_paths("{path: stdlib}", "/w") == "stdlib"
    assert data_paths("{path: ./stdlib}", "/w") == "/w/stdlib"


def test_an_interpreter_is_looked_up_as_a_shell_would() -> None:
    def interpreter(text: str) -> object:
        text = f"run: x\ninterpreter: {text}\n"
        return load_job_text(text, source="a test", folder="/w").document["interpreter"]

    assert interpreter("sh") == shutil.which("sh")
    assert interpreter(".venv/bin/python") == "/w/.venv/bin/python"


def test_a_link_to_an_interpreter_stays_a_link(tmp_path: Path) -> None:
    # A virtual environment's Python is a link; its target knows nothing of the environment.
    (tmp_path / "python").symlink_to("/usr/bin/python3")
    loaded = load_job_text("run: x\ninterpreter: ./python\n", source="a test", folder=str(tmp_path))

    assert loaded.parsed.spec.interpreter == f"{tmp_path}/python"


@pytest.mark.parametrize(
    ("file", "name"),
    [("first.yaml", "first"), (".hidden.yaml", "hidden"), ("üü.yaml", "job"), ("a b!.yml", "a-b")],
)
def test_a_job_is_called_after_its_file(file: str, name: str) -> None:
    assert load_job_text("run: x", source=f"/w/{file}", folder="/w").parsed.spec.name == name


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"nowhere.yaml: no such file or directory\. Check"):
        load_job_file("nowhere.yaml")
    with pytest.raises(SpecError, match="is a directory"):
        load_job_file(str(tmp_path))


def test_only_as_much_of_a_file_is_read_as_a_job_may_have() -> None:
    with pytest.raises(SpecError, match="larger than 24 KiB"):
        load_job_file("/dev/zero")
