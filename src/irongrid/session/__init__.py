"""What a training script tells Irongrid, and what Irongrid asks of it.

    from irongrid import session

    for step in range(first_step, steps):
        loss = train_one_step()
        session.progress(step, loss=loss)
        if session.should_checkpoint() or session.should_stop():
            save(...)

Outside a job every call does nothing, so the same script runs by hand. No call ever waits for
Irongrid, and none fails because of it.
"""

from irongrid.session.rank import (
    checkpoint_failed,
    checkpointed,
    close,
    phase,
    progress,
    ready,
    should_checkpoint,
    should_stop,
    stop_wants_save,
)

__all__ = [
    "checkpoint_failed",
    "checkpointed",
    "close",
    "phase",
    "progress",
    "ready",
    "should_checkpoint",
    "should_stop",
    "stop_wants_save",
]
