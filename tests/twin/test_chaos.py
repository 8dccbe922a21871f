"""Random lives of the control plane: promises hold, and every life can be lived again."""

import json
import os
import subprocess
import sys

import pytest

from irongrid.cli.main import run
from irongrid.control import attempts
from irongrid.control.state import Attempt, Job, State
from irongrid.twin.chaos.run import CRASHES, EVENTS, FAULTS, JOBS, Life, live

# One life per policy, in the order of `Knowledge.names`, and one that only moves jobs about.
SEEDS = range(12)
MESSAGES = ("lost", "duplicated", "late")
NOT_OF_THE_WORLD = {"crash", "straggler", *MESSAGES}


@pytest.fixture(scope="module")
def ten() -> list[Life]:
    return [live(seed) for seed in SEEDS]


def test_every_promise_holds_under_every_policy(ten: list[Life]) -> None:
    assert [life.broken for life in ten] == [()] * len(ten)
    assert len({life.policy for life in ten}) == len(ten)


def test_every_life_has_seen_enough(ten: list[Life]) -> None:
    for life in ten:
        assert life.jobs >= JOBS == 50
        assert life.events >= EVENTS == 2_000
        assert life.faults["crash"] >= CRASHES == 3
        world = sum(n for kind, n in life.faults.items() if kind not in NOT_OF_THE_WORLD)
        assert world >= FAULTS == 20
        assert all(life.faults[kind] > 50 for kind in MESSAGES)


def test_all_kinds_of_faults_occur(ten: list[Life]) -> None:
    kinds = {kind for life in ten for kind in life.faults}

    nodes = {"node", "device", "spot", "straggler", "partition"}
    assert kinds == nodes | {"worker", "rank", "crash", *MESSAGES}


def test_a_seed_gives_the_same_life_in_any_process(ten: list[Life]) -> None:
    code = "from irongrid.twin.chaos.run import live; print(live(5).trace)"
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        found = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
        )
        assert found.stdout.strip() == ten[5].trace
    assert len({life.trace for life in ten}) == len(ten)


def test_the_verb_answers_with_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["twin", "chaos", "--seeds", "2", "--first-seed", "3", "--json"]) == 0

    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (found["seeds"], found["violations"], found["failures"]) == (2, 0, [])
    assert found["events"] >= 4_000
    assert found["faults"]["crash"] >= 6
    assert found["seconds"] > 0


def test_a_seed_that_fails_is_named_with_the_command_that_shows_it_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = attempts.finish_if_stopped

    def finish(state: State, job: Job, attempt: Attempt, at_ns: int) -> None:
        if attempt.stopping is not None:
            for member in attempt.members.values():
                member.gone = True
        real(state, job, attempt, at_ns)

    monkeypatch.setattr(attempts, "finish_if_stopped", finish)
    answers = []
    for _ in range(2):
        assert run(["twin", "chaos", "--seeds", "1", "--first-seed", "7", "--json"]) == 1
        out = capsys.readouterr()
        answers.append(json.loads(out.out.splitlines()[-1]))
        assert "irongrid twin chaos --seeds 1 --first-seed 7" in out.err
    first, again = answers
    (failure,) = first["failures"]
    assert (failure["seed"], first["violations"]) == (7, len(failure["broken"]))
    assert again["failures"] == first["failures"]
    assert again["trace"] == first["trace"]


@pytest.mark.slow
def test_a_thousand_lives(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["twin", "chaos", "--seeds", "1000", "--json"]) == 0

    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["violations"] == 0
