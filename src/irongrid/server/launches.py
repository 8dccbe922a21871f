"""What each worker of an attempt is told at its start."""

from irongrid.control.state import State
from irongrid.domain.command import Launch
from irongrid.domain.messages import LaunchOrder
from irongrid.ports import Store
from irongrid.server.home import Home
from irongrid.server.tokens import Tokens


class Launches:
    """Writes launch orders: state, secrets, token and places brought together."""

    def __init__(self, store: Store, home: Home, tokens: Tokens, lease_s: float | None) -> None:
        self._store = store
        self._home = home
        self._tokens = tokens
        self._lease_s = lease_s

    def orders(self, state: State, launch: Launch) -> tuple[LaunchOrder, ...]:
        """One order per node; none if the attempt is no longer wanted. Runs on the state thread.

        Raises:
            StoreError: the job's environment cannot be read.
        """
        job = state.jobs[launch.job]
        if job.attempt is None or job.attempt.epoch != launch.epoch:
            return ()
        values = self._store.environment(launch.job) if job.spec.env_names else {}
        return tuple(
            LaunchOrder(
                job=launch.job,
                epoch=launch.epoch,
                node=share.node,
                placement=launch.placement,
                spec=job.spec,
                token=self._tokens.for_attempt(launch.job, launch.epoch),
                address_file=str(self._home.address_file),
                job_dir=str(self._home.job_dir(launch.job)),
                cache_dir=str(self._home.cache_dir),
                lease_s=self._lease_s,
                environment=values,
            )
            for share in launch.placement.shares
        )
