"""The batch of rigid jobs, beside every configuration of a recorded rigid run."""

from collections.abc import Callable
from pathlib import Path

import pytest

from irongrid.errors import Refused
from irongrid.twin.truth.applications import load_applications
from irongrid.twin.truth.batches import rigid_configuration
from irongrid.twin.truth.golden import recorded_configurations
from irongrid.twin.truth.tables import rows


def test_every_configuration_of_the_gavel_run_is_ours_too(data: Callable[[str], Path]) -> None:
    folder = data("sia")
    applications = load_applications(folder)
    workload = folder / "workloads" / "philly" / "workload-1.csv"
    batches = {
        row["name"]: (row["application"], int(row["batch_size"]))
        for _, row in rows(workload, ("name", "application", "batch_size"))
    }
    recorded = recorded_configurations(folder / "golden", "gavel-philly-1")

    other = [
        (job, run)
        for job, run in recorded
        if run
        != rigid_configuration(
            applications[batches[job][0]], run.gpu_type, run.shape, batches[job][1]
        )
    ]

    assert len(recorded) == 1187
    assert other == []


def test_a_batch_without_a_sample_for_each_gpu_is_refused(data: Callable[[str], Path]) -> None:
    # bert trains on batches of at most 384.
    application = load_applications(data("sia"))["bert"]

    with pytest.raises(Refused, match="has no sample"):
        rigid_configuration(application, "aws", (4,) * 100, 400)
