"""Watching one job until it ends: a bar on a terminal, plain lines elsewhere, both on stderr."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from irongrid.cli.screen import Screen
from irongrid.cli.watching import waits_for_server
from irongrid.client.api import Client
from irongrid.domain.codec import to_json
from irongrid.domain.job import JobState
from irongrid.domain.messages import JobDetail

if TYPE_CHECKING:
    pass

LOOK_EVERY_S = 0.25
LINE_EVERY_S = 5.0

Look = Callable[[JobDetail], None]


def watch(client: Client, screen: Screen, job: str, *, also: Look | None = None) -> JobDetail:
    """Show progress until the job is final; its last state.

    Args:
        also: called with every look at the job, before it is shown.

    Raises:
        Unreachable: the server stayed away.
        KeyboardInterrupt: the person has seen enough; the job is not touched.
    """
    display = _Bar(screen) if screen.is_live else _Lines(screen)
    with display.shown():
        detail = None
        for detail in client.follow_job(
            job, every_s=LOOK_EVERY_S, on_lost=waits_for_server(screen)
        ):
            if also is not None:
                also(detail)
            display.update(detail)
    assert detail is not None, "a job that exists is seen at least once"
    return detail


def standing(detail: JobDetail) -> str:
    """State and phase in a few words: `running`, `starting (build)`, `recovering`."""
    state = detail.row.state
    return state if detail.phase in ("", state) else f"{state} ({detail.phase})"


def figures(detail: JobDetail) -> str:
    """The figures that people watch."""
    told = []
    for name, form in (("loss", "loss {:.3f}"), ("tokens_per_s", "{:,.0f} tokens/s")):
        if name in detail.metrics:
            told.append(form.format(detail.metrics[name]))
    return "  ".join(told)


class _Lines:
    """One line when something changes, and every few seconds."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._last: tuple[Any, ...] = ()
        self._told_at = 0.0
        self._told_step = -1

    def shown(self) -> AbstractContextManager[object]:
        return nullcontext()

    def update(self, detail: JobDetail) -> None:
        row = detail.row
        now = (row.state, row.restarts, row.wait_code)
        moved = row.step != self._told_step
        due = moved and time.monotonic() - self._told_at >= LINE_EVERY_S
        if now == self._last and not due:
            return
        self._last, self._told_at, self._told_step = now, time.monotonic(), row.step
        parts = [row.job_id, standing(detail)]
        if row.wait_code and row.state == JobState.QUEUED:
            parts.append(f"because: {row.wait_code}")
        if row.step:
            parts.append(f"step {row.step}" + (f"/{row.steps_total}" if row.steps_total else ""))
        if row.restarts:
            parts.append(f"restarts {row.restarts}")
        parts.append(figures(detail))
        self._screen.note("  ".join(part for part in parts if part))


class _Bar:
    """A bar over the optimizer steps; it pulses where their number is unknown."""

    def __init__(self, screen: Screen) -> None:
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._progress: Progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.fields[job]}"),
            TextColumn("{task.description}", style="cyan"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[step]}"),
            TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(),
            console=screen.err,
            transient=False,
        )
        self._task = self._progress.add_task("queued", total=None, job="", step="", figures="")

    def shown(self) -> AbstractContextManager[object]:
        return self._progress

    def update(self, detail: JobDetail) -> None:
        row = detail.row
        self._progress.update(
            self._task,
            description=standing(detail),
            total=row.steps_total or None,
            completed=row.step,
            job=row.job_id,
            step=f"{row.step}/{row.steps_total}" if row.steps_total else "",
            figures=figures(detail),
        )


def outcome(detail: JobDetail) -> dict[str, Any]:
    """The object that a waiting submit ends with."""
    return {
        "job_id": detail.row.job_id,
        "name": detail.row.name,
        "state": detail.row.state,
        "steps": detail.row.step,
        "final_loss": detail.metrics.get("loss"),
        "tokens_per_s": detail.metrics.get("tokens_per_s"),
        "restarts": detail.row.restarts,
        "lost_steps": detail.lost_steps,
        "time_account_s": to_json(detail.time_account_s),
        "checkpoint": to_json(detail.checkpoint),
        "ended_because": detail.ended_because,
        "failure": to_json(detail.failure),
    }
