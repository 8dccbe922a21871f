"""The state as text and back, in parts of bounded size, and its hash.

The first part is a header; each further part is a JSON list of jobs. Specifications repeat over
jobs that were submitted alike, so each distinct one is written once, but for its name, as an object
before the first job that has it. A job that has only waited since it was submitted is a short list:
a restart with 100,000 of them must not take long.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import MISSING, fields, replace
from typing import Any

from irongrid.control.account import Account, Bucket
from irongrid.control.state import Job, State
from irongrid.control.wakeups import due_ns
from irongrid.domain.codec import canonical, decoder, to_json
from irongrid.domain.decision import WaitCode
from irongrid.domain.device import Node
from irongrid.domain.ids import JobId, NodeId
from irongrid.domain.job import JobSpec, JobState

FORMAT = 3
_ROWS_PER_PART = 500
_JOB_FIELDS = tuple(field.name for field in fields(Job) if field.name != "spec")
# Most jobs have never run: fields at their first value are left out.
_DEFAULTS: dict[str, Any] = {
    field.name: field.default
    if field.default_factory is MISSING
    else to_json(field.default_factory())
    for field in fields(Job)
    if field.default is not MISSING or field.default_factory is not MISSING
}


def dump(state: State) -> Iterator[str]:
    """Parts of text that `load` turns back into an equal state."""
    yield canonical(
        {
            "format": FORMAT,
            "seq": state.seq,
            "at_ns": state.at_ns,
            "server_epoch": state.server_epoch,
            "submitted": state.submitted,
            "nodes": to_json(tuple(state.nodes.values())),
            "closed": state.closed,
        }
    )
    specs: dict[JobSpec, int] = {}
    part: list[Any] = []
    for job in state.jobs.values():
        nameless = replace(job.spec, name="")
        spec = specs.get(nameless)
        if spec is None:
            spec = specs[nameless] = len(specs)
            part.append({"new_spec": to_json(nameless)})
        if job == _only_waited(job.id, job.spec, job.key, job.submitted_at_ns, job.wait_code):
            row = [job.id, job.key, job.submitted_at_ns, job.wait_code, job.spec.name, spec]
            part.append(row)
        else:
            part.append(_job_row(job) | {"name": job.spec.name, "spec": spec})
        if len(part) >= _ROWS_PER_PART:
            yield canonical(part)
            part = []
    if part:
        yield canonical(part)


def _only_waited(
    job_id: JobId, spec: JobSpec, key: str, submitted_at_ns: int, wait_code: WaitCode
) -> Job:
    account = Account(bucket=Bucket.QUEUED, since_ns=submitted_at_ns, started_ns=submitted_at_ns)
    return Job(
        id=job_id,
        spec=spec,
        key=key,
        submitted_at_ns=submitted_at_ns,
        account=account,
        wait_code=wait_code,
    )


def _job_row(job: Job) -> dict[str, Any]:
    row = {}
    for name in _JOB_FIELDS:
        value = to_json(getattr(job, name))
        if name not in _DEFAULTS or value != _DEFAULTS[name]:
            row[name] = value
    return row


def load(parts: Iterable[str]) -> State:
    """The state behind the parts of `dump`.

    Raises:
        ValueError: another format, which only a newer or older Irongrid reads.
    """
    rows = iter(parts)
    header = json.loads(next(rows))
    if header["format"] != FORMAT:
        raise ValueError(f"snapshot format {header['format']} is not {FORMAT}")
    state = State()
    state.seq, state.at_ns = header["seq"], header["at_ns"]
    state.server_epoch, state.submitted = header["server_epoch"], header["submitted"]
    state.closed = {NodeId(node): why for node, why in header["closed"].items()}
    specs: list[JobSpec] = []
    decode_spec, decode_job = decoder(JobSpec), decoder(Job)
    wait_codes = {str(code): code for code in WaitCode}
    for part in rows:
        for row in json.loads(part):
            if isinstance(row, list):
                job_id, key, submitted_at_ns, wait_code, name, spec = row
                named = replace(specs[spec], name=name)
                job = _only_waited(job_id, named, key, submitted_at_ns, wait_codes[wait_code])
            elif "new_spec" in row:
                specs.append(decode_spec(row["new_spec"]))
                continue
            else:
                row["spec"] = replace(specs[row["spec"]], name=row.pop("name"))
                job = decode_job(row)
            state.jobs[job.id] = job
    _index(state, tuple(decoder(Node)(node) for node in header["nodes"]))
    return state


def _index(state: State, nodes: tuple[Node, ...]) -> None:
    """Rebuild what follows from the jobs."""
    for job in state.jobs.values():
        state.by_key[job.key] = job.id
        if job.planned is not None:
            state.planned[job.id] = None
        if job.state is JobState.QUEUED:
            state.queue.append(job.id)
            if job.wait_code is WaitCode.NEW:
                state.fresh[job.id] = None
        elif job.state is JobState.PAUSED:
            state.paused[job.id] = None
        elif job.state.final:
            state.ended_by_state[job.state] = state.ended_by_state.get(job.state, 0) + 1
        else:
            state.active[job.id] = None
            if job.attempt and job.attempt.stopping:
                state.stopping[job.id] = None
            if job.wanted is not None or (job.attempt and job.attempt.phase == "failed"):
                state.attention[job.id] = None
    state.queue.sort()
    state.set_fleet(nodes)
    state.moved_seq = state.seq
    for job in state.jobs.values():
        state.timers.set(job.id, due_ns(state, job))


def state_hash(state: State) -> str:
    """SHA-256 over canonical JSON: equal states have equal hashes, whatever path led there."""
    digest = hashlib.sha256()
    digest.update(canonical([state.seq, state.at_ns, state.server_epoch, state.submitted]).encode())
    digest.update(canonical(to_json(tuple(state.nodes.values()))).encode())
    digest.update(canonical(state.closed).encode())
    for job_id in sorted(state.jobs):
        digest.update(canonical(to_json(state.jobs[job_id])).encode())
    for free in state.free.values():
        left = [sorted(free.devices), round(free.cpus, 3), free.memory_bytes]
        if free.parts:
            left.append(sorted(free.parts.items()))
        digest.update(canonical(left).encode())
    digest.update(canonical([state.queue, sorted(state.active), sorted(state.paused)]).encode())
    return digest.hexdigest()
