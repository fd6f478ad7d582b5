"""Programs that a push brings, and a PATH that leads to them: nothing of a store is ever run.

git changes into the store, and so does all that it starts: with an empty or relative entry in PATH, what it started was
a file called ``ssh`` in the store.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support import FOLDER, Helper, KeyRing, Program, run
from support.people.attackers import Scene
from support.people.remotes import PLAIN

RELATIVE = ("", ".", "bin", "./", "../store")
NAMES = ("ssh", "gpg", "gpg2", "git", "sh", "gpg-agent", "pinentry", "tool", "ps", "unshare")


def lay(folder: Path, program: bytes) -> None:
    """Put programs where every relative PATH could find them."""
    for place in (folder, folder / "bin"):
        place.mkdir(exist_ok=True)
        for name in NAMES:
            (place / name).write_bytes(program)
            (place / name).chmod(0o755)


@pytest.fixture
def sign(git_store: Path, tmp_path: Path) -> Path:
    """The file that a program in the store makes."""
    sign = tmp_path / "sign"
    lay(git_store, b"#!/bin/sh\n: > %s\nexit 1\n" % os.fsencode(sign))
    return sign


@pytest.mark.parametrize("entry", RELATIVE)
def test_sync_runs_no_ssh_of_the_store(
    helper: Helper, installed: Program, environ: dict[str, str], git_store: Path, sign: Path, entry: str
) -> None:
    git = ["git", "-C", str(git_store)]
    assert run([*git, "remote", "add", "origin", "ssh://git@127.0.0.1:1/store"], environ).code == 0
    environ["PATH"] = f"{entry}:{environ['PATH']}:{entry}"
    answer = run([installed.passhelper, "sync"], environ, cwd=git_store)
    assert (answer.code, sign.exists()) == (6, False), answer
    for words in (["doctor"], ["setup", "--git", "ssh://git@127.0.0.1:1/store"]):
        run([installed.passhelper, *words], environ, cwd=git_store)
        assert not sign.exists(), words
    assert helper.store("https://a.example", "u", "s", PASSHELPER_SYNC="push,pull").code == 0
    helper.get("https://missing.example", PASSHELPER_SYNC="push,pull")
    assert not sign.exists()


@pytest.mark.parametrize("entry", RELATIVE)
def test_a_signed_commit_runs_no_gpg_of_the_store(
    helper: Helper, environ: dict[str, str], keys: KeyRing, git_store: Path, sign: Path, entry: str
) -> None:
    git = ["git", "-C", str(git_store)]
    for name, value in (("commit.gpgsign", "true"), ("user.signingkey", keys["alice"]), ("user.name", "t"),
                        ("user.email", "t@example.test")):  # fmt: skip
        assert run([*git, "config", name, value], environ).code == 0
    environ["PATH"] = f"{entry}:{environ['PATH']}"
    answer = helper.store("https://a.example", "u", "s")
    assert (answer.code, answer.err, sign.exists()) == (0, b"", False)
    assert b"gpgsig" in run([*git, "cat-file", "commit", "HEAD"], {**environ, "PATH": "/usr/bin:/bin"}).out


def test_a_hook_finds_no_program_of_the_store(
    helper: Helper, environ: dict[str, str], git_store: Path, sign: Path, tmp_path: Path
) -> None:
    """Where the user has turned the hooks on."""
    assert run(["git", "-C", str(git_store), "config", "passhelper.hooks", "true"], environ).code == 0
    hook = git_store / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntool\necho $PATH > {tmp_path}/path\n")
    hook.chmod(0o755)
    environ["PATH"] = f":{environ['PATH']}"
    assert helper.store("https://a.example", "u", "s").code == 0
    assert (tmp_path / "path").exists()
    assert not sign.exists()


def test_every_child_gets_absolute_directories_that_are_there(
    helper: Helper, installed: Program, environ: dict[str, str], keys: KeyRing, git_store: Path, tmp_path: Path
) -> None:
    """Each program that we start tells its PATH."""
    front = tmp_path / "front"
    front.mkdir()
    for name in ("git", "gpg", "gpgconf", "gpg-connect-agent"):
        (front / name).write_text(f'#!/bin/sh\necho "{name} $PATH" >> {tmp_path}/said\nexec /usr/bin/{name} "$@"\n')
        (front / name).chmod(0o755)
    (tmp_path / "file").touch()
    path = f":.:bin:{front}::/usr/bin:{tmp_path}/nowhere:{tmp_path}/file:./x:/bin:"
    environ["PATH"] = path
    assert helper.store("https://a.example", "u", "s").code == 0
    assert helper.get("https://a.example").code == 0
    for words in (["doctor"], ["list"], ["recipients", "check"], ["recipients", "add", keys["bob"]], ["sync"], ["log"],
                  ["rotation", "list", keys["bob"]], ["unlock"]):  # fmt: skip
        run([installed.passhelper, *words], environ)
    said = (tmp_path / "said").read_text().splitlines()
    assert {line.split(" ", 1)[0] for line in said} >= {"git", "gpg"}
    # git puts its own directory first for what it starts.
    assert {line.split(" ", 1)[1].removeprefix("/usr/lib/git-core:") for line in said} == {f"{front}:/usr/bin:/bin"}


def test_a_path_of_nothing_but_relative_entries(helper: Helper, environ: dict[str, str], git_store: Path) -> None:
    """It is not empty for the child: that would mean the directory in which it is."""
    for path in (".", ":", "bin:./x", "/nowhere"):
        environ["PASSHELPER_GPG"], environ["PATH"] = "/usr/bin/gpg", path
        answer = helper.store("https://a.example", "u", "s")
        assert answer.code == 0
        assert b"git not found in PATH" in answer.err


# What a push brings


def test_what_comes_in_is_no_program(scene: Scene) -> None:
    """Files at the top stay files of the store: a README, other entries. None of them may be run."""
    names = ("README.md", "ssh", ".extensions/evil.bash", f"{FOLDER}/run")
    scene.remote.push({name: ("100755", scene.program()) for name in names})
    assert scene.passhelper("sync").code == 0
    for name in names:
        assert os.stat(scene.alice.path / name).st_mode & 0o777 == 0o600, name
    assert scene.alice.git("status", "--porcelain") == ""
    assert scene.passhelper("doctor", "--json").code in (0, 1, 3, 5)
    # A later change of the mode alone, and of the content alone.
    scene.remote.push({"README.md": (PLAIN, scene.program())})
    scene.remote.push({"ssh": ("100755", b"#!/bin/sh\nexit 7\n")})
    assert scene.passhelper("sync").code == 0
    assert scene.alice.git("status", "--porcelain") == ""
    assert not os.access(scene.alice.path / "ssh", os.X_OK)
    # What is not ours keeps its mode in the history.
    assert scene.helper.store("https://later.example", "u", "s").code == 0
    assert scene.passhelper("sync").code == 0
    assert scene.remote.entries()["ssh"][0] == "100755"


def test_an_entry_that_is_a_program_comes_in_without_a_verb(scene: Scene) -> None:
    """An automatic pull takes entries as they are, and leaves odd ones to sync."""
    path = f"{FOLDER}/Yi5leGFtcGxl/u.gpg"
    scene.remote.push({path: ("100755", scene.keys.encrypt(b"s", "alice"))})
    assert scene.helper.get("b.example", PASSHELPER_SYNC="pull").code == 1
    assert scene.passhelper("sync").code == 0
    assert os.stat(scene.alice.path / path).st_mode & 0o777 == 0o600
    assert scene.helper.get("b.example").json["Secret"] == "s"


def test_a_clone_holds_no_program(scene: Scene, tmp_path: Path) -> None:
    scene.remote.push({"ssh": ("100755", scene.program()), "bin/gpg": ("100755", scene.program())})
    clone = {
        **scene.alice.environ,
        "PASSWORD_STORE_DIR": str(tmp_path / "second"),
        "PASSHELPER_ACCEPT_RECIPIENTS": f"{scene.keys['alice']} {scene.keys['bob']}",
        "PATH": f".:{scene.alice.environ['PATH']}",
    }
    answer = run([scene.installed.passhelper, "setup", "--git", str(scene.remote.path)], clone)
    assert (tmp_path / "second" / "ssh").exists(), answer
    for name in ("ssh", "bin/gpg"):
        assert os.stat(tmp_path / "second" / name).st_mode & 0o777 == 0o600
    assert run(["git", "-C", str(tmp_path / "second"), "status", "--porcelain"], scene.alice.environ).out == b""
    assert not scene.sign.exists()
