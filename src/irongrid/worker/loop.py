"""Waiting in one place: for descriptors, for signals, and for other threads."""

import os
import selectors
import signal
import socket
from collections.abc import Callable, Sequence


class Loop:
    """One selector. Callbacks run on the thread that turns it."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._signals, self._signals_in = socket.socketpair()

    def read(self, fd: int, callback: Callable[[], None]) -> None:
        """Call back when there is something to read, or to accept, or a process has ended."""
        self._selector.register(fd, selectors.EVENT_READ, callback)

    def forget(self, fd: int | None) -> None:
        """Call back no more."""
        if fd is not None and self.watches(fd):
            self._selector.unregister(fd)

    def watches(self, fd: int) -> bool:
        """Whether a callback is registered."""
        return fd in self._selector.get_map()

    def turn(self, timeout_s: float) -> None:
        """Wait for something, and call back for all of it, in the order in which it happened."""
        for key, _ in self._selector.select(timeout_s):
            callback: Callable[[], None] = key.data
            # An earlier callback of this turn may have closed what this one is about.
            if self._selector.get_map().get(key.fd) is key:
                callback()

    def on_wake(self, callback: Callable[[], None]) -> None:
        """What to do after `wake`."""

        def woken() -> None:
            os.eventfd_read(self._wake_fd)
            callback()

        self.read(self._wake_fd, woken)

    def wake(self) -> None:
        """From any thread: let the loop turn."""
        os.eventfd_write(self._wake_fd, 1)

    def on_signals(
        self, numbers: Sequence[signal.Signals], callback: Callable[[set[int]], None]
    ) -> None:
        """Turn these signals into a callback with their numbers; handlers themselves do nothing."""
        for end in (self._signals, self._signals_in):
            end.setblocking(False)
        signal.set_wakeup_fd(self._signals_in.fileno(), warn_on_full_buffer=False)
        for number in numbers:
            signal.signal(number, lambda number, frame: None)
        self.read(self._signals.fileno(), lambda: callback(set(self._signals.recv(4096))))
