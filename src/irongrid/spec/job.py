"""From a job file or a JSON document to a `JobSpec`, or to a report of everything that is wrong."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from irongrid.domain.job import JobSpec
from irongrid.spec import rules
from irongrid.spec.convert import job_spec
from irongrid.spec.document import check_json, default_name, read_file, resolve
from irongrid.spec.fields import GRAMMAR, Job
from irongrid.spec.findings import Finding, kind, report
from irongrid.spec.sections import beneath
from irongrid.spec.translate import validated
from irongrid.spec.yaml_text import Reading, Unreadable, read_yaml


@dataclass(frozen=True, slots=True)
class ParsedJob:
    """A job that can be submitted.

    Attributes:
        spec: the job, without secrets: of `env` it has the names only.
        environment: the values of `env`.
    """

    spec: JobSpec
    environment: dict[str, str]


@dataclass(frozen=True, slots=True)
class LoadedJob:
    """A job file as a server wants it.

    Attributes:
        document: the file's content as JSON values, every path absolute.
        parsed: what the server will make of it.
    """

    document: dict[str, Any]
    parsed: ParsedJob


def parse_job_text(text: str, *, source: str) -> ParsedJob:
    """The job in a YAML or JSON text. Relative paths start at the folder of `source`.

    Raises:
        SpecError: every problem, with its line.
    """
    return load_job_text(text, source=source, folder=os.path.dirname(source)).parsed


def load_job_text(text: str, *, source: str, folder: str, interpreter: str = "") -> LoadedJob:
    """The job in a text, ready to be sent to a server.

    Args:
        source: what reports call the text: its file's name.
        folder: where relative paths start; also the default `workdir`.
        interpreter: the Python to record when the file names none.

    Raises:
        SpecError: every problem, with its line.
    """
    try:
        reading = read_yaml(text)
    except Unreadable as unreadable:
        findings = unreadable.findings
    else:
        document = resolve(reading.document, folder, interpreter, default_name(source))
        parsed, findings = _check(document, reading)
        if parsed is None or not isinstance(document, dict):
            raise report(findings, source, reading.lines)
        return LoadedJob(document, parsed)
    raise report(findings, source, {})


def load_job_file(path: str, *, interpreter: str = "") -> LoadedJob:
    """The job in a file, ready to be sent to a server. Reports name the file as `path` does.

    Raises:
        SpecError: every problem, with its line.
    """
    return load_job_text(
        read_file(path), source=path, folder=os.path.dirname(path), interpreter=interpreter
    )


def parse_job_document(document: Mapping[str, Any], *, source: str) -> ParsedJob:
    """The job in a JSON document, as a client sends it: every path in it must be absolute.

    Raises:
        SpecError: every problem; there are no lines.
    """
    parsed, findings = _check(document, Reading(document))
    if parsed is None:
        raise report(findings, source, {})
    return parsed


def _check(document: object, reading: Reading) -> tuple[ParsedJob | None, list[Finding]]:
    """The job, or everything that is wrong with it."""
    unfit = check_json(document)
    if unfit:
        return None, [*reading.findings, *unfit]
    if not isinstance(document, Mapping):
        return None, [*reading.findings, _no_mapping(document)]
    job, findings, wrong = validated(Job, document, GRAMMAR)
    findings += rules.check(job, frozenset(wrong | reading.broken))
    findings = [finding for finding in findings if not beneath(finding.path, reading.broken)]
    findings = [*reading.findings, *findings]
    if findings:
        return None, findings
    return ParsedJob(spec=job_spec(job), environment=dict(job.env or {})), []


def _no_mapping(document: object) -> Finding:
    problem = "the job is empty" if document is None else f"expected fields, got {kind(document)}"
    return Finding((), problem, "Begin with `run: COMMAND`, or with a `train:` section")
