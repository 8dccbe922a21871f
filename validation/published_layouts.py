"""Published layouts beside ours: what the planner says of them, and what it would do instead.

    python validation/published_layouts.py [--json | --write]

Prints the table of docs/concepts/published-layouts.md, or writes it there.
"""

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from irongrid.cli.plan.words import degrees, extras, schedule, seconds
from irongrid.planner.answer import PricedPlan
from irongrid.sdk.plan import Pin, plan

ROOT = Path(__file__).resolve().parents[1]
FLEETS = ROOT / "examples" / "fleets"
PAGE = ROOT / "docs" / "concepts" / "published-layouts.md"
BEGIN, END = "<!-- the table: published_layouts.py --write -->\n", "<!-- end of the table -->"


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A layout that somebody has trained with.

    Attributes:
        layout: the published one, in words.
        asked: arguments of `irongrid.plan` that set the task.
        pins: the layout.
        step_time_s: as published, or worked out from what is; None where nothing is.
        said: the figure in the source's own terms.
    """

    name: str
    source: str
    model: str
    fleet: str
    layout: str
    asked: Mapping[str, Any]
    pins: Mapping[str, Pin]
    step_time_s: float | None = None
    said: str = ""
    runtime: str = "megatron"


LAYOUTS = (
    Published(
        name="GPT-3 175B, Megatron 2021",
        source="arXiv:2104.04473, table 2 (2021-04)",
        model="gpt3-175b",
        fleet="a100-1024",
        layout="tp8 pp12 dp8, micro-batch 1, full recompute",
        asked={"devices": 768, "global_batch": 1536, "seq_len": 2048, "precision": "fp16"},
        pins={"tp": 8, "pp": 12, "dp": 8, "micro_batch": 1, "recompute": "full", "zero": "none"},
        step_time_s=39.4,
        said="149 TFLOP/s per GPU",
    ),
    Published(
        name="GPT-3 175B, Megatron 2022",
        source="arXiv:2205.05198, tables 3 and 5 (2022-05)",
        model="gpt3-175b",
        fleet="a100-1024",
        layout="tp8 pp8, micro-batch 1, interleaved x3, selective recompute",
        asked={"devices": 64, "global_batch": 64, "seq_len": 2048, "precision": "fp16"},
        pins={
            "tp": 8, "pp": 8, "virtual_stages": 3, "schedule": "interleaved", "micro_batch": 1,
            "recompute": "selective", "zero": "none",
        },
        step_time_s=13.75,
        said="measured",
    ),
    Published(
        name="Llama 3.1 405B",
        source="arXiv:2407.21783, table 4 (2024-07)",
        model="llama3.1-405b",
        fleet="h100-16k",
        layout="tp8 pp16 dp128, ZeRO, no recompute",
        asked={"devices": 16384, "global_batch": 2048, "seq_len": 8192, "precision": "bf16"},
        pins={"tp": 8, "cp": 1, "pp": 16, "dp": 128},
        # 6 x 405.9e9 weights and attention, over 400 TFLOP/s on 16,384 GPUs.
        step_time_s=6.5,
        said="400 TFLOP/s per GPU, 41% MFU",
    ),
    Published(
        name="DeepSeek-V3",
        source="arXiv:2412.19437, sections 1 and 3.2, table 1 (2024-12)",
        model="deepseek-v3",
        fleet="h800-2048",
        layout="pp16 ep64 dp128, ZeRO-1, DualPipe, no tp",
        asked={"devices": 2048, "global_batch": 15360, "seq_len": 4096, "precision": "fp8"},
        pins={"tp": 1, "pp": 16, "ep": 64, "dp": 128, "zero": "1"},
        # 180,000 GPU hours for a million million tokens: 1,543 tokens/s per GPU.
        step_time_s=19.9,
        said="180K GPU hours for 1T tokens",
        runtime="any",
    ),
    Published(
        name="Mixtral 8x7B",
        source="Megatron-LM, megatron/core/transformer/moe/README.md at 022bcb5 (2025)",
        model="mixtral-8x7b",
        fleet="h100-16k",
        layout="pp4 ep8 dp8, micro-batch 1, ZeRO-1",
        asked={"devices": 32, "global_batch": 128, "seq_len": 4096, "precision": "bf16"},
        pins={"tp": 1, "pp": 4, "ep": 8, "dp": 8, "micro_batch": 1, "zero": "1"},
        said="no figure",
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Compared:
    """A published layout as the planner sees it, and the planner's own choice."""

    published: Published
    theirs: PricedPlan | None
    ours: PricedPlan


def compared(published: Published) -> Compared:
    """Plan the task twice: with the layout pinned, and free."""
    fleet = FLEETS / f"{published.fleet}.yaml"
    asked: dict[str, Any] = {**published.asked, "runtime": published.runtime, "keep": 1}
    pins: dict[str, Any] = dict(published.pins)
    pinned = plan(published.model, fleet, **asked, **pins).plans
    free = plan(published.model, fleet, **asked)
    return Compared(published, pinned[0] if pinned else None, free.best)


def as_object(row: Compared) -> dict[str, Any]:
    """The figures of one row."""
    theirs, ours = row.theirs, row.ours
    return {
        "name": row.published.name,
        "published_s": row.published.step_time_s,
        "planned_s": theirs.step_time_s if theirs is not None else None,
        "planned_mfu": theirs.mfu if theirs is not None else None,
        "planned_memory_p95_bytes": theirs.peak_memory_bytes_p95 if theirs is not None else None,
        "ours": described(ours),
        "ours_s": ours.step_time_s,
        "ours_mfu": ours.mfu,
    }


def described(priced: PricedPlan) -> str:
    """A plan in a few words."""
    parts = [degrees(priced.plan), f"mb{priced.plan.micro_batch}", schedule(priced.plan)]
    return ", ".join(part for part in (*parts, extras(priced.plan)) if part not in ("", "-"))


def figured(priced: PricedPlan) -> str:
    """A plan with its two main figures."""
    mfu = f"{100 * priced.mfu:.0f}% MFU"
    return f"**{seconds(priced.step_time_s)}**, {mfu}: {described(priced)}"


def table(rows: list[Compared]) -> str:
    """The table of the page."""
    lines = [
        "| run | published layout | published | we say of that layout | we would choose |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        published = row.published
        figure = published.said
        if published.step_time_s is not None:
            figure += f": {seconds(published.step_time_s)}"
        said = figured(row.theirs) if row.theirs is not None else "its p95 does not fit"
        lines.append(
            f"| {published.name} | {published.layout} | {figure} | {said} | {figured(row.ours)} |"
        )
    return "\n".join(lines)


def write(rows: list[Compared]) -> None:
    """Put the table into the page, between its two marks."""
    before, rest = PAGE.read_text().split(BEGIN)
    _, after = rest.split(END)
    PAGE.write_text(f"{before}{BEGIN}\n{table(rows)}\n\n{END}{after}")


def main() -> None:
    """Print the table, or the figures as one object, or write the table into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    rows = [compared(published) for published in LAYOUTS]
    if arguments.json:
        print(json.dumps({"layouts": [as_object(row) for row in rows]}))
    elif arguments.write:
        write(rows)
    else:
        print(table(rows))


if __name__ == "__main__":
    main()
