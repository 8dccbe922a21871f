"""What differs between two runs, in words."""

from typing import Any

from irongrid.cli.twin.figures import Figure
from irongrid.twin.runs import Run
from irongrid.units import format_duration


def differences(
    figure: Figure, first: Run, second: Run
) -> tuple[tuple[str, str, str, str], str] | None:
    """A figure's row and its colour; None where neither run knows it."""
    before, after = figure.of(first.figures), figure.of(second.figures)
    if before is None and after is None:
        return None
    texts = figure.text(first.figures), figure.text(second.figures)
    if before is None or after is None:
        return (*texts, "", ""), ""
    gap = after - before
    ratio = after / before if before else None
    moved = abs(gap) > 0.01 * abs(before) and figure.better != 0
    style = "" if not moved else "green" if gap * figure.better > 0 else "red"
    sign = "+" if gap > 0 else "-" if gap < 0 else ""
    words = f"{sign}{figure.words(abs(gap))}" if gap else "0"
    return (*texts, words, f"{ratio:.2f}" if ratio is not None else ""), style


def sentences(paired: dict[str, Any]) -> list[str]:
    """What became of the same jobs, in words."""
    if not paired["jobs"]:
        return ["The two have no job in common, so nothing is said of single jobs."]
    out = [
        f"Of {paired['jobs']:,} jobs {paired['earlier']:,} end earlier in B, {paired['later']:,} "
        f"later, {paired['same']:,} as before; half of them take {paired['jct_ratio_median']:.2f} "
        f"of their time or less, nine of ten {paired['jct_ratio_p90']:.2f} or less."
    ]
    for name, word in (("most_earlier", "earlier"), ("most_later", "later")):
        if paired[name]:
            most = paired[name][0]
            out.append(
                f"Most {word}: {most['job']} ({most['team']}, {most['devices']} devices), by "
                f"{format_duration(most['change_s'])}."
            )
    if paired["only_in_first"] or paired["only_in_second"]:
        out.append(
            f"{paired['only_in_first']:,} jobs are in A alone, {paired['only_in_second']:,} in B "
            "alone; the figures above count all, this paragraph those in both."
        )
    return out
