"""The shortest proof that the installed helper works."""

from pathlib import Path

from support import NOT_FOUND, Helper


def test_store_get_list_erase(helper: Helper, store: Path) -> None:
    assert helper.store("https://a.example", "bob", "s3cret").code == 0
    assert helper.get("https://a.example").json == {
        "ServerURL": "https://a.example",
        "Username": "bob",
        "Secret": "s3cret",
    }
    assert helper.list().json == {"https://a.example": "bob"}
    assert helper.erase("https://a.example").code == 0
    assert helper.get("https://a.example").out == NOT_FOUND
