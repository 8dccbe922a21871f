"""Effects to carry out. A command is derived from state, so it can be sent again after a crash."""

from dataclasses import dataclass

from irongrid.domain.device import Placement
from irongrid.domain.ids import JobId


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """Ask the engine for this attempt's workers. Answered by LaunchAccepted or LaunchRefused."""

    job: JobId
    epoch: int
    placement: Placement


@dataclass(frozen=True, slots=True, kw_only=True)
class StopAttempt:
    """Ask the engine to kill what is left. Answered by WorkerStopped, once per node."""

    job: JobId
    epoch: int
    placement: Placement


Command = Launch | StopAttempt
