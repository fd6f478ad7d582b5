"""Stores that others made: the Go helper with its quirks, ``pass``, synchronisers, and people by hand."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
from support import FOLDER, NOT_FOUND, Helper, KeyRing, require_go_helper, run, tree

if TYPE_CHECKING:
    from pathlib import Path

SERVER = "https://registry.example"


@pytest.fixture
def go(environ: dict[str, str], store: Path) -> Helper:
    """The Go helper on the test's store."""
    return Helper(require_go_helper(), environ)


def folder_of(store: Path, server: str = SERVER) -> Path:
    return store / FOLDER / base64.urlsafe_b64encode(server.encode()).decode()


def put(keys: KeyRing, path: Path, secret: bytes, *recipients: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(keys.encrypt(secret, *(recipients or ("alice",))))


def test_duplicate_users_of_the_go_helper(helper: Helper, go: Helper, store: Path) -> None:
    """Both helpers give the first of two users; a ``store`` by ours leaves one, a Go ``get`` serves it."""
    for user in ("zoe", "adam", "Bob"):
        assert go.store(SERVER, user, f"{user}'s").code == 0
    assert helper.get(SERVER).json == go.get(SERVER).json == {
        "ServerURL": SERVER, "Username": "Bob", "Secret": "Bob's"}  # fmt: skip
    assert helper.list().json == {SERVER: "Bob"}
    assert helper.store(SERVER, "zoe", "new").code == 0
    assert [path.name for path in folder_of(store).iterdir()] == ["zoe.gpg"]
    for program in (helper, go):
        assert program.get(SERVER).json == {"ServerURL": SERVER, "Username": "zoe", "Secret": "new"}


def test_later_login_wins_in_both_orders(helper: Helper, go: Helper, store: Path) -> None:
    for first, second in (("adam", "zoe"), ("zoe", "adam")):
        assert helper.store(SERVER, first, "1").code == 0
        assert helper.store(SERVER, second, "2").code == 0
        for program in (helper, go):
            assert program.get(SERVER).json == {"ServerURL": SERVER, "Username": second, "Secret": "2"}


def test_empty_directories_and_stray_files(helper: Helper, go: Helper, store: Path, keys: KeyRing) -> None:
    """What makes the Go helper fail or answer with rubbish does not disturb ours."""
    assert go.store(SERVER, "alice", "s").code == 0
    folder_of(store, "https://empty.example").mkdir()
    (folder_of(store, "https://nested.example") / "a" / "b").mkdir(parents=True)
    stray = folder_of(store, "https://stray.example")
    stray.mkdir()
    (stray / "README").write_text("x")
    (stray / ".DS_Store").write_bytes(b"\0")
    here = folder_of(store)
    for name in (".gpg-id.sig", "._alice.gpg", "aaron.sync-conflict-20240101-120000-ABCDEFG.gpg",
                 "aaron (bob's conflicted copy 2024-01-01).gpg", "aaron.gpg~", "aaron.gpg.tmp", ".gpg"):  # fmt: skip
        (here / name).write_bytes(b"not an entry")
    (here / "aaaa.gpg").symlink_to("alice.gpg")
    (here / "aaa.gpg").mkdir()
    (store / FOLDER / "a file.gpg").write_bytes(b"x")
    (store / FOLDER / ".passhelper-x").mkdir()
    put(keys, store / FOLDER / "orphan.gpg", b"x")
    (store / FOLDER / "notbase64!").mkdir()
    put(keys, store / FOLDER / "notbase64!" / "bob.gpg", b"x")
    put(keys, store / FOLDER / "//79/v3+".replace("/", "_") / "bob.gpg", b"x")  # base64 of what is not UTF-8
    put(keys, store / "personal" / "bank.gpg", b"mine")
    assert helper.list().json == {SERVER: "alice"}
    assert helper.get(SERVER).json["Username"] == "alice"
    for server in ("https://empty.example", "https://nested.example", "https://stray.example"):
        answer = helper.get(server)
        assert (answer.code, answer.out, answer.err) == (1, NOT_FOUND, b"")
        assert helper.erase(server).code == 0
    before = tree(store)
    assert helper.store("https://stray.example", "carol", "s").code == 0
    assert helper.erase("https://stray.example").code == 0
    assert tree(store) == before


def test_nested_slash_user_of_the_go_helper(helper: Helper, go: Helper, store: Path) -> None:
    """The Go helper writes folders for slashes and then cannot read them; ours reads, replaces, erases them."""
    assert go.store(SERVER, "tenancy/idcs/alice@example.com", "token").code == 0
    assert go.get(SERVER).out.count(b"token") == 0
    assert helper.get(SERVER).json == {
        "ServerURL": SERVER, "Username": "tenancy/idcs/alice@example.com", "Secret": "token"}  # fmt: skip
    assert helper.list().json == {SERVER: "tenancy/idcs/alice@example.com"}
    assert helper.store(SERVER, "tenancy/idcs/alice@example.com", "renewed").code == 0
    assert [path.name for path in folder_of(store).rglob("*")] == ["tenancy%2Fidcs%2Falice@example.com.gpg"]
    assert helper.get(SERVER).json["Secret"] == "renewed"
    assert go.store(SERVER, "org/bot", "again").code == 0
    assert helper.erase(SERVER).code == 0
    assert not folder_of(store).exists()


def test_dot_name_of_the_go_helper(helper: Helper, go: Helper, store: Path) -> None:
    assert go.store(SERVER, ".name", "dotted").code == 0
    assert (folder_of(store) / ".name.gpg").exists()
    assert helper.get(SERVER).json == {"ServerURL": SERVER, "Username": ".name", "Secret": "dotted"}
    assert helper.store(SERVER, ".name", "again").code == 0
    assert [path.name for path in folder_of(store).iterdir()] == ["%2Ename.gpg"]
    assert helper.get(SERVER).json == {"ServerURL": SERVER, "Username": ".name", "Secret": "again"}


def test_per_server_gpg_id(helper: Helper, go: Helper, store: Path, keys: KeyRing, environ: dict[str, str]) -> None:
    """``pass init -p`` limits one server to bob: the Go helper then shows ``.gpg-id`` as the user."""
    path = f"{FOLDER}/{folder_of(store).name}"
    assert run(["pass", "init", "-p", path, keys["bob"]], environ).code == 0
    assert helper.get(SERVER).out == NOT_FOUND
    assert helper.list().json == {}
    assert helper.store(SERVER, "carol", "for bob").code == 0
    entry = folder_of(store) / "carol.gpg"
    assert recipients_of(keys, entry) == encryption_ids(keys, "bob")
    assert run(["pass", "show", f"{path}/carol"], environ).out == b"for bob"
    assert helper.get(SERVER).json == {"ServerURL": SERVER, "Username": "carol", "Secret": "for bob"}
    assert go.list().json[SERVER].startswith(".gpg-id")  # the quirk that ours has not
    assert helper.list().json == {SERVER: "carol"}
    assert helper.erase(SERVER).code == 0
    assert [path.name for path in folder_of(store).iterdir()] == [".gpg-id"]  # the Go helper removes it too
    assert helper.store(SERVER, "carol", "again").code == 0
    assert recipients_of(keys, entry) == encryption_ids(keys, "bob")


@pytest.mark.parametrize(
    ("server", "spell"),
    [
        ("https://a.example/?>>~", lambda name: name.replace("-", "+").replace("_", "/").replace("/", "_")),
        ("https://b.example/>>>", lambda name: name.replace("-", "+")),
        ("https://a.example", lambda name: name.rstrip("=")),
        ("https://c.example/>>>>", lambda name: name.replace("-", "+").rstrip("=")),
    ],
    ids=["canonical", "standard alphabet", "no padding", "standard alphabet, no padding"],
)
def test_hand_made_spellings(helper: Helper, store: Path, keys: KeyRing, server: str, spell: object) -> None:
    assert callable(spell)
    name = spell(base64.urlsafe_b64encode(server.encode()).decode())
    put(keys, store / FOLDER / name / "alice.gpg", b"by hand\n")
    check_hand_made(helper, store, server)


def test_hand_made_with_echo(helper: Helper, store: Path, keys: KeyRing, environ: dict[str, str]) -> None:
    """``echo URL | base64`` puts a line end into the name."""
    name = run(["sh", "-c", f"echo {SERVER} | base64"], environ).text.strip()
    assert base64.b64decode(name).endswith(b"\n")
    put(keys, store / FOLDER / name / "alice.gpg", b"by hand\n")
    check_hand_made(helper, store, SERVER)


def check_hand_made(helper: Helper, store: Path, server: str) -> None:
    """Read, list, replace and erase what lies in a directory with a spelling of its own."""
    assert helper.get(server).json == {"ServerURL": server, "Username": "alice", "Secret": "by hand"}
    assert helper.list().json == {server: "alice"}
    assert helper.store(server, "bob", "new").code == 0
    assert helper.get(server).json == {"ServerURL": server, "Username": "bob", "Secret": "new"}
    assert [path.name for path in (store / FOLDER).iterdir()] == [folder_of(store, server).name]
    assert helper.list().json == {server: "bob"}
    assert helper.erase(server).code == 0
    assert not list((store / FOLDER).iterdir())


def test_two_spellings_list_one_server(helper: Helper, store: Path, keys: KeyRing) -> None:
    put(keys, folder_of(store, "https://a.example") / "canonical.gpg", b"1")
    put(keys, store / FOLDER / folder_of(store, "https://a.example").name.rstrip("=") / "aaa.gpg", b"2")
    assert helper.list().json == {"https://a.example": "canonical"}
    assert helper.get("https://a.example").json["Secret"] == "1"
    assert helper.erase("https://a.example").code == 0
    assert helper.list().json == {}
    assert not list((store / FOLDER).iterdir())


def test_git_store_of_pass(helper: Helper, go: Helper, environ: dict[str, str], store: Path) -> None:
    """``pass git init``, then both helpers in turn: every change is one commit, nothing is left over."""
    git = ["git", "-C", str(store)]
    for name, value in (("user.name", "t"), ("user.email", "t@example.test")):
        assert run(["git", "config", "--global", name, value], environ).code == 0
    assert run(["pass", "git", "init"], environ).code == 0
    commits = int(run([*git, "rev-list", "--count", "HEAD"], environ).text)
    for number, program in enumerate((go, helper, go, helper)):
        assert program.store(f"https://{number}.example", "alice", str(number)).code == 0
    assert helper.erase("https://0.example").code == 0
    assert go.erase("https://1.example").code == 0
    assert int(run([*git, "rev-list", "--count", "HEAD"], environ).text) == commits + 6
    assert run([*git, "status", "--porcelain"], environ).out == b""
    assert helper.list().json == go.list().json == {"https://2.example": "alice", "https://3.example": "alice"}


def recipients_of(keys: KeyRing, path: Path) -> set[str]:
    """The key ids that gpg names for a file."""
    done = keys.gpg("--list-only", "--status-fd", "1", "--decrypt", str(path), check=False)
    return {line.split()[2] for line in done.stdout.decode().splitlines() if " ENC_TO " in line}


def encryption_ids(keys: KeyRing, *names: str) -> set[str]:
    listing = keys.gpg("--with-colons", "--list-keys", *(keys[name] for name in names)).stdout.decode()
    rows = [line.split(":") for line in listing.splitlines()]
    return {row[4] for row in rows if row[0] == "sub" and "e" in row[11]}
