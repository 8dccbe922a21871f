"""The home folder: private, and held by one server."""

import os
import stat
from pathlib import Path

import pytest

from irongrid.errors import Refused, StoreHeld
from irongrid.server.home import Home, describe_holder


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_is_in_the_home_folder_is_for_its_owner_only(tmp_path: Path) -> None:
    home = Home(tmp_path / "a" / "home")
    home.prepare()
    home.lock("now")
    home.announce("http://127.0.0.1:1", "now")

    assert mode(home.root) == 0o700
    assert {path.name: mode(path) for path in home.root.iterdir()} == {
        "cache": 0o700,
        "token": 0o600,
        "secret": 0o600,
        "lock": 0o600,
        "address": 0o600,
    }
    home.unlock()


def test_token_and_secret_are_made_once(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.prepare()
    token, secret = home.token(), home.secret()
    home.prepare()

    assert (home.token(), home.secret()) == (token, secret)
    assert len(token) >= 43
    assert token.encode() != secret


def test_a_file_in_the_place_of_the_folder_is_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "home").touch()

    with pytest.raises(Refused, match="IRONGRID_HOME"):
        Home(tmp_path / "home").prepare()


def test_the_second_server_of_a_home_is_told_who_holds_it(tmp_path: Path) -> None:
    first, second = Home(tmp_path), Home(tmp_path)
    first.prepare()
    first.lock("2026-11-21")
    first.announce("http://127.0.0.1:4", "2026-11-21")

    with pytest.raises(StoreHeld, match=rf"pid {os.getpid()} at http://127.0.0.1:4, started 2026"):
        second.lock("later")
    first.unlock()
    second.lock("later")
    second.unlock()


@pytest.mark.parametrize("text", ["", "x", "[]", "{}", '{"pid": "x"}', "null"])
def test_a_lock_file_that_cannot_be_read_is_just_another_server(text: str) -> None:
    assert describe_holder(text) == "another server"
