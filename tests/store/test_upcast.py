"""Old forms of events are read in their current form; forms from the future are refused."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from irongrid.domain.event import JobSubmitted, Recorded
from irongrid.errors import StoreError
from irongrid.store import EventStore, export_ndjson
from irongrid.store.upcast import EVENT_TYPES, UPCASTERS, upcast

MakeRecord = Callable[..., Recorded]


@pytest.fixture
def third_version_of_submitted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Version 1 called the key `client_key`, version 2 had it in a list; version 3 is today's."""

    class Third(JobSubmitted):
        version = 3

    def renamed(body: dict[str, Any], old: str, new: str, value: Any) -> dict[str, Any]:
        return {**{key: kept for key, kept in body.items() if key != old}, new: value}

    steps = {
        1: lambda body: renamed(body, "client_key", "keys", [body["client_key"]]),
        2: lambda body: renamed(body, "keys", "key", body["keys"][0]),
    }
    monkeypatch.setitem(EVENT_TYPES, "job_submitted", Third)
    monkeypatch.setitem(UPCASTERS, "job_submitted", steps)


def rewrite(store: EventStore, seq: int, version: int, old: str, new: str) -> None:
    with store._transaction() as connection:
        connection.exec_driver_sql(
            f"UPDATE events SET version = {version}, body = replace(body, '{old}', '{new}')"
            f" WHERE seq = {seq}"
        )


@pytest.mark.usefixtures("third_version_of_submitted")
def test_each_old_form_climbs_to_the_current_one(store: EventStore, record: MakeRecord) -> None:
    store.append([record(1), record(2)])
    rewrite(store, 1, 1, '"key":"k1"', '"client_key":"k1"')
    rewrite(store, 2, 2, '"key":"k2"', '"keys":["k2"]')

    read = [record.event for record in store.read()]

    assert [(event.key, event.version) for event in read] == [("k1", 3), ("k2", 3)]  # type: ignore[union-attr]
    fields = {field.name for field in dataclasses.fields(JobSubmitted)}
    assert all(fields == {f.name for f in dataclasses.fields(event)} for event in read)
    assert all('"version":3' in line for line in export_ndjson(store))


def test_a_version_from_the_future_is_refused_with_its_place(
    store: EventStore, record: MakeRecord
) -> None:
    store.append([record(1), record(2)])
    rewrite(store, 2, 7, "", "")

    with pytest.raises(StoreError, match=r"event 2: job_submitted has version 7.*newer Irongrid"):
        list(store.read())


def test_a_kind_from_the_future_is_refused_with_its_place(
    store: EventStore, record: MakeRecord
) -> None:
    store.append([record(1)])
    with store._transaction() as connection:
        connection.exec_driver_sql("UPDATE events SET kind = 'job_teleported'")

    with pytest.raises(StoreError, match="event 1: unknown event kind 'job_teleported'"):
        list(store.read())


@pytest.mark.parametrize("body", ["{}", "[]", "null", "{", '{"job":1}'])
def test_a_damaged_body_is_refused_with_its_place(
    store: EventStore, record: MakeRecord, body: str
) -> None:
    store.append([record(1)])
    with store._transaction() as connection:
        connection.exec_driver_sql(f"UPDATE events SET body = '{body}'")

    with pytest.raises(StoreError, match=r"event 1 \(job_submitted"):
        list(store.read())


def test_every_kind_has_a_way_up_from_version_1() -> None:
    for kind, event_type in EVENT_TYPES.items():
        assert set(UPCASTERS.get(kind, {})) == set(range(1, event_type.version)), kind


def test_version_0_is_no_version() -> None:
    with pytest.raises(StoreError, match="version 0"):
        upcast("server_stopped", 0, {"server_epoch": 1})
