"""What the demo says, and when it says that all is well."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from irongrid.cli.screen import Screen
from irongrid.cli.strike import metric_lines
from irongrid.cli.wording import account_lines
from irongrid.client.home import Home
from irongrid.domain.codec import to_json
from irongrid.domain.job import JobState, TrainTask
from irongrid.domain.messages import JobDetail
from irongrid.units import format_bytes, format_duration

# Far more than noise: an untrained model starts near log(1024) = 6.9 and gets to about 5.
CLEARLY_LOWER = 0.85


@dataclass(slots=True)
class Result:
    """Everything that the demo found out."""

    home: Path
    detail: JobDetail
    first_loss: float
    last_loss: float
    killed_pid: int
    killed_at_step: int
    killed_rank: int | None = None
    noticed_s: float | None = None
    recovery_s: float | None = None
    resumed_step: int | None = None
    sample: str = ""
    took_s: float = 0.0

    def wrong(self) -> list[str]:
        """What is not as it should be, in words; nothing when all is well."""
        row = self.detail.row
        saved = self.detail.checkpoint
        checks = {
            f"the job {row.state}: {self.detail.ended_because}": row.state == JobState.SUCCEEDED,
            f"{row.step} of {row.steps_total} steps were done": row.step == row.steps_total,
            "no rank was killed": bool(self.killed_pid),
            "the killed rank was not noticed": self.noticed_s is not None,
            "the job did not recover": self.recovery_s is not None,
            "the recovery started from nothing": bool(self.resumed_step),
            f"loss went from {self.first_loss:.3f} to {self.last_loss:.3f} only": (
                self.last_loss < CLEARLY_LOWER * self.first_loss
            ),
            "there is no checkpoint on disk": (
                saved is not None and (Path(saved.path) / "manifest.json").is_file()
            ),
            "no text was sampled": bool(self.sample.strip()),
        }
        return [words for words, holds in checks.items() if not holds]

    @property
    def ok(self) -> bool:
        """Whether all is well."""
        return not self.wrong()

    def as_json(self) -> dict[str, Any]:
        """The object of --json."""
        detail = self.detail
        return {
            "ok": self.ok,
            "wrong": self.wrong(),
            "job_id": detail.row.job_id,
            "state": detail.row.state,
            "steps": detail.row.step,
            "parameters": parameters(detail),
            "first_loss": round(self.first_loss, 4),
            "final_loss": round(self.last_loss, 4),
            "tokens_per_s": detail.metrics.get("tokens_per_s"),
            "killed_rank": self.killed_rank,
            "killed_at_step": self.killed_at_step,
            "noticed_s": self.noticed_s,
            "recovery_s": self.recovery_s,
            "resumed_step": self.resumed_step,
            "lost_steps": detail.lost_steps,
            "restarts": detail.row.restarts,
            "time_account_s": to_json(detail.time_account_s),
            "checkpoint": to_json(detail.checkpoint),
            "sample": self.sample,
            "home": str(self.home),
            "took_s": round(self.took_s, 2),
        }


def parameters(detail: JobDetail) -> int:
    """Weights of the model that the job trains."""
    task = detail.spec.task
    assert isinstance(task, TrainTask), "the demo trains"
    return task.model.parameters


def losses(path: Path) -> list[float]:
    """The loss of each step, in order."""
    return [line["loss"] for line in metric_lines(path)]


def mean(values: list[float]) -> float:
    """The mean; NaN for none, which is lower than nothing."""
    return sum(values) / len(values) if values else float("nan")


def opening(screen: Screen) -> None:
    """What is going to happen."""
    screen.say("Irongrid trains a small language model on two ranks, kills one, and recovers.")


def server_is_up(screen: Screen, address: str, home: Home) -> None:
    """The first line of the story."""
    _step(screen, "server", f"{address}, with a home of its own: {home.path}")


def job_handed_in(screen: Screen, detail: JobDetail) -> None:
    """What the job is."""
    millions = parameters(detail) / 1e6
    text = f"{millions:.1f}M parameters, {detail.row.steps_total} steps on Python's own sources"
    _step(screen, "job", f"{detail.row.job_id}: {text}, 2 ranks")


def killed(screen: Screen, pid: int, step: int, saved_step: int) -> None:
    """The blow."""
    text = f"SIGKILL to a rank (pid {pid}) at step {step}; step {saved_step} is saved"
    screen.note(f"kill        {text}", style="bold red")


def recovery(screen: Screen, result: Result) -> None:
    """What became of it."""
    if result.recovery_s is None or result.noticed_s is None:
        return
    text = (
        f"rank {result.killed_rank} was missed after {result.noticed_s:.2f} s; ranks worked again "
        f"after {result.recovery_s:.2f} s, from step {result.resumed_step}; "
        f"{result.detail.lost_steps} steps done again"
    )
    _step(screen, "recovery", text)


def closing(screen: Screen, result: Result) -> None:
    """Figures, text, places, and what to try next."""
    detail = result.detail
    loss = f"{result.first_loss:.2f} -> {result.last_loss:.2f}"
    _step(screen, "loss", f"{loss} over {detail.row.step} steps")
    _step(screen, "time", f"{format_duration(detail.time_account_s.wall_s)} for the job")
    for text, time, _, bar in account_lines(detail.time_account_s):
        screen.say(f"            {text:<17} {time:>8}  {bar}")
    if result.sample:
        _step(screen, "it writes", "after this little training, words without sense:")
        for line in [line for line in result.sample.splitlines() if line.strip()][:8]:
            screen.say(f"            | {line[:76]}")
    if detail.checkpoint is not None:
        size = format_bytes(detail.checkpoint.size_bytes)
        _step(screen, "checkpoint", f"{detail.checkpoint.path} ({size})")
    screen.say()
    wrong = result.wrong()
    if wrong:
        screen.say("This is not as it should be:", style="bold red")
        for words in wrong:
            screen.say(f"  - {words}")
        screen.say(f"  logs: {result.home}/server.log, {result.home}/jobs/{detail.row.job_id}")
        return
    screen.say(
        f"All is well, after {format_duration(result.took_s)}. Try next:", style="bold green"
    )
    screen.say("  irongrid up --detach                          a server of your own")
    screen.say("  irongrid submit -- python -c 'print(42)'      any command is a job")
    screen.say("  irongrid submit examples/first.yaml --wait    train with a file")
    screen.say(f"  rm -r {result.home}")


def _step(screen: Screen, name: str, text: str) -> None:
    screen.say(f"{name:<11} {text}")
