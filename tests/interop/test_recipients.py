"""The recipients of a file written by passhelper are those of one that ``pass insert`` writes."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
from support import FOLDER, Helper, KeyRing, require, run

if TYPE_CHECKING:
    from pathlib import Path

SERVER = "https://registry.example"
_NAME = base64.urlsafe_b64encode(SERVER.encode()).decode()
_ROOT, _ALL, _ONE = ".gpg-id", f"{FOLDER}/.gpg-id", f"{FOLDER}/{_NAME}/.gpg-id"

# Layout: the .gpg-id files by path; {alice} stands for her fingerprint, {alice.id} for her long key id.
LAYOUTS: dict[str, dict[str, str]] = {
    "one key at the root": {_ROOT: "{alice}\n"},
    "two keys at the root": {_ROOT: "{alice}\n{bob}\n"},
    "own keys for all credentials": {_ROOT: "{alice}\n", _ALL: "{bob}\n"},
    "own keys for the server": {_ROOT: "{alice}\n", _ALL: "{bob}\n", _ONE: "{alice}\n{stranger}\n"},
    "own keys for another server": {_ROOT: "{alice}\n", f"{FOLDER}/b3RoZXI=/.gpg-id": "{bob}\n"},
    "comments and empty lines": {_ROOT: "# team\n\n{alice} # Alice\n  \n{bob}   # Bob\n"},
    "an e-mail and a long key id": {_ROOT: "alice@example.test\n{bob.id}\n"},
    "a key twice": {_ROOT: "{alice}\n{alice}\n"},
    "a subkey is forced": {_ROOT: "{alice.sub}!\n"},
    "lower case": {_ROOT: "{alice.lower}\n"},
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=list(LAYOUTS))
def test_same_recipients_as_pass(
    helper: Helper, store: Path, keys: KeyRing, environ: dict[str, str], layout: dict[str, str]
) -> None:
    require("pass")
    write(store, keys, layout)
    assert compare(helper, store, keys, environ)


def test_same_recipients_with_password_store_key(
    helper: Helper, store: Path, keys: KeyRing, environ: dict[str, str]
) -> None:
    require("pass")
    write(store, keys, {_ROOT: "{alice}\n", _ALL: "{alice}\n"})
    environ["PASSWORD_STORE_KEY"] = f"{keys['bob']} {keys['stranger']}"
    assert len(compare(helper, store, keys, environ)) == 2


def test_same_recipients_in_a_git_store(
    helper: Helper, git_store: Path, keys: KeyRing, environ: dict[str, str]
) -> None:
    require("pass")
    write(git_store, keys, {_ALL: "{alice}\n{bob}\n"})
    assert len(compare(helper, git_store, keys, environ)) == 2


def test_what_pass_reads_differently(helper: Helper, store: Path, keys: KeyRing) -> None:
    """A missing last line end and CRLF make ``pass`` drop or mistake a key; here they are only spelling."""
    for text in ("{alice}\n{bob}", "{alice}\r\n{bob}\r\n"):
        write(store, keys, {_ROOT: text})
        assert helper.store(SERVER, "ours", text).code == 0
        assert len(key_ids(keys, store / FOLDER / _NAME / "ours.gpg")) == 2


def write(store: Path, keys: KeyRing, layout: dict[str, str]) -> None:
    """Write the ``.gpg-id`` files of a layout."""
    words = {}
    for name in ("alice", "bob", "stranger"):
        rows = [row.split(":") for row in
                keys.gpg("--with-colons", "--list-keys", keys[name]).stdout.decode().splitlines()]  # fmt: skip
        words[f"{{{name}}}"] = keys[name]
        words[f"{{{name}.id}}"] = keys[name][-16:]
        words[f"{{{name}.sub}}"] = next(row[4] for row in rows if row[0] == "sub")
        words[f"{{{name}.lower}}"] = keys[name].lower()
    for path, text in layout.items():
        for word, value in words.items():
            text = text.replace(word, value)  # noqa: PLW2901 - filled in place by place
        (store / path).parent.mkdir(parents=True, exist_ok=True)
        (store / path).write_text(text, newline="")


def compare(helper: Helper, store: Path, keys: KeyRing, environ: dict[str, str]) -> list[str]:
    """Write one file with ``pass`` and one with ours; return their recipients, which are the same."""
    inserted = run(["pass", "insert", "-m", f"{FOLDER}/{_NAME}/theirs"], environ, b"secret")
    assert inserted.code == 0, inserted
    theirs = key_ids(keys, store / FOLDER / _NAME / "theirs.gpg")
    answer = helper.store(SERVER, "ours", "secret")
    assert answer.code == 0, answer
    ours = key_ids(keys, store / FOLDER / _NAME / "ours.gpg")
    assert ours == theirs
    return ours


def key_ids(keys: KeyRing, path: Path) -> list[str]:
    """The key ids that gpg names for a file, sorted."""
    done = keys.gpg("--list-only", "--status-fd", "1", "--decrypt", str(path), check=False)
    return sorted(line.split()[2] for line in done.stdout.decode().splitlines() if " ENC_TO " in line)
