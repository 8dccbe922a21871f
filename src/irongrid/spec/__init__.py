"""The border: job, fleet and scenario files in, domain values or a full report of problems out."""

from irongrid.spec.document import command_document
from irongrid.spec.fleet_schema import fleet_schema
from irongrid.spec.job import (
    LoadedJob,
    ParsedJob,
    load_job_file,
    load_job_text,
    parse_job_document,
    parse_job_text,
)
from irongrid.spec.scenario import LoadedScenario, load_scenario
from irongrid.spec.scenario_schema import scenario_schema
from irongrid.spec.schema import job_schema

__all__ = [
    "LoadedJob",
    "LoadedScenario",
    "ParsedJob",
    "command_document",
    "fleet_schema",
    "job_schema",
    "load_job_file",
    "load_job_text",
    "load_scenario",
    "parse_job_document",
    "parse_job_text",
    "scenario_schema",
]
