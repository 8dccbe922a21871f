"""The interpreter that has the real libraries, and files of an export on disk."""

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
PARSERS = Path(__file__).parent / "parsers"
PARSE_S = 300.0

Parse = Callable[[str, Mapping[str, Mapping[str, str]]], dict[str, Any]]


@pytest.fixture(scope="session")
def exports_python() -> Path:
    """Python of .venv-exports, made by `make exports-env`."""
    python = ROOT / ".venv-exports" / "bin" / "python"
    if not python.exists():
        message = "the real libraries are missing: make exports-env"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return python


def write(files: Mapping[str, str], folder: Path) -> Path:
    """An export's files in a folder of their own."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def parse(exports_python: Path, tmp_path: Path) -> Parse:
    """Let a script of `parsers/` read exports with the library itself.

    The script gets a folder for each export and prints one JSON object by their names.
    """

    def run(parser: str, exports: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
        folders = [str(write(files, tmp_path / name)) for name, files in exports.items()]
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "CUDA_VISIBLE_DEVICES": "",
            "OMP_NUM_THREADS": "1",
            "DS_ACCELERATOR": "cpu",
            "JAX_PLATFORMS": "cpu",
            "DECOUPLE_GCLOUD": "TRUE",
            "XLA_FLAGS": "--xla_force_host_platform_device_count=16",
        }
        done = subprocess.run(
            [str(exports_python), str(PARSERS / f"{parser}.py"), *folders],
            env=env,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=PARSE_S,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        parsed: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return parsed

    return run
