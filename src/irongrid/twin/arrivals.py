"""How the jobs of a trace come into the virtual world, and how that goes on to its end."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from irongrid.domain.job import JobSpec, Resources, RunTask
from irongrid.twin.driver import SUBMIT, Driver
from irongrid.twin.truth.world import TraceJob
from irongrid.units import NS_PER_S

_TASK = RunTask(argv=("train",))
SpecOf = Callable[[TraceJob], JobSpec]


def users_spec() -> SpecOf:
    """What a person would have asked for, with the user's own size: nothing of the future."""
    specs: dict[tuple[str, int, str, float, int, int], JobSpec] = {}

    def spec_of(job: TraceJob) -> JobSpec:
        key = (
            *(job.group, job.gpus, job.device_type),
            *(job.cpus, job.memory_bytes, job.device_milli),
        )
        spec = specs.get(key)
        if spec is None:
            resources = Resources(
                sizes=(job.gpus,),
                accelerator=job.device_type or "any",
                cpus=job.cpus,
                memory_bytes=job.memory_bytes,
                device_milli=job.device_milli,
            )
            spec = specs[key] = JobSpec(
                name=job.group, task=_TASK, workdir="/", resources=resources
            )
        return spec

    return spec_of


class Arrivals:
    """The jobs of a trace, handed in one after another at their seconds."""

    def __init__(
        self, driver: Driver, jobs: tuple[TraceJob, ...], spec_of: SpecOf | None = None
    ) -> None:
        self._driver = driver
        self._jobs = jobs
        self._spec_of = spec_of or users_spec()
        self._at = 0
        self._plan()

    def _plan(self) -> None:
        if self._at < len(self._jobs):
            at_ns = round(self._jobs[self._at].submit_s * NS_PER_S)
            self._driver.agenda.put(at_ns, SUBMIT, self._arrive)

    def _arrive(self) -> None:
        job = self._jobs[self._at]
        self._at += 1
        self._driver.submit(self._spec_of(job), job)
        self._plan()


def play(driver: Driver) -> None:
    """Let the world go on to its end."""
    with few_collections():
        while (now_ns := driver.next_ns()) is not None:
            driver.turn(now_ns)


@contextmanager
def few_collections() -> Iterator[None]:
    """A replay keeps nearly all that it makes: looking through it for garbage is in vain."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 50, 1_000)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
