"""`irongrid show`: everything about one job, its account of time first."""

from typing import TYPE_CHECKING

from irongrid.cli.reference import resolve
from irongrid.cli.screen import Screen
from irongrid.cli.wording import account_lines, ago, now_ns, progress
from irongrid.client.api import Client
from irongrid.client.home import Home
from irongrid.domain.codec import to_json
from irongrid.domain.failure import Failure
from irongrid.domain.job import JobState, TrainTask
from irongrid.domain.messages import AttemptView, JobDetail
from irongrid.units import NS_PER_S, format_bytes, format_duration

if TYPE_CHECKING:
    from rich.table import Table


def show(home: Home, reference: str, *, as_json: bool) -> int:
    """Print one job."""
    screen = Screen(as_json=as_json)
    with Client.from_home(home) as client:
        detail = client.job(resolve(client, reference))
    if not as_json:
        render(screen, detail, now_ns())
    screen.answer(to_json(detail))
    return 0


def render(screen: Screen, detail: JobDetail, now_at_ns: int) -> None:
    """The job for a person, in 80 columns where it depends on us."""
    for line in head_lines(detail, now_at_ns):
        screen.say(line)
    screen.say()
    wall = format_duration(detail.time_account_s.wall_s)
    screen.say(f"time: {wall} since submission", style="bold")
    screen.say(_account_table(detail))
    if detail.attempts:
        screen.say()
        screen.say("attempts", style="bold")
        for attempt in detail.attempts:
            for line in attempt_lines(attempt):
                screen.say(f"  {line}")
    if detail.failure is not None:
        screen.say()
        for line in failure_lines(detail.failure):
            screen.say(line)
    screen.say()
    screen.say(f"next: {next_step(detail)}")


def head_lines(detail: JobDetail, now_at_ns: int) -> list[str]:
    """What the job is, where it stands, and its latest figures."""
    row = detail.row
    state = row.state if detail.phase in ("", row.state) else f"{row.state} ({detail.phase})"
    lines = [f"{row.job_id}  {row.name}  {state}"]
    if detail.ended_because:
        lines.append(f"  {detail.ended_because}")
    facts = {
        "task": _task(detail),
        "ranks": _ranks(detail),
        "step": progress(row),
        "submitted": ago(row.submitted_at_ns, now_at_ns),
        "ended": ago(row.ended_at_ns, now_at_ns) if row.ended_at_ns else "",
        "restarts": f"{row.restarts}, {detail.lost_steps} steps done again" if row.restarts else "",
        "figures": "  ".join(f"{name} {value:.4g}" for name, value in detail.metrics.items()),
        "checkpoint": _checkpoint(detail, now_at_ns),
        "folder": detail.spec.workdir,
    }
    lines += [f"  {name:<11} {text}" for name, text in facts.items() if text]
    return lines


def _task(detail: JobDetail) -> str:
    task = detail.spec.task
    if isinstance(task, TrainTask):
        millions = task.model.parameters / 1e6
        return f"train {millions:.1f}M parameters on {', '.join(task.data)}"
    return "run " + " ".join(task.argv)


def _ranks(detail: JobDetail) -> str:
    if detail.row.nodes:
        return f"{detail.row.devices} on {', '.join(detail.row.nodes)}"
    sizes = detail.spec.resources.sizes
    asked = str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    return f"asks for {asked}"


def _checkpoint(detail: JobDetail, now_at_ns: int) -> str:
    saved = detail.checkpoint
    if saved is None:
        return ""
    size = format_bytes(saved.size_bytes)
    return f"step {saved.step}, {size}, {ago(saved.at_ns, now_at_ns)}: {saved.path}"


def _account_table(detail: JobDetail) -> "Table":
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, justify="right")
    table.add_column(no_wrap=True, justify="right")
    table.add_column(no_wrap=True, style="cyan")
    for text, time, share, bar in account_lines(detail.time_account_s):
        table.add_row(f"  {text}", time, share, bar)
    return table


def attempt_lines(attempt: AttemptView) -> list[str]:
    """One launch: where it ran, how it is limited, what failed in it."""
    nodes = ", ".join(f"{share.node}[{len(share.devices)}]" for share in attempt.placement.shares)
    end = f"ended after {_span(attempt)}" if attempt.ended_at_ns else attempt.phase
    lines = [f"{attempt.attempt}  generation {attempt.generation}  {nodes}  {end}"]
    if attempt.limits:
        lines[0] += f"  limits: {attempt.limits}"
    lines += [f"    {failure.code}: {failure.message}" for failure in attempt.failures]
    return lines


def _span(attempt: AttemptView) -> str:
    return format_duration((attempt.ended_at_ns - attempt.started_at_ns) / NS_PER_S)


def failure_lines(failure: Failure) -> list[str]:
    """The first failure, with the last words of the rank."""
    who = "a whole worker" if failure.rank is None else f"rank {failure.rank}"
    place = f" on {failure.node}" if failure.node else ""
    lines = [f"first failure: {who}{place}: {failure.message}"]
    facts = {
        "exit code": failure.exit_code,
        "signal": failure.signal,
        "phase": failure.phase or None,
        "memory limit": _bytes(failure.memory_limit_bytes),
        "memory peak": _bytes(failure.memory_peak_bytes),
    }
    lines += [f"  {name}: {value}" for name, value in facts.items() if value is not None]
    if failure.stderr_tail:
        lines.append("  its last lines:")
        lines += [f"  | {line}" for line in failure.stderr_tail]
    return lines


def _bytes(size_bytes: int | None) -> str | None:
    return None if size_bytes is None else format_bytes(size_bytes)


def next_step(detail: JobDetail) -> str:
    """The command that people want next."""
    job = detail.row.job_id
    state = JobState(detail.row.state)
    if state is JobState.QUEUED:
        return f"irongrid why {job}"
    if state is JobState.PAUSED:
        return f"irongrid resume {job}"
    if state is JobState.FAILED:
        rank = detail.failure.rank if detail.failure and detail.failure.rank is not None else 0
        return f"irongrid logs {job} --rank {rank}"
    return f"irongrid logs {job}" + ("" if state.final else " -f")
