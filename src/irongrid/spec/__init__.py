"""The border: job and fleet files in, domain values or a full report of problems out."""

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
from irongrid.spec.schema import job_schema

__all__ = [
    "LoadedJob",
    "ParsedJob",
    "command_document",
    "fleet_schema",
    "job_schema",
    "load_job_file",
    "load_job_text",
    "parse_job_document",
    "parse_job_text",
]
