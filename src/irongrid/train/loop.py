"""The training loop: forward, backward, one agreement between ranks, the optimizer's step.

The agreement is one all-reduce per step. It carries what the gradient norm needs anyway, and beside
it the loss and what single ranks want: to save, to stop. So all ranks decide alike at every step.
"""

import math
import statistics
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from irongrid import session
from irongrid.domain.job import TrainTask
from irongrid.errors import Fenced, IrongridError
from irongrid.train.checkpoint.interval import Pacer
from irongrid.train.checkpoint.writer import CheckpointWriter
from irongrid.train.gang import Gang
from irongrid.train.metrics import MetricsFile
from irongrid.train.model import next_token_loss
from irongrid.train.optimizer import Optimizer, clip, learning_rate, squared_norm
from irongrid.train.report import Report
from irongrid.train.sampler import SampleOrder, samples_of
from irongrid.train.sharded import ShardedModel
from irongrid.train.tokens import TokenStream

# Enough text for a steady figure: a tenth of a nat is 20 standard errors at 16 Ki tokens [ours].
EVAL_TOKENS = 16_384
# How long the last checkpoint is tried again before the run gives up.
LAST_SAVE_S = 60.0
_RETRY_S = 2.0


class Diverged(IrongridError):
    """The loss is no longer a number."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """What all ranks know after a step."""

    loss: float
    gradient_norm: float
    save: bool
    stop: bool
    stop_saves: bool
    busy: bool


@dataclass(slots=True)
class Trainer:
    """One rank's training run, ready to go on from some step."""

    task: TrainTask
    gang: Gang
    model: ShardedModel
    optimizer: Optimizer
    stream: TokenStream
    order: SampleOrder
    writer: CheckpointWriter
    pacer: Pacer
    metrics: MetricsFile | None
    report: Report
    _save_wanted: bool = False
    _step_times_s: deque[float] = field(default_factory=lambda: deque(maxlen=20))

    def run(self, done: int) -> bool:
        """Train from `done` steps to the end; False when told to stop before it."""
        session.phase("first_step")
        for step in range(done + 1, self.task.steps + 1):
            begin_s = time.monotonic()
            agreed = self._step(step)
            step_time_s = time.monotonic() - begin_s
            self._step_times_s.append(step_time_s)
            if not math.isfinite(agreed.loss):
                raise Diverged(
                    f"the loss is {agreed.loss} at step {step}. Lower train.learning_rate"
                )
            self._publish(step, agreed, step_time_s)
            if agreed.stop:
                if agreed.stop_saves and step < self.task.steps:
                    self._save_and_wait(step)
                if step < self.task.steps:
                    return False
            elif agreed.save and not agreed.busy and step < self.task.steps:
                self._save(step)
            if step == done + 1:
                session.phase("step")
        self._finish(done)
        return True

    def _step(self, step: int) -> Agreement:
        """One optimizer step over all micro-batches and ranks."""
        loss = self._accumulate(step)
        gradients = self.model.gradients()
        wants = torch.tensor(self._wants(step), dtype=torch.float64, device=loss.device)
        mine = torch.cat((squared_norm(gradients)[None], loss.double()[None], wants))
        total = self.gang.sum(mine)
        plan = self.gang.plan
        norm = (total[0] / plan.dp_replicate).sqrt()
        clip(gradients, norm, self.task.clip_norm)
        self.optimizer.step(gradients, learning_rate(self.task, step))
        self.model.drop_gradients()
        _, loss_sum, save, stop, stop_saves, busy = total.tolist()
        return Agreement(
            loss=loss_sum / plan.world_size,
            gradient_norm=norm.item(),
            save=save > 0,
            stop=stop > 0,
            stop_saves=stop_saves > 0,
            busy=busy > 0,
        )

    def _accumulate(self, step: int) -> Tensor:
        """Gradients of this rank's share of the batch; gives its mean loss."""
        plan = self.gang.plan
        total = torch.zeros((), device=self.gang.device)
        for micro_step in range(plan.grad_accum):
            samples = samples_of(plan, step - 1, self.gang.rank, micro_step)
            inputs_BS, targets_BS = self._batch(self.order.training_windows(samples))
            self.model.before_micro_step(last=micro_step == plan.grad_accum - 1)
            loss = next_token_loss(self.model.module(inputs_BS), targets_BS) / plan.grad_accum
            torch.autograd.backward(loss)
            total += loss.detach()
        return total

    def _batch(self, windows: np.ndarray) -> tuple[Tensor, Tensor]:
        rows = torch.from_numpy(self.stream.windows(windows, self.task.seq_len))
        rows = rows.to(self.gang.device, non_blocking=True)
        return rows[:, :-1], rows[:, 1:]

    def _wants(self, step: int) -> list[float]:
        """Save, stop, stop with a save, still writing: rank 0 decides on saving for all."""
        self._learn()
        due = self.pacer.due(
            step=step,
            steps=self.task.steps,
            step_time_s=self._typical_step_s(),
            now_s=time.monotonic(),
        )
        # Kept until it is done: a save that is still being written may be in the way.
        self._save_wanted |= session.should_checkpoint() or due
        save = self._save_wanted and self.gang.leads
        stop = session.should_stop()
        return [save, stop, stop and session.stop_wants_save(), self.writer.busy]

    def _typical_step_s(self) -> float:
        return statistics.median(self._step_times_s) if self._step_times_s else 0.0

    def _publish(self, step: int, agreed: Agreement, step_time_s: float) -> None:
        """Evaluate when it is time, then tell files, session and log."""
        figures = {
            "loss": agreed.loss,
            "lr": learning_rate(self.task, step),
            "grad_norm": agreed.gradient_norm,
            "tokens_per_s": self.task.global_batch * self.task.seq_len / step_time_s,
            "step_time_s": step_time_s,
        }
        every = self.task.eval_every
        if self.order.held_out and ((every and step % every == 0) or step == self.task.steps):
            session.phase("eval")
            figures["eval_loss"] = self.evaluate()
            session.phase("step")
        session.progress(step, **figures)
        if self.metrics is not None:
            self.metrics.write({"step": step, **figures, "at_ns": time.time_ns()})
        self.report.step(step, figures)

    def evaluate(self) -> float:
        """Mean loss over the held-out samples, the same ones for any number of ranks."""
        wanted = max(self.task.global_batch, -(-EVAL_TOKENS // self.task.seq_len))
        windows = self.order.held_out_windows(wanted)
        plan = self.gang.plan
        total = torch.zeros(2, dtype=torch.float64, device=self.gang.device)
        with torch.no_grad():
            for mine, real in _shares(windows, self.gang.rank, plan.world_size, plan.micro_batch):
                inputs_BS, targets_BS = self._batch(mine)
                logits_BSV = self.model.module(inputs_BS)[:real]
                if real:
                    total[0] += next_token_loss(logits_BSV, targets_BS[:real]).double() * real
                    total[1] += real
        loss_sum, samples = self.gang.sum(total).tolist()
        return float(loss_sum / samples)

    def _save(self, step: int) -> None:
        self._save_wanted = False
        now_s = time.monotonic()
        self.pacer.last_s = now_s
        self.writer.save(step, self.pacer.running_s(now_s))
        self._learn()

    def _save_and_wait(self, step: int) -> bool:
        """Save when the save under way has ended; True when this one is durable everywhere."""
        session.phase("save")
        self.writer.wait()
        self._learn()
        self.writer.save(step, self.pacer.running_s(time.monotonic()))
        self.writer.wait()
        return self._learn()

    def _learn(self) -> bool:
        """Take in how saves ended; True when none failed.

        Raises:
            Fenced: a newer epoch has begun.
        """
        well = True
        for saved in self.writer.ended():
            if saved.failed is None:
                self.pacer.measured(stall_s=saved.stall_s, write_s=saved.write_s)
            else:
                well = False
                self.report.line(f"checkpoint of step {saved.step} failed: {saved.failed}")
                if saved.failed.code == "fenced":
                    raise Fenced("fenced", saved.failed.message)
        return well

    def _finish(self, done: int) -> None:
        """Make the last step durable, unless this run only found that it already is."""
        if done >= self.task.steps:
            return
        deadline_s = time.monotonic() + LAST_SAVE_S
        while not self.gang.all_agree(self._save_and_wait(self.task.steps)):
            # One clock decides, so that all ranks go on or give up together.
            if not self.gang.all_agree(not self.gang.leads or time.monotonic() < deadline_s):
                raise IrongridError(
                    f"all steps are done, but the last checkpoint could not be written within "
                    f"{LAST_SAVE_S:.0f} s. Free some disk space and resume the job"
                )
            time.sleep(_RETRY_S)


def _shares(
    windows: np.ndarray, rank: int, world_size: int, size: int
) -> Iterator[tuple[np.ndarray, int]]:
    """A rank's batches and how many of their samples count; all ranks get equally many batches."""
    for first in range(0, len(windows), size * world_size):
        mine = windows[first + rank * size : first + (rank + 1) * size]
        real = len(mine)
        padding = np.repeat(windows[:1], size - real)
        yield np.concatenate((mine, padding)), real
