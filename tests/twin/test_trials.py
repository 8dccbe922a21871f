"""Scenarios run: generated jobs follow their figures, fleets fit, and a bill adds up."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from irongrid.domain.scenario import Generated, Recorded, Scenario
from irongrid.errors import Refused, SpecError
from irongrid.spec import load_scenario
from irongrid.spec.fleet import parse_fleet_text
from irongrid.twin.trials import Trial, on_fleet, run_trial, trial_of
from irongrid.twin.truth.drawn import drawn

EXAMPLES = Path(__file__).parents[2] / "examples" / "scenarios"
FIGURES = Generated(
    jobs=20_000,
    per_hour=60.0,
    daily_swing=0.8,
    sizes=((1, 3.0), (8, 1.0)),
    median_s=600.0,
    p90_s=6000.0,
    teams=(("a", 1.0), ("b", 3.0)),
)
HEAD = "job_id,submit_s,devices,duration_s,team,device_type\n"


def lab(pools: str) -> str:
    return f"name: lab\npools: {{{pools}}}\nsites: {{here: {{pue: 1.5, carbon_g_per_kwh: 200}}}}\n"


def scenario(tmp_path: Path, rows: str, pools: str, policy: str = "fifo") -> Scenario:
    path = tmp_path / "jobs.csv"
    path.write_text(HEAD + rows)
    fleet = parse_fleet_text(lab(pools), source="lab.yaml")
    return Scenario(
        name="s", fleet=fleet, workload=Recorded(file=str(path), dataset="csv"), policy=policy
    )


def test_drawn_jobs_have_the_figures_that_were_asked_for() -> None:
    jobs = drawn(FIGURES, seed=3).jobs

    service_s = np.array([job.service_s for job in jobs])
    hours = np.array([job.submit_s for job in jobs]) / 3600 % 24
    assert len(jobs) == 20_000
    assert np.median(service_s) == pytest.approx(600, rel=0.05)
    assert np.quantile(service_s, 0.9) == pytest.approx(6000, rel=0.05)
    assert jobs[-1].submit_s == pytest.approx(20_000 * 60, rel=0.05)
    assert np.mean([job.gpus == 8 for job in jobs]) == pytest.approx(0.25, abs=0.02)
    assert np.mean([job.team == "b" for job in jobs]) == pytest.approx(0.75, abs=0.02)
    # The rate is 1.8 times the mean at noon and 0.2 times at midnight.
    noon, midnight = (abs(hours - 12) < 1).sum(), ((hours < 1) | (hours > 23)).sum()
    assert noon / midnight == pytest.approx(9, rel=0.25)


def test_a_seed_draws_the_same_jobs_and_another_one_others() -> None:
    assert drawn(FIGURES, seed=3).jobs == drawn(FIGURES, seed=3).jobs
    assert drawn(FIGURES, seed=3).jobs != drawn(FIGURES, seed=4).jobs


def test_other_sizes_leave_arrivals_and_durations_alone() -> None:
    first = drawn(FIGURES, seed=3).jobs
    other = drawn(dataclasses.replace(FIGURES, sizes=((2, 1.0),)), seed=3).jobs

    assert [(job.submit_s, job.service_s) for job in first] == [
        (job.submit_s, job.service_s) for job in other
    ]


def test_money_energy_and_carbon_follow_the_fleets_figures(tmp_path: Path) -> None:
    # One job holds 4 of 8 devices for an hour; an H100 draws 700 W at most.
    pools = "h100: {accelerator: H100, nodes: 1, usd_per_device_h: 2, node_watts: 1000}"
    asked = scenario(tmp_path, "1,0,4,3600,a,\n", pools)
    assert asked.fleet is not None
    device = asked.fleet.pools[0].accelerator

    figures = run_trial(trial_of(asked)).figures

    assert figures["held_usd"] == 8.0
    assert figures["fleet_usd"] == 16.0
    busy = device.idle_watts + 0.86 * (device.peak_watts - device.idle_watts)
    kwh = 1.5 * (4 * busy + 4 * device.idle_watts + 1000) / 1000
    assert figures["energy_kwh"] == pytest.approx(kwh, abs=1e-3)
    assert figures["carbon_kg"] == pytest.approx(kwh * 0.2, abs=1e-3)


def test_jobs_run_on_the_type_that_they_ask_for(tmp_path: Path) -> None:
    pools = "h100: {accelerator: H100, nodes: 1}, a100: {accelerator: A100-80GB, nodes: 1}"
    rows = "1,0,8,100,a,a100\n2,0,8,100,a,nvidia_a100-sxm4-80gb\n3,0,8,100,b,h100\n"

    run = run_trial(trial_of(scenario(tmp_path, rows, pools, "fifo-backfill")))

    # Both jobs for A100 share its one node, one after the other; the third runs beside.
    assert list(run.end_s) == [100, 200, 100]
    assert list(run.seen.held_device_s) == [800, 1600]


@pytest.mark.parametrize("pools", ["h100: {accelerator: H100, nodes: 1}"])
def test_an_unknown_type_is_named_with_those_of_the_fleet(tmp_path: Path, pools: str) -> None:
    with pytest.raises(SpecError, match="1 asks for 'v100'; the fleet has H100"):
        trial_of(scenario(tmp_path, "1,0,8,100,a,v100\n", pools))


def test_a_job_that_could_never_start_is_refused_before_the_run(tmp_path: Path) -> None:
    rows = "1,0,8,100,a,\n2,0,64,100,a,\n3,0,32,100,a,\n"

    with pytest.raises(Refused) as caught:
        trial_of(scenario(tmp_path, rows, "h100: {accelerator: H100, nodes: 2}"))

    assert caught.value.problem == (
        "2 needs 64 devices at once; the fleet has 16, and 1 more does not fit"
    )


def test_several_sites_are_not_supported_yet(tmp_path: Path) -> None:
    two = parse_fleet_text(
        (EXAMPLES.parent / "fleets" / "two-sites.yaml").read_text(), source="two-sites.yaml"
    )
    trial = trial_of(scenario(tmp_path, "1,0,8,9,a,\n", "h100: {accelerator: H100, nodes: 2}"))

    with pytest.raises(SpecError, match="several sites"):
        on_fleet(trial, two)


def example(name: str) -> Trial:
    return trial_of(load_scenario(str(EXAMPLES / f"{name}.yaml")).scenario, check=True)


@pytest.mark.parametrize("name", [path.stem for path in sorted(EXAMPLES.glob("*.yaml"))])
def test_an_example_runs_to_its_end_with_every_invariant_held(name: str) -> None:
    trial = example(name)

    run = run_trial(trial)

    assert run.figures["jobs"] == len(trial.jobs)
    assert run.figures["rules"]["invariants"] == "after every event"
    # What was held by node is what the jobs held, and teams share all of it.
    held_h = run.seen.held_device_s.sum() / 3600
    assert held_h == pytest.approx(run.figures["gpu_hours"], abs=1e-3)
    shared_h = sum(team["device_hours"] for team in run.figures["teams"])
    assert shared_h == pytest.approx(run.figures["gpu_hours"], abs=0.01)


def test_the_same_scenario_twice_gives_the_same_jobs_and_ends() -> None:
    first, second = run_trial(example("small-lab")), run_trial(example("small-lab"))

    assert (first.end_s == second.end_s).all()
    assert (first.seen.held == second.seen.held).all()
