"""`irongrid plan`: what was typed becomes a question; its answer is shown, drawn or written."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from irongrid.cli.failures import DONE, INTERRUPTED, THE_ANSWER_IS_NO, Shown, wrong_input
from irongrid.cli.patience import patience
from irongrid.cli.plan import objects, table
from irongrid.cli.plan.exporting import Exported, best_export
from irongrid.cli.plan.files import write_files, write_text
from irongrid.cli.plan.page import page
from irongrid.cli.plan.report import Report
from irongrid.cli.plan.typed import as_typed, check_words
from irongrid.cli.screen import Screen
from irongrid.cost.coefficients import Coefficients
from irongrid.planner.answer import Answer, Misfit
from irongrid.planner.curve import scaling_curve
from irongrid.planner.matrix import communication_matrix
from irongrid.planner.pareto import pareto_front
from irongrid.planner.question import check
from irongrid.planner.rank_map import rank_map
from irongrid.planner.search import search
from irongrid.sdk.measured import calibrated
from irongrid.sdk.plan import (
    GLOBAL_BATCH,
    SEQ_LEN,
    Asked,
    Pin,
    ask,
    ask_for_job,
    shipped_coefficients,
)
from irongrid.spec import load_job_file

PINS = (
    "tp", "pp", "cp", "ep", "dp", "dp_replicate", "dp_shard", "micro_batch", "virtual_stages",
    "stage_layers", "schedule", "zero", "recompute", "offload", "offload_tier", "context",
    "compression", "sites", "sync_every",
)  # fmt: skip
# What a file says about the training itself, so that an option beside it would contradict it.
OF_THE_JOB = ("model", "global_batch", "seq_len", "runtime", "precision", "optimizer", "lora_rank")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What was typed, under the names of `command.plan`; empty and None are not given."""

    file: str
    model: str
    fleet: str
    global_batch: int | None
    seq_len: int | None
    devices: int | None
    goal: str
    runtime: str
    precision: str
    optimizer: str
    lora_rank: int | None
    measured: str
    tp: int | None
    pp: int | None
    cp: int | None
    ep: int | None
    dp: int | None
    dp_replicate: int | None
    dp_shard: int | None
    micro_batch: int | None
    virtual_stages: int | None
    stage_layers: str
    schedule: str
    zero: str
    recompute: str
    offload: str
    offload_tier: str
    context: str
    compression: str
    sites: int | None
    sync_every: int | None
    keep: int
    curve: bool
    pareto: bool
    matrix: bool
    export: str
    to: str
    html: str
    as_json: bool

    @property
    def pins(self) -> dict[str, Pin]:
        """The degrees that the person has fixed."""
        return {name: getattr(self, name) for name in PINS if getattr(self, name) not in (None, "")}


def plan(options: Options) -> int:
    """Answer the question, and show as much of it as was asked for."""
    screen = Screen(as_json=options.as_json)
    try:
        return _plan(screen, options)
    except KeyboardInterrupt:
        return _stopped(screen)


def _plan(screen: Screen, options: Options) -> int:
    with as_typed():
        check_words(options)
        asked = _asked(options)
        coefficients = _coefficients(screen, options, asked)
        with patience(screen, "searching"):
            exported = _answered(options, asked, coefficients)
    answer, files = exported.answer, exported.files
    for assumption in asked.assumed:
        screen.note(f"assumed: {assumption}")
    if not answer.plans:
        return _nothing(screen, asked, answer)
    if exported.obstacle:
        screen.note(f"passed over a better plan: {exported.obstacle}")
    with patience(screen, "drawing up the report"):
        report = _report(options, asked, answer, coefficients)
    if options.to:
        write_files(Path(options.to), files)
    if not options.as_json:
        _show(screen, options, report, files)
    if options.html:
        write_text(Path(options.html), page(report))
        screen.note(f"wrote {options.html}")
    value = objects.report_object(report)
    if options.export:
        value["files"] = files
    screen.answer(value)
    return DONE


def _stopped(screen: Screen) -> int:
    """Ctrl-C: nothing was found yet, and nothing written."""
    fix = "a fixed --devices N or a pinned degree, such as --tp 8, makes the search shorter"
    said = Shown(
        exit_code=INTERRUPTED, code="stopped", problem="stopped before the answer", fix=fix
    )
    for line in said.lines():
        screen.note(line)
    screen.answer(said.as_json())
    return said.exit_code


