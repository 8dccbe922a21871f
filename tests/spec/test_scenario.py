"""Scenario files: what they become, and what the published schema says of them."""

import re
from pathlib import Path

import jsonschema_rs
import pytest

from irongrid.domain.scenario import Generated, Recorded
from irongrid.errors import Problem, SpecError
from irongrid.spec import load_scenario, scenario_schema
from irongrid.spec.scenario import parse_scenario_text
from irongrid.spec.scenario_fields import DATASETS, GRAMMAR, NOT_YET
from irongrid.spec.sections import ANY
from irongrid.spec.yaml_text import read_yaml
from irongrid.twin.truth.datasets import READERS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/reference/scenario-file.md"
EXAMPLES = sorted((ROOT / "examples/scenarios").glob("*.yaml"))
BAD = sorted((Path(__file__).parent / "bad_scenarios").glob("*.yaml"))
SCHEMA = jsonschema_rs.validator_for(scenario_schema())
# About numbers taken together, about other files, or about the YAML itself.
BEYOND_A_SCHEMA = {
    "fleet-file-wrong",
    "hostile-nul",
    "p90-below-median",
    "size-beyond-the-fleet",
}
NOT_IN_JSON = {"twice", "yaml-unclosed"}
GENERATOR = """
fleet: {pools: {h100: {accelerator: H100, nodes: 2}}}
policy: fifo
workload:
  generator:
    jobs: 10
    arrivals: {per_hour: 6}
    sizes: [{devices: 1}, {devices: 8, weight: 0.5}]
    durations: {median: 20m, p90: 6h}
"""


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_a_right_scenario_called_after_its_file(path: Path) -> None:
    assert load_scenario(str(path)).scenario.name == path.stem
    assert SCHEMA.is_valid(read_yaml(path.read_text()).document)


@pytest.mark.parametrize(
    "path", [path for path in BAD if path.stem not in NOT_IN_JSON], ids=lambda path: path.stem
)
def test_the_schema_refuses_what_a_schema_can(path: Path) -> None:
    document = read_yaml(path.read_text()).document

    known = {"fleet-inline-wrong": False}
    assert SCHEMA.is_valid(document) == known.get(path.stem, path.stem in BEYOND_A_SCHEMA)


def test_a_generator_becomes_its_figures_with_defaults() -> None:
    scenario = parse_scenario_text(GENERATOR, source="x/load.yaml", folder="x").scenario

    assert scenario.workload == Generated(
        jobs=10,
        per_hour=6.0,
        daily_swing=0.0,
        sizes=((1, 1.0), (8, 0.5)),
        median_s=1200.0,
        p90_s=21600.0,
        teams=(("team", 1.0),),
    )
    assert (scenario.name, scenario.seed, scenario.policy) == ("load", 0, "fifo")
    assert scenario.fleet is not None
    assert scenario.fleet.devices == 16


def test_paths_start_at_the_folder_of_the_scenario() -> None:
    text = "workload: {file: ../jobs.csv, dataset: philly, head: 5}\npolicy: fifo\n"

    scenario = parse_scenario_text(text, source="a/b.yaml", folder="a/c").scenario

    assert scenario.workload == Recorded(file="a/jobs.csv", dataset="philly", head=5)
    assert scenario.fleet is None


def test_an_error_about_an_option_becomes_one_about_the_line_of_the_file() -> None:
    loaded = parse_scenario_text(GENERATOR, source="load.yaml", folder="")
    error = SpecError([Problem(field="--policy", problem="there is none", fix="Use another")])

    assert str(loaded.in_file(error)) == "load.yaml:3: policy: there is none. Use another."


def test_an_error_about_another_file_stays_as_it_is() -> None:
    loaded = parse_scenario_text(GENERATOR, source="load.yaml", folder="")
    error = SpecError([Problem(field="submit_s", problem="no number", fix="", source="jobs.csv")])

    assert loaded.in_file(error) is error


def test_the_data_sets_are_those_that_the_twin_reads() -> None:
    assert set(DATASETS) == set(READERS)


def test_the_reference_page_has_every_field_and_no_other() -> None:
    table = set(re.findall(r"^\| `([A-Za-z0-9_.\[\]]+)` \|", PAGE.read_text(), re.MULTILINE))
    fields = {
        ".".join(map(str, (*place, name)))
        for place, section in GRAMMAR.sections.items()
        for name in section.model_fields
        if (*place, name) not in GRAMMAR.sections and (*place, name, ANY) not in GRAMMAR.sections
    }

    assert table == {field.replace(".*", "[]") for field in fields}


def test_the_reference_page_names_what_is_not_supported_yet_and_its_scenarios_are_right() -> None:
    page = PAGE.read_text()

    for path in NOT_YET:
        assert f"`{'.'.join(map(str, path))}`" in page
    for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL):
        parse_scenario_text(block, source="page.yaml", folder=str(ROOT / "examples/scenarios"))
