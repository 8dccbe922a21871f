from pathlib import Path

import pytest

from irongrid.client.home import Holder, Home
from irongrid.errors import Unreachable


def test_the_environment_names_the_home(tmp_path: Path) -> None:
    assert Home.of({"IRONGRID_HOME": str(tmp_path)}).path == tmp_path
    assert Home.of({}).path == Path.home() / ".irongrid"
    assert Home.of({"IRONGRID_HOME": "~/x"}).path == Path.home() / "x"


def test_address_and_token_are_read_without_their_line_ends(tmp_path: Path) -> None:
    (tmp_path / "address").write_text("http://127.0.0.1:7\n")
    (tmp_path / "token").write_text("secret\n")

    assert Home(tmp_path).endpoint() == ("http://127.0.0.1:7", "secret")


@pytest.mark.parametrize("missing", ["address", "token"])
def test_a_home_without_a_server_says_how_to_start_one(tmp_path: Path, missing: str) -> None:
    (tmp_path / "address").write_text("http://127.0.0.1:7\n")
    (tmp_path / "token").write_text("secret\n")
    (tmp_path / missing).unlink()

    with pytest.raises(Unreachable) as caught:
        Home(tmp_path).endpoint()

    assert caught.value.fix == "start one: irongrid up --detach"


@pytest.mark.parametrize(
    ("text", "holder"),
    [
        ('{"pid": 7, "started_at": "x", "address": "http://h"}', Holder(pid=7, address="http://h")),
        ('{"pid": 7, "started_at": "x", "address": ""}', Holder(pid=7, address="")),
        ("", None),
        ("{", None),
        ("[]", None),
    ],
)
def test_the_lock_names_its_holder(tmp_path: Path, text: str, holder: Holder | None) -> None:
    (tmp_path / "lock").write_text(text)

    assert Home(tmp_path).holder() == holder


def test_no_lock_is_no_holder(tmp_path: Path) -> None:
    assert Home(tmp_path).holder() is None