def _asked(options: Options) -> Asked:
    if options.file:
        _alone(options)
        job = load_job_file(options.file).parsed.spec
        return ask_for_job(
            job,
            options.fleet or None,
            options.goal,
            devices=options.devices,
            keep=options.keep,
            pins=options.pins,
        )
    if not options.model:
        fix = "give --model NAME (such as llama3.1-8b) with --fleet FILE, or a job.yaml"
        raise wrong_input("nothing says what to plan", fix)
    return ask(
        options.model,
        options.fleet or None,
        options.goal,
        global_batch=options.global_batch or GLOBAL_BATCH,
        seq_len=options.seq_len or SEQ_LEN,
        devices=options.devices,
        runtime=options.runtime or options.export or "megatron",
        precision=options.precision,
        optimizer=options.optimizer or "adam",
        lora_rank=options.lora_rank or 0,
        keep=options.keep,
        pins=options.pins,
    )


def _coefficients(screen: Screen, options: Options, asked: Asked) -> Coefficients:
    """The shipped fit, moved by the person's own measured steps where there are some."""
    shipped = shipped_coefficients()
    if not options.measured:
        return shipped
    check(asked.question)
    found = calibrated(options.measured, asked.question, shipped)
    screen.note(
        f"calibrated with {found.rows} measured step{'s' if found.rows > 1 else ''}: it was "
        f"{100 * found.error_before:.1f}% off on average, now {100 * found.error_after:.1f}%"
    )
    return found.coefficients


def _alone(options: Options) -> None:
    """A job's file says these things itself."""
    for name in OF_THE_JOB:
        if getattr(options, name):
            option = "--" + name.replace("_", "-")
            fix = f"change it in the file, or leave the file out and give {option} beside --model"
            raise wrong_input(f"{option} stands beside {options.file}, which says it itself", fix)


def _nothing(screen: Screen, asked: Asked, answer: Answer) -> int:
    """Nothing works: what is missing, and the smallest changes that would do."""
    misfit = answer.misfit or Misfit(code="divisibility", problem="no plan divides evenly")
    screen.note(f"irongrid: {misfit.problem}")
    for fix in misfit.fixes:
        screen.note(f"  -> {fix}")
    screen.answer(objects.misfit_object(asked.model_name, asked.question, misfit))
    return THE_ANSWER_IS_NO


def _report(options: Options, asked: Asked, answer: Answer, coefficients: Coefficients) -> Report:
    """The answer with what else was asked for; a page shows all of it."""
    question, best = asked.question, answer.best
    pool = question.fleet.pool(best.pool)
    matrix = ranks = None
    if options.matrix or options.html:
        matrix = communication_matrix(best.plan, question.model, question.training, pool)
        _, *beside = question.fleet.all_of(best.pool)
        ranks = rank_map(best.plan, pool, matrix.bytes_by_axis(), beside=beside)
    return Report(
        model_name=asked.model_name,
        model=question.model,
        training=question.training,
        fleet=question.fleet,
        goal=options.goal,
        answer=answer,
        pareto=pareto_front(question, coefficients) if options.pareto or options.html else (),
        curve=scaling_curve(question, coefficients) if options.curve or options.html else None,
        matrix=matrix,
        ranks=ranks,
    )


def _answered(options: Options, asked: Asked, coefficients: Coefficients) -> Exported:
    if options.export:
        return best_export(options.export, asked.question, coefficients)
    return Exported(search(asked.question, coefficients), {})


def _show(screen: Screen, options: Options, report: Report, files: Mapping[str, str]) -> None:
    table.show(screen, report)
    if options.pareto:
        table.show_front(screen, report.pareto)
    if options.curve and report.curve is not None:
        table.show_curve(screen, report.curve)
    if options.matrix and report.matrix is not None:
        table.show_matrix(screen, report.matrix)
    if options.to:
        for name in files:
            screen.say(f"wrote {Path(options.to) / name}")
        return
    for name, text in files.items():
        screen.say()
        screen.say(f"# {name}", style="bold")
        screen.raw(text if text.endswith("\n") else text + "\n")
