"""``passhelper setup --git URL`` for real: the first of a team, those who join, and what is refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import FOLDER, Answer, KeyRing, Program, require, run, tree
from support.faults.tracing import trace
from support.machines.jobs import git
from support.machines.new import Machine
from support.people.terminals import Person
from support.programs import script

if TYPE_CHECKING:
    from collections.abc import Mapping

JOIN = ("--generate-key", "--no-passphrase", "--name", "Bea", "--email", "bea@example.test")
REQUEST = '{"ServerURL":"a.example","Username":"u","Secret":"s"}'


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    """An empty bare repository."""
    require("git")
    path = tmp_path / "remote.git"
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(path)], check=True)
    return path


@pytest.fixture
def other(installed: Program, short_tmp: Path, tmp_path: Path, keys: KeyRing) -> Iterator[Machine]:
    """A second machine, which has no key."""
    made = Machine(installed, tmp_path / "other-home", short_tmp / f"x{os.getpid()}")
    made.home.mkdir()
    yield made
    made.stop()
    shutil.rmtree(made.ring.home, ignore_errors=True)


@pytest.fixture
def first(machine: Machine, keys: KeyRing, remote: Path) -> Machine:
    """The first machine of the team, whose store is at the remote and holds a credential."""
    machine.adopt(keys, "alice")
    assert machine("setup", "--no-docker", "--git", str(remote)).code == 0
    assert machine.helper("store", REQUEST).code == 0
    git(machine.store, "push", "-q")
    return machine


def join(machine: Machine, remote: object, *options: str, **environ: str) -> Answer:
    return machine("setup", "--no-docker", *options, "--git", str(remote), **environ)


def shared(machine: Machine) -> dict[str, bytes]:
    """Everything of the store but our own notes about it."""
    return {name: data for name, data in tree(machine.store).items() if not name.startswith(".git/passhelper/")}


def pins(machine: Machine) -> Mapping[str, object]:
    found: Mapping[str, object] = json.loads((machine.store / ".git" / "passhelper" / "trust.json").read_text())
    return found


def test_a_clone_that_ends_before_anybody_has_accepted_it(
    installed: Program, first: Machine, other: Machine, keys: KeyRing, remote: Path, tmp_path: Path
) -> None:
    """What it has checked out must not pass for a store that this machine has always had."""
    other.adopt(keys, "alice")
    folder = tmp_path / "programs"
    folder.mkdir()
    script(
        folder / "git",
        'case " $* " in *" reset --hard "*) /usr/bin/git "$@"; kill -9 $PPID;; *) exec /usr/bin/git "$@";; esac',
    )
    answer = join(other, remote, PATH=f"{folder}:{other.environ['PATH']}", PASSHELPER_ACCEPT_RECIPIENTS=keys["alice"])
    assert answer.code == -signal.SIGKILL
    assert (other.store / ".gpg-id").exists()
    answer = run([installed.helper, "store"], other.environ, REQUEST.encode())
    assert answer.code == 1
    assert "recipients changed: " in answer.text
    assert other("recipients", "accept", keys["alice"]).code == 0  # what the message says
    assert run([installed.helper, "store"], other.environ, REQUEST.encode()).code == 0


def test_a_list_is_never_there_without_its_signature(machine: Machine, keys: KeyRing) -> None:
    machine.adopt(keys, "alice")
    environ = {**machine.environ, "PASSWORD_STORE_SIGNING_KEY": keys["alice"]}
    seen = trace(
        [machine.passhelper, "setup", "--no-docker"], environ, b"", calls="rename,renameat,renameat2", options=()
    )
    assert seen.answer.code == 0, seen.answer.err
    placed = [line for line in seen.lines if f"{machine.store}/.gpg-id" in line]
    assert [".gpg-id.sig" in line for line in placed] == [True, False]


# Names of remotes


@pytest.fixture
def other_names(tmp_path: Path) -> dict[str, str]:
    """A user whose git calls remotes ``upstream``."""
    config = tmp_path / "gitconfig"
    config.write_text("[clone]\n\tdefaultRemoteName = upstream\n")
    return {"GIT_CONFIG_GLOBAL": str(config)}


def test_a_remote_that_git_would_call_otherwise(
    first: Machine, other: Machine, keys: KeyRing, remote: Path, other_names: dict[str, str]
) -> None:
    other.adopt(keys, "alice")
    answer = join(other, remote, **other_names, PASSHELPER_ACCEPT_RECIPIENTS=keys["alice"])
    assert answer.code == 0, answer.err
    answer = other("sync", **other_names)
    assert (answer.code, answer.text) == (0, "up to date with origin/main\n")
    assert join(other, remote, **other_names).text.splitlines()[-1] == "nothing had to be changed"


def test_a_clone_of_gits_own_with_a_remote_of_another_name(
    first: Machine, other: Machine, keys: KeyRing, remote: Path, other_names: dict[str, str]
) -> None:
    other.adopt(keys, "alice")
    subprocess.run(
        ["git", "clone", "-q", f"file://{remote}", str(other.store)], check=True, env={**other.environ, **other_names}
    )
    answer = join(other, f"file://{remote}")
    assert answer.code == 0, answer.err
    assert f"clone: {other.store} is a clone of file://{remote}" in answer.text
    assert git(other.store, "remote") == "upstream"
    assert other("sync").code == 0
    assert other("sync").text == "up to date with upstream/main\n"
    assert other("status").text.splitlines()[1] == "remote      upstream/main: up to date"
    other.environ["PASSHELPER_SYNC"] = "push"
    assert other.helper("store", REQUEST.replace("a.example", "b.example")).code == 0
    assert git(remote, "rev-parse", "main") == git(other.store, "rev-parse", "HEAD")


# The first one


def test_an_empty_remote_gets_the_store(machine: Machine, keys: KeyRing, remote: Path) -> None:
    machine.adopt(keys, "alice")
    answer = join(machine, remote)
    assert (answer.code, answer.err) == (0, b"")
    assert answer.text.splitlines()[0] == f"clone: {remote} is empty and gets the store at {machine.store}"
    assert f"push: pushed to {remote}" in answer.text
    assert git(remote, "ls-tree", "-r", "--name-only", "main").split() == [".gpg-id", f".public-keys/{keys['alice']}"]
    assert git(machine.store, "rev-parse", "HEAD") == git(remote, "rev-parse", "main")
    assert git(machine.store, "rev-parse", "--abbrev-ref", "@{upstream}") == "origin/main"
    before = shared(machine), tree(remote)
    answer = join(machine, remote)
    assert answer.code == 0
    assert answer.text.splitlines()[-1] == "nothing had to be changed"
    assert (shared(machine), tree(remote)) == before


def test_the_first_push_is_not_signed_whatever_the_user_does_elsewhere(
    machine: Machine, keys: KeyRing, remote: Path
) -> None:
    """As push.gpgSign asks for, which a server has to be set up for."""
    machine.adopt(keys, "alice")
    settings = {"GIT_CONFIG_COUNT": "2", "GIT_CONFIG_KEY_0": "push.gpgSign", "GIT_CONFIG_VALUE_0": "true",
                "GIT_CONFIG_KEY_1": "push.recurseSubmodules", "GIT_CONFIG_VALUE_1": "only"}  # fmt: skip
    answer = join(machine, remote, **settings)
    assert (answer.code, answer.err) == (0, b"")
    assert git(remote, "rev-parse", "main") == git(machine.store, "rev-parse", "HEAD")


def test_a_store_that_is_there_is_shared(machine: Machine, keys: KeyRing, remote: Path) -> None:
    machine.adopt(keys, "alice")
    machine("setup", "--no-docker")
    machine.helper("store", REQUEST)
    assert join(machine, remote).code == 0
    assert f"{FOLDER}/" in git(remote, "ls-tree", "-r", "--name-only", "main")
    assert machine.helper("get", "a.example").json["Secret"] == "s"


def test_a_push_that_fails_is_tried_again(machine: Machine, keys: KeyRing, remote: Path) -> None:
    machine.adopt(keys, "alice")
    hook = remote / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    answer = join(machine, remote)
    assert answer.code == 6
    assert answer.err.decode().startswith(f"error: git cannot push to {remote}: ")
    assert b"hint: check the URL, and that you may read it\n" in answer.err
    hook.unlink()
    assert join(machine, remote).code == 0
    assert git(remote, "rev-parse", "main") == git(machine.store, "rev-parse", "HEAD")


# A store with other entries


def test_other_entries_are_not_pushed(machine: Machine, keys: KeyRing, remote: Path) -> None:
    machine.adopt(keys, "alice")
    machine.store.mkdir()
    (machine.store / ".gpg-id").write_text(keys["alice"] + "\n")
    for name in ("mail.gpg", "bank.gpg"):
        (machine.store / name).write_bytes(keys.encrypt(b"x", "alice"))
    answer = join(machine, remote)
    assert answer.code == 1
    assert answer.err.decode() == (
        f"error: {machine.store} is not pushed: it also holds 2 other entries\n"
        "hint: use PASSWORD_STORE_DIR for a store of its own, or --whole-store\n"
    )
    assert not (machine.store / ".git").exists()
    assert git(remote, "for-each-ref") == ""
    assert join(machine, remote, "--whole-store").code == 0
    assert {"mail.gpg", "bank.gpg"} < set(git(remote, "ls-tree", "-r", "--name-only", "main").split())


def test_other_entries_of_the_history_are_not_pushed(machine: Machine, keys: KeyRing, remote: Path) -> None:
    """They are gone from the store and would travel with its commits."""
    machine.adopt(keys, "alice")
    machine("setup", "--no-docker", "--git")
    (machine.store / "mail.gpg").write_bytes(keys.encrypt(b"x", "alice"))
    git(machine.store, "add", "mail.gpg")
    git(machine.store, "commit", "-q", "-m", "Mine")
    git(machine.store, "rm", "-q", "mail.gpg")
    git(machine.store, "commit", "-q", "-m", "Gone")
    answer = join(machine, remote)
    assert f"error: {machine.store} is not pushed: it also holds 1 other entries\n" in answer.err.decode()
    assert git(remote, "for-each-ref") == ""


def test_two_stores_are_not_mixed(first: Machine, other: Machine, keys: KeyRing, remote: Path, tmp_path: Path) -> None:
    other.adopt(keys, "bob")
    assert other("setup", "--no-docker").code == 0
    answer = join(other, remote)
    assert answer.code == 1
    assert answer.err.decode() == (
        f"error: there is a store at {other.store} and another one at {remote}\n"
        "hint: set PASSWORD_STORE_DIR to a new directory for the other one\n"
    )
    answer = join(first, tmp_path / "elsewhere.git")
    assert answer.err.decode() == (
        f"error: {first.store} has another remote, {remote}\n"
        "hint: set PASSWORD_STORE_DIR to a directory for the other store\n"
    )


# Those who join


def test_a_recipient_joins(first: Machine, other: Machine, keys: KeyRing, remote: Path) -> None:
    """A second machine of the same person."""
    other.adopt(keys, "alice")
    answer = join(other, remote)
    assert (answer.code, answer.err) == (0, b"")
    lines = answer.text.splitlines()
    assert lines[:2] == [
        f"clone: cloned {remote} into {other.store}",
        f"accepted: +{keys['alice']} alice <alice@example.test> (.gpg-id)",
    ]
    assert other.helper("get", "a.example").json["Secret"] == "s"
    assert pins(other)["recipients"] == {".gpg-id": [keys["alice"]]}
    assert pins(other)["commit"] == git(remote, "rev-parse", "main")
    modes = [path for path in other.store.rglob("*") if stat.S_IMODE(path.lstat().st_mode) & 0o077]
    assert modes == []


def test_somebody_new_asks_to_be_let_in(first: Machine, other: Machine, keys: KeyRing, remote: Path) -> None:
    answer = join(other, remote, *JOIN)
    assert (answer.code, answer.err) == (3, b"")
    (key,) = other.secret_keys()
    (file,) = other.home.glob("*.asc")
    last = answer.text.splitlines()[-3:]
    run = f"passhelper recipients add {file.name} && passhelper sync"
    assert last == [
        f"join: this machine's key is not a recipient of the store yet: {key} Bea <bea@example.test>",
        f"join: give a member of the team the file {file}, to run: {run}",
        "join: then run this command again",
    ]
    assert not other.launcher.exists()
    shown = keys.gpg("--show-keys", "--with-colons", str(file)).stdout.decode()
    assert key in shown
    assert "sec:" not in shown
    # What a member has to encrypt to came with the store.
    assert keys["alice"].encode() in other.ring.gpg("--with-colons", "--list-keys").stdout
    again = join(other, remote, "--json")
    assert (again.code, again.json["data"]["proved"]) == (3, False)
    assert [step["step"] for step in again.json["data"]["steps"]] == ["clone", "sync", "join"]
    # A member does what was asked, and the same command ends what it began.
    asked = first.home / file.name
    shutil.copy(file, asked)
    assert first("recipients", "add", str(asked)).code == 0
    assert first("sync").code == 0
    answer = join(other, remote)
    assert (answer.code, answer.err) == (0, b"")
    assert f"this machine reads with {key} Bea <bea@example.test>" in answer.text
    assert other.helper("get", "a.example").json["Secret"] == "s"
    assert other.helper("store", REQUEST.replace('"s"', '"new"')).code == 0
    assert other("sync").code == 0
    assert first("sync").code == 0
    assert first.helper("get", "a.example").json["Secret"] == "new"


def test_more_readers_than_were_asked_for(first: Machine, other: Machine, keys: KeyRing, remote: Path) -> None:
    """Somebody else has come meanwhile: that is for a person to accept."""
    other.adopt(keys, "bob")
    assert join(other, remote).code == 3
    first.adopt(keys, "bob", "stranger", secret=False)
    assert first("recipients", "add", keys["bob"], keys["stranger"]).code == 0
    assert first("sync").code == 0
    answer = join(other, remote)
    assert answer.code == 4
    assert keys["stranger"].encode() in answer.err
    assert other("recipients", "accept", keys["alice"], keys["bob"], keys["stranger"]).code == 0
    assert join(other, remote).code == 0
    assert other.helper("get", "a.example").json["Secret"] == "s"


def test_a_first_clone_where_lists_are_signed(first: Machine, other: Machine, keys: KeyRing, remote: Path) -> None:
    """Where nobody can be asked, and no signature says so, its readers are not taken for accepted."""
    first.adopt(keys, "bob", secret=False)
    assert first("recipients", "add", keys["bob"]).code == 0
    assert first("sync").code == 0
    other.adopt(keys, "bob")
    words = {"PASSWORD_STORE_SIGNING_KEY": keys["alice"]}
    said = "; no valid signature, by a key in PASSWORD_STORE_SIGNING_KEY that this keyring holds, says"
    for remedy in (
        "let a member sign them (passhelper recipients sign)",
        "import the signer's key, or name the readers",
    ):
        answer = join(other, remote, **words)
        assert answer.code == 4, answer
        assert answer.err.decode().startswith("error: recipients not accepted: ")
        assert said in answer.err.decode()
        assert f"\nhint: {remedy}" in answer.err.decode()
        assert not other.store.exists()
        assert first("recipients", "sign", **words).code == 0  # the key of who has signed is not there yet
        assert first("sync", **words).code == 0
    words["PASSHELPER_ACCEPT_RECIPIENTS"] = f"{keys['alice']} {keys['bob']}"
    answer = join(other, remote, **words)
    assert answer.code == 0, answer
    assert set(pins(other)) >= {"recipients", "store"}


def test_who_reads_one_list_does_not_come_into_another(
    first: Machine, other: Machine, keys: KeyRing, remote: Path
) -> None:
    """Whoever reads a single server and can push adds himself to all while somebody waits to be let in."""
    first.adopt(keys, "bob", "stranger", secret=False)
    (server,) = (first.store / FOLDER).iterdir()
    (server / ".gpg-id").write_text(f"{keys['alice']}\n{keys['stranger']}\n")
    (server / "u.gpg").write_bytes(keys.encrypt(b"s", "alice", "stranger"))
    git(first.store, "add", "--all")
    git(first.store, "commit", "-q", "-m", "Let the stranger read one server")
    git(first.store, "push", "-q")
    other.adopt(keys, "bob")
    assert join(other, remote).code == 3
    before = pins(other)
    (first.store / ".gpg-id").write_text("".join(f"{keys[name]}\n" for name in ("alice", "bob", "stranger")))
    git(first.store, "commit", "-q", "-a", "-m", "Let bob in")
    git(first.store, "push", "-q")
    answer = join(other, remote)
    assert answer.code == 4
    assert f"+{keys['stranger']}".encode() in answer.err
    assert pins(other) == before


def test_join_with_a_key_that_is_there(first: Machine, other: Machine, keys: KeyRing, remote: Path) -> None:
    other.adopt(keys, "bob")
    assert join(other, remote, "--key", "bob@example.test").code == 3
    assert keys["bob"] in join(other, remote).text


def test_join_without_any_key(first: Machine, other: Machine, remote: Path) -> None:
    answer = join(other, remote)
    assert answer.code == 1
    assert b"error: this keyring has no secret key to use\nhint: run: passhelper setup --generate-key" in answer.err


def test_a_reader_of_one_server_joins(first: Machine, other: Machine, keys: KeyRing, remote: Path) -> None:
    """No recipient of the store as a whole: what this machine may read works, and nothing else is claimed."""
    first.adopt(keys, "bob", secret=False)
    (server,) = (first.store / FOLDER).iterdir()
    (server / ".gpg-id").write_text(f"{keys['alice']}\n{keys['bob']}\n")
    (server / "u.gpg").write_bytes(keys.encrypt(b"s", "alice", "bob"))
    git(first.store, "add", "--all")
    git(first.store, "commit", "-q", "-m", "Let bob in")
    git(first.store, "push", "-q")
    other.adopt(keys, "bob")
    answer = join(other, remote)
    assert (answer.code, answer.err) == (0, b"")
    assert f"this machine reads single servers with {keys['bob']} bob <bob@example.test>" in answer.text
    assert other.helper("get", "a.example").json["Secret"] == "s"


# Acceptance


@pytest.mark.parametrize("typed", [b"y\n", b"\n"])
def test_a_person_is_asked(first: Machine, other: Machine, keys: KeyRing, remote: Path, typed: bytes) -> None:
    other.adopt(keys, "alice")
    person = Person((b"Are they the right ones?", typed))
    environ = {name: value for name, value in other.environ.items() if name != "PASSHELPER_NONINTERACTIVE"}
    answer = person.run([other.passhelper, "setup", "--no-docker", "--git", str(remote)], environ, b"")
    assert f"These keys can read the store: +{keys['alice']} alice".encode() in person.screen
    if typed == b"y\n":
        assert answer.code == 0
        assert pins(other)["recipients"] == {".gpg-id": [keys["alice"]]}
    else:
        assert answer.code == 4
        assert b"error: recipients not accepted: +" in person.screen.replace(b"\x1b[31merror\x1b[0m", b"error")
        assert not other.store.exists()


@pytest.mark.parametrize("allowed", ["alice", "bob"])
def test_the_environment_names_who_is_accepted(
    first: Machine, other: Machine, keys: KeyRing, remote: Path, allowed: str
) -> None:
    other.adopt(keys, "alice")
    answer = join(other, remote, PASSHELPER_ACCEPT_RECIPIENTS=keys[allowed])
    assert answer.code == (0 if allowed == "alice" else 4)
    if allowed == "bob":
        assert answer.err.decode() == (
            f"error: recipients not accepted: +{keys['alice']} alice <alice@example.test> (.gpg-id)\n"
            "hint: ask a member of the team which keys are right, then set up again\n"
        )
        assert not other.store.exists()


def test_a_commit_that_must_be_there(first: Machine, other: Machine, keys: KeyRing, remote: Path) -> None:
    other.adopt(keys, "alice")
    head = git(remote, "rev-parse", "main")
    answer = join(other, remote, PASSHELPER_STORE_COMMIT="0" * 40)
    assert answer.code == 4
    assert b"does not contain commit 0000" in answer.err
    assert not other.store.exists()
    answer = join(other, remote, "--depth", "1", PASSHELPER_STORE_COMMIT=head)
    assert answer.err == (
        b"error: a shallow clone cannot show that it descends from PASSHELPER_STORE_COMMIT\n"
        b"hint: leave out --depth, or unset PASSHELPER_STORE_COMMIT\n"
    )
    assert join(other, remote, PASSHELPER_STORE_COMMIT=head).code == 0


def test_depth(first: Machine, other: Machine, keys: KeyRing, remote: Path) -> None:
    other.adopt(keys, "alice")
    assert join(other, remote, "--depth", "1").code == 0
    assert git(other.store, "rev-list", "--count", "HEAD") == "1"
    assert int(git(remote, "rev-list", "--count", "main")) > 1
    assert other.helper("get", "a.example").json["Secret"] == "s"


# What is refused


@pytest.mark.parametrize("depth", [(), ("--depth", "1")], ids=["whole", "shallow"])
def test_a_remote_whose_head_names_a_branch_that_nobody_pushed(
    first: Machine, other: Machine, keys: KeyRing, remote: Path, depth: tuple[str, ...]
) -> None:
    """As on a server whose git begins with another branch than main; the first member does not notice."""
    git(remote, "symbolic-ref", "HEAD", "refs/heads/master")
    other.adopt(keys, "alice")
    url = f"file://{remote}"  # a shallow clone of a path would be a whole one
    answer = join(other, url, *depth)
    assert answer.code == 0, answer.err
    assert git(other.store, "rev-parse", "--abbrev-ref", "@", "@{upstream}").split() == ["main", "origin/main"]
    assert (other("sync").code, git(other.store, "status", "--porcelain")) == (0, "")
    assert git(other.store, "rev-parse", "HEAD") == git(remote, "rev-parse", "main")


def test_a_remote_whose_head_could_mean_any_branch(first: Machine, other: Machine, keys: KeyRing, remote: Path) -> None:
    for words in (
        ("branch", "-m", "main", "trunk"),
        ("branch", "old", "trunk"),
        ("symbolic-ref", "HEAD", "refs/heads/x"),
    ):
        git(remote, *words)
    other.adopt(keys, "alice")
    answer = join(other, remote)
    assert answer.code == 1
    assert answer.err.decode().endswith(
        f"error: the store at {remote} does not say which of its branches counts: old, trunk\n"
        "hint: let its HEAD name one, there: git symbolic-ref HEAD refs/heads/NAME\n"
    )
    assert not other.store.exists()


def test_what_is_no_store_is_not_kept(machine: Machine, keys: KeyRing, remote: Path, tmp_path: Path) -> None:
    machine.adopt(keys, "alice")
    work = tmp_path / "work"
    subprocess.run(["git", "init", "-q", "-b", "main", str(work)], check=True)
    (work / "README").write_text("no store")
    git(work, "add", ".")
    git(work, "commit", "-q", "-m", "x")
    git(work, "push", "-q", str(remote), "main")
    answer = join(machine, remote)
    said = f"error: {remote} names no recipients: it is not a password store\nhint: check the URL\n"
    assert answer.err.decode() == said
    assert not machine.store.exists()
    os.symlink("/etc/passwd", work / "link")
    git(work, "add", ".")
    git(work, "commit", "-q", "-m", "y")
    git(work, "push", "-q", str(remote), "main")
    answer = join(machine, remote)
    assert answer.code == 4
    assert b"brings a symbolic link: link\n" in answer.err
    assert not machine.store.exists()


@pytest.mark.parametrize("url", ["{tmp}/none.git", "ext::sh -c touch% {tmp}/owned", "https://127.0.0.1:9/x.git"])
def test_a_remote_that_cannot_be_reached(machine: Machine, keys: KeyRing, tmp_path: Path, url: str) -> None:
    machine.adopt(keys, "alice")
    url = url.replace("{tmp}", str(tmp_path))
    answer = join(machine, url)
    assert answer.code == 6
    assert answer.err.decode().startswith(f"error: git cannot read {url}: ")
    assert not machine.store.exists()
    assert not (tmp_path / "owned").exists()


def test_a_clone_that_has_kept_a_token(first: Machine, remote: Path) -> None:
    """Somebody has made it with git alone; it is the same remote, whoever asks."""
    git(first.store, "remote", "set-url", "origin", "https://ghp_hunter2@127.0.0.1:9/x.git")
    for url in ("https://127.0.0.1:9/x.git", "https://ghp_other@127.0.0.1:9/x.git"):
        answer = join(first, url)
        assert f"{first.store} is a clone of https://127.0.0.1:9/x.git" in answer.text
        assert "hunter2" not in answer.text + answer.err.decode()
    answer = join(first, remote)
    assert answer.err.decode().startswith(f"error: {first.store} has another remote, https://127.0.0.1:9/x.git\n")


def test_no_password_in_messages(machine: Machine, keys: KeyRing) -> None:
    machine.adopt(keys, "alice")
    for user in ("alice:hunter2", "alice", "ghp_hunter2", "ghp_hunter2:x-oauth-basic"):
        answer = join(machine, f"https://{user}@127.0.0.1:9/x.git")
        assert answer.code == 6
        assert answer.err.startswith(b"error: git cannot read https://127.0.0.1:9/x.git: ")
        assert b"hunter2" not in answer.err
        assert b"alice" not in answer.err
