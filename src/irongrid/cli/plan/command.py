"""The options of `irongrid plan`, in the groups in which its help shows them."""

from typing import Annotated, Any

import typer

ASK, HOW, PIN, SHOW = "The question", "How it is trained", "Pinned, where you know", "The answer"


def _text(help_text: str, panel: str, metavar: str = "TEXT") -> Any:
    return typer.Option(help=help_text, rich_help_panel=panel, metavar=metavar, show_default=False)


def _count(help_text: str, panel: str, metavar: str = "N") -> Any:
    return typer.Option(
        help=help_text, rich_help_panel=panel, metavar=metavar, min=1, show_default=False
    )


def _flag(name: str, help_text: str) -> Any:
    return typer.Option(name, help=help_text, rich_help_panel=SHOW, show_default=False)


JobFile = Annotated[
    str,
    typer.Argument(metavar="[FILE]", help="A job.yaml, in place of --model.", show_default=False),
]
AsJson = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Print one JSON object on one line, the last of stdout.",
        rich_help_panel=SHOW,
    ),
]


def plan(
    ctx: typer.Context,
    file: JobFile = "",
    model: Annotated[
        str, _text("Name, config.json or its folder, or layers=32,hidden=4096,...", ASK)
    ] = "",
    fleet: Annotated[str, _text("A fleet file; default is this machine.", ASK, "FILE")] = "",
    global_batch: Annotated[
        int | None, _count("Samples per optimizer step; default 1024.", ASK)
    ] = None,
    seq_len: Annotated[int | None, _count("Tokens per sample; default 4096.", ASK)] = None,
    devices: Annotated[int | None, _count("Use exactly so many.", ASK)] = None,
    goal: Annotated[str, _text("time, cost, energy, carbon, or time=0.6,cost=0.4.", ASK)] = "time",
    runtime: Annotated[
        str, _text("Keep to what it runs: megatron (default), torchtitan, ... or any.", HOW)
    ] = "",
    precision: Annotated[str, _text("bf16, fp8, ...; default is the fleet's usual one.", HOW)] = "",
    optimizer: Annotated[str, _text("adam (default), adam8bit or sgd.", HOW)] = "",
    lora_rank: Annotated[int | None, _count("Train adapters of this rank only.", HOW)] = None,
    measured: Annotated[str, _text("CSV of measured steps to calibrate with.", HOW, "FILE")] = "",
    tp: Annotated[int | None, _count("Tensor parallel.", PIN)] = None,
    pp: Annotated[int | None, _count("Pipeline stages.", PIN)] = None,
    cp: Annotated[int | None, _count("Context parallel.", PIN)] = None,
    ep: Annotated[int | None, _count("Expert parallel.", PIN)] = None,
    dp: Annotated[int | None, _count("Data parallel: copies times shards.", PIN)] = None,
    dp_replicate: Annotated[int | None, _count("Whole copies.", PIN)] = None,
    dp_shard: Annotated[int | None, _count("Ranks that shard (ZeRO, FSDP).", PIN)] = None,
    micro_batch: Annotated[int | None, _count("Samples per pass.", PIN)] = None,
    virtual_stages: Annotated[int | None, _count("Pieces per stage.", PIN)] = None,
    stage_layers: Annotated[str, _text("Layers of each stage: 9,9,9,5.", PIN)] = "",
    schedule: Annotated[str, _text("1f1b, interleaved, zb-1p, ...", PIN)] = "",
    zero: Annotated[str, _text("none, 1, 2, 3 or fsdp.", PIN)] = "",
    recompute: Annotated[str, _text("none, selective or full.", PIN)] = "",
    offload: Annotated[str, _text("none, optimizer, parameters, activations.", PIN)] = "",
    offload_tier: Annotated[str, _text("host, nvme or cxl.", PIN)] = "",
    context: Annotated[str, _text("ring or ulysses, for --cp.", PIN)] = "",
    compression: Annotated[str, _text("Of gradients: none, bf16, int8, ...", PIN)] = "",
    sites: Annotated[int | None, _count("Sites, as equal copies.", PIN)] = None,
    sync_every: Annotated[int | None, _count("Steps between exchanges of sites.", PIN)] = None,
    keep: Annotated[int, _count("Show so many plans; default 5.", SHOW)] = 5,
    curve: Annotated[bool, _flag("--curve", "Speed on every size of the fleet.")] = False,
    pareto: Annotated[bool, _flag("--pareto", "Time against money, energy and carbon.")] = False,
    matrix: Annotated[bool, _flag("--matrix", "Who sends how much to whom.")] = False,
    export: Annotated[
        str, _text("Files for megatron, torchtitan, deepspeed, fsdp2 or maxtext.", SHOW, "NAME")
    ] = "",
    to: Annotated[str, _text("Folder for --export; default prints them.", SHOW, "DIR")] = "",
    html: Annotated[str, _text("Write a page with pictures.", SHOW, "FILE")] = "",
    as_json: AsJson = False,
) -> int:
    """Find the best way to split a model over a fleet, with numbers.

    irongrid plan --model llama3.1-405b --fleet fleet.yaml, or: irongrid plan job.yaml
    """
    from irongrid.cli.plan.verb import Options, plan

    return plan(Options(**ctx.params))
