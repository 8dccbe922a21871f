"""One server per store: the lock keeps a second one out, the epoch fences one that got in."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from irongrid.domain.event import Recorded
from irongrid.domain.ids import job_id
from irongrid.errors import Fenced, StoreError, StoreHeld
from irongrid.ports import JobEnvironment
from irongrid.store import EventStore, open_reader, open_store

MakeRecord = Callable[..., Recorded]

HOLD = """
import sys
from irongrid.store import open_store
store = open_store(sys.argv[1], holder="the server at http://127.0.0.1:4711")
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_server_is_told_who_holds_the_store_and_gets_it_once_that_one_is_killed(
    target: str,
) -> None:
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, target],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"

    with pytest.raises(StoreHeld) as caught:
        open_store(target, holder="a test", wait_s=0.0)
    other.kill()
    other.communicate()

    assert "http://127.0.0.1:4711" in caught.value.holder
    assert f"pid {other.pid} on {os.uname().nodename}" in caught.value.holder
    store = open_store(target, holder="a test", wait_s=60.0)
    assert store.server_epoch == 2
    store.close()


def test_a_store_in_the_same_process_is_held_too(store: EventStore, target: str) -> None:
    with pytest.raises(StoreHeld):
        open_store(target, holder="another", wait_s=0.0)


def test_a_store_that_ends_soon_is_waited_for(target: str) -> None:
    ending = threading.Timer(0.1, open_store(target, holder="the old one").close)
    ending.start()

    store = open_store(target, holder="a test", wait_s=60.0)

    ending.join()
    assert store.server_epoch == 2
    store.close()


def test_each_server_has_a_higher_epoch(target: str) -> None:
    epochs = []
    for _ in range(3):
        store = open_store(target, holder="a test")
        epochs.append(store.server_epoch)
        store.close()

    assert epochs == [1, 2, 3]


def test_a_server_that_was_taken_over_is_fenced_at_its_next_commit(
    target: str, record: MakeRecord
) -> None:
    old = open_store(target, holder="the old one")
    old.append([record(1)], [JobEnvironment(job=job_id(1), values={"A": "1"})])
    new = open_store(target, holder="the new one", takeover=True)

    with pytest.raises(Fenced, match="the new one"):
        old.append([record(2)])
    with pytest.raises(Fenced):
        old.drop_environments([job_id(1)])
    with pytest.raises(Fenced):
        old.announce("the old one at http://127.0.0.1:1")

    assert new.head_seq() == 1
    assert new.environment(job_id(1)) == {"A": "1"}
    new.append([record(2)])
    old.close()
    new.close()


def test_a_removed_lock_file_lets_a_second_server_in_but_not_two_append(
    sqlite_target: str, record: MakeRecord
) -> None:
    old = open_store(sqlite_target, holder="the old one")
    Path(sqlite_target + ".lock").unlink()
    new = open_store(sqlite_target, holder="the new one", wait_s=0.0)

    with pytest.raises(Fenced):
        old.append([record(1)])
    new.append([record(1)])

    old.close()
    new.close()


def test_a_new_holder_text_reaches_whoever_is_refused(store: EventStore, target: str) -> None:
    store.announce("the server at http://127.0.0.1:4712")

    with pytest.raises(StoreHeld, match="4712"):
        open_store(target, holder="another", wait_s=0.0)


def test_a_password_in_the_holder_text_is_dropped(target: str) -> None:
    store = open_store(target, holder="the server on postgresql://ann:s3cret@db/irongrid")

    with pytest.raises(StoreHeld, match="postgresql://db/irongrid") as caught:
        open_store(target, holder="another", wait_s=0.0)

    assert "s3cret" not in str(caught.value)
    store.close()


def test_a_reader_takes_no_lock_and_no_epoch(store: EventStore, target: str) -> None:
    open_reader(target).close()

    assert store.server_epoch == 1
    store.append([])


def test_a_server_whose_session_dropped_never_appends_again(
    postgres_target: str, postgres_url: str, record: MakeRecord
) -> None:
    store = open_store(postgres_target, holder="a test")
    store.append([record(1)])
    engine = create_engine(postgres_url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        pid = store._connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        store._connection.rollback()
        connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
    engine.dispose()

    with pytest.raises(StoreError):
        store.append([record(2)])
    assert "until a restart" in store.lost
    with pytest.raises(StoreError, match="until a restart"):
        store.append([record(2)])
    store.close()

    again = open_store(postgres_target, holder="a test")
    assert again.head_seq() == 1
    again.close()


@pytest.mark.parametrize(
    "form", ["ann:s3cret@127.0.0.1:{port}/x", "127.0.0.1:{port}/x?password=s3cret"]
)
def test_an_unreachable_database_is_named_without_its_password(form: str) -> None:
    with pytest.raises(StoreError) as caught:
        open_store("postgresql://" + form.format(port=1), holder="a test")

    assert "127.0.0.1" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_wrong_database_name_is_reported_without_the_password(postgres_url: str) -> None:
    url = postgres_url.replace("@", ":s3cret@").removesuffix("/postgres") + "/nowhere"

    with pytest.raises(StoreError, match='database "nowhere" does not exist') as caught:
        open_store(url, holder="a test")

    assert "s3cret" not in str(caught.value)
