"""Text from a checkpoint, in one process, with nothing else on stdout."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.train.gangs import Job, Nest

from irongrid.errors import CheckpointDamaged
from irongrid.train.sample import generate, load_newest


def test_a_trained_model_goes_on_as_its_text_does(nest: Nest, job: Job) -> None:
    assert nest.run(job.with_(steps=90, eval_every=0, learning_rate=1e-2), 2) == [0, 0]
    words = job.corpus.read_text().split("\n")[0].split(" ")

    model = load_newest(job.folder)
    prompt = " ".join(words[:4])
    text = generate(model, prompt, tokens=30, temperature=0.0, seed=0)

    assert text.startswith(prompt)
    known = set(job.corpus.read_text().split())
    made_up = text[len(prompt) :].split()[:-1]  # The last word may be cut.
    assert made_up
    assert sum(word in known for word in made_up) > len(made_up) / 2


def test_the_command_prints_the_text_alone_and_the_seed_decides_it(nest: Nest, job: Job) -> None:
    assert nest.run(job, 2) == [0, 0]
    command = [sys.executable, "-m", "irongrid.train.sample", "--job-dir", str(job.folder)]
    command += ["--prompt", "ba", "--tokens", "5"]

    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=180)

    model = load_newest(job.folder)
    wanted = generate(model, "ba", tokens=5, temperature=0.7, seed=0)
    assert said.stdout == wanted + "\n"
    assert generate(model, "ba", tokens=5, temperature=0.7, seed=0) == wanted
    assert {generate(model, "ba", tokens=5, temperature=1.0, seed=s) for s in range(5)} != {wanted}


def test_a_job_without_a_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointDamaged, match="holds no checkpoint yet"):
        load_newest(tmp_path)
