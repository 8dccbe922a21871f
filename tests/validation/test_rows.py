"""Rows of measured runs: what they say, what is assumed, and that none is too odd to predict."""

import csv
from pathlib import Path

import numpy as np
import pytest
from validation.learn import learnt_from, predict
from validation.measured_rows import COLUMNS, main
from validation.rows import read_rows, row_of
from validation.settle import settled

from irongrid.cost.coefficients import BEHAVIOURS, Coefficients
from irongrid.domain.plan import RECOMPUTE, ZERO
from irongrid.spec.catalog import load_coefficients

LLAMA = {
    "row_id": "a", "source": "s", "model": "LLAMA3_8B", "gpu": "H100", "gpus": "8", "tp": "1",
    "pp": "1", "dp": "8", "gbs": "128", "mbs": "2", "seq": "8192", "precision": "bf16",
    "framework": "torchtitan", "zero": "fsdp", "step_time_s": "5", "quality": "A",
}  # fmt: skip
# Rows whose fields a source may well leave out, write its own way, or get wrong.
ODD: dict[str, dict[str, str]] = {
    "nothing": {},
    "a model nobody knows": {"model": "Nova-13B", "gpus": "64"},
    "a device nobody knows": {**LLAMA, "gpu": "XPU-9000"},
    "an unsupported precision": {**LLAMA, "gpu": "V100", "precision": "MXFP8"},
    "words for numbers": {**LLAMA, "tp": "eight", "gbs": "n/a"},
    "more model parallelism than devices": {**LLAMA, "tp": "16", "pp": "4"},
    "several devices": {**LLAMA, "gpu": "A100+H100"},
    "experts without their number": {**LLAMA, "model": "X-MoE", "experts": "64", "hidden": "1024"},
    "zero layers": {**LLAMA, "model": "X", "layers": "0", "hidden": "0"},
}


def _shipped() -> Coefficients:
    return learnt_from(load_coefficients()).coefficients


@pytest.mark.parametrize("fields", ODD.values(), ids=ODD)
def test_every_row_gets_a_finite_time(fields: dict[str, str]) -> None:
    time = predict([row_of(fields)], _shipped())

    assert np.isfinite(time.step_time_s).all()
    assert (time.step_time_s > 0).all()
    assert (time.step_time_s_p90 > time.step_time_s).all()


def test_what_a_row_says_is_taken_as_it_is() -> None:
    row = row_of(LLAMA)

    assert row.values["grad_accum"] == 8
    assert row.values["dp_shard"] == 8
    assert row.values["layers"] == 32
    assert BEHAVIOURS[int(row.values["runtime"])] == "torchtitan"
    assert row.assumed == ("architecture of LLAMA3_8B", "recompute=none")


def test_a_fork_behaves_like_what_it_was_built_on() -> None:
    row = row_of({**LLAMA, "framework": "MegaScale"})

    assert row.values["runtime"] == BEHAVIOURS.index("megatron")


def test_a_micro_batch_that_is_not_printed_stays_open() -> None:
    row = row_of({**LLAMA, "mbs": ""})

    assert [choice["micro_batch"] for choice in row.choices] == [1, 2, 4, 8, 16]
    assert "mbs: best feasible" in row.assumed


def test_what_fits_recomputes_nothing_and_what_does_not_recomputes_enough() -> None:
    small, large = (row_of({**LLAMA, "mbs": mbs}) for mbs in ("1", "2"))

    kept, cut = settled([small, large])

    assert kept.values["recompute"] == RECOMPUTE.index("none")
    assert cut.values["recompute"] == RECOMPUTE.index("full")
    assert any(told.startswith("recompute=full") for told in cut.assumed)


def test_a_run_of_unknown_split_that_fits_no_device_whole_is_read_as_sharded() -> None:
    unsaid = {**LLAMA, "tp": "", "pp": "", "dp": "", "zero": "", "gpus": "64", "recompute": "full"}
    small, large = (row_of({**unsaid, "model": f"llama2-{size}"}) for size in ("7b", "70b"))

    whole, sharded = settled([small, large])

    assert whole == small
    assert ZERO[int(sharded.values["zero"])] == "fsdp"
    assert sharded.values["dp_shard"] == 64
    assert "zero=fsdp" in sharded.assumed
    assert (
        settled([row_of({**unsaid, "tp": "1", "model": "llama2-70b"})])[0].values["zero"]
        != (sharded.values["zero"])
    )


def test_the_degree_of_a_model_split_is_read_from_the_notes() -> None:
    row = row_of({**LLAMA, "tp": "", "dp": "", "gpus": "24", "notes": "12-way model x 2-way data"})

    assert row.values["tp"] == 12
    assert "tp=12" in row.assumed


def test_the_command_writes_a_line_for_every_row(tmp_path: Path) -> None:
    rows, out = tmp_path / "rows.csv", tmp_path / "out.csv"
    with rows.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(LLAMA))
        writer.writeheader()
        for index, fields in enumerate(ODD.values()):
            known = {key: value for key, value in fields.items() if key in LLAMA}
            writer.writerow({**known, "row_id": str(index)})

    assert main(["--rows", str(rows), "--out", str(out)]) == 0

    with out.open(newline="") as file:
        found = list(csv.DictReader(file))
    assert tuple(found[0]) == COLUMNS
    assert [line["row_id"] for line in found] == [str(i) for i in range(len(ODD))]
    assert all(float(line["peak_memory_gib_p95"]) > 0 for line in found)


def test_a_file_of_no_rows_is_read(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("row_id,source\n")

    assert read_rows(tmp_path / "rows.csv") == []
