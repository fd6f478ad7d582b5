"""A store that a group shares, used by two users; a user's store that root touches, as with ``sudo docker login``."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import FOLDER, Answer, Helper, KeyRing, Program, require, run
from support.machines.jobs import for_user

GROUP = 4242
ANN, BOB = 4301, 4302
SERVER, OTHER = "https://a.example", "https://b.example"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs programs as other users")


class User:
    """Somebody with a number, a home and a keyring of his own.

    Args:
        uid: his number, and his own group's.
        place: where his home is made.
        keys: what to copy as his keyring.
        installed: the wheel's programs.
        store: the store that he uses.
    """

    def __init__(self, uid: int, place: Path, keys: KeyRing, installed: Program, store: Path) -> None:
        self.prefix = ["setpriv", f"--reuid={uid}", f"--regid={uid}", f"--groups={GROUP}", "--"]
        self.uid = uid
        self.home = place / f"u{uid}"
        self.home.mkdir(mode=0o700)
        self.keys = keys.copy(self.home / "g")
        subprocess.run(["chown", "-R", f"{uid}:{uid}", str(self.home)], check=True)
        folder = place / f"p{uid}"
        folder.mkdir()
        self.program = f"{for_user(installed, self.prefix, folder)}/passhelper"
        program = Path(self.program).with_name("docker-credential-pass")
        if not program.exists():  # for_user has made a bin directory with passhelper alone
            text = Path(self.program).read_text()
            program.write_text(text.replace("from passhelper.cli ", "from passhelper.store.helper "))
            program.chmod(0o755)
        self.helper_program = str(program)
        self.environ = {
            "HOME": str(self.home), "PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8",
            "GNUPGHOME": str(self.keys.home), "PASSWORD_STORE_DIR": str(store), "PASSHELPER_NONINTERACTIVE": "1",
        }  # fmt: skip

    def run(self, *command: str, stdin: str = "", **environ: str) -> Answer:
        """Run a program as this user, whose shell has the usual umask."""
        line = ["sh", "-c", 'umask 022; exec "$@"', "sh", *command]
        return run([*self.prefix, *line], {**self.environ, **environ}, stdin.encode())

    def store(self, server: str, username: str, secret: str) -> Answer:
        return self.run(self.helper_program, "store",
                        stdin=f'{{"ServerURL":"{server}","Username":"{username}","Secret":"{secret}"}}')  # fmt: skip

    def get(self, server: str) -> Answer:
        return self.run(self.helper_program, "get", stdin=server)

    def list(self) -> Answer:
        return self.run(self.helper_program, "list")

    def doctor(self) -> str:
        """What is wrong."""
        lines = self.run(self.program, "doctor").text.splitlines()
        return "\n".join(line for line in lines if not line.startswith(("ok ", "not checked ")))


@pytest.fixture
def place(short_tmp: Path) -> Iterator[Path]:
    """A directory that every user may enter."""
    require("setpriv", "git")
    path = Path(tempfile.mkdtemp(prefix="w", dir=short_tmp))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def ann(place: Path, keys: KeyRing, installed: Program) -> Iterator[User]:
    user = User(ANN, place, keys, installed, place / "s")
    yield user
    user.keys.stop_agent()


@pytest.fixture
def bob(place: Path, keys: KeyRing, installed: Program) -> Iterator[User]:
    user = User(BOB, place, keys, installed, place / "s")
    yield user
    user.keys.stop_agent()


def made(user: User, keys: KeyRing, mode: int, *, git: bool) -> Path:
    """Let a user make a store."""
    path = Path(user.environ["PASSWORD_STORE_DIR"])
    path.mkdir()
    os.chown(path, user.uid, GROUP if mode & stat.S_ISGID else user.uid)
    path.chmod(mode)
    script = f"umask {0o777 & ~mode:03o}; cd {path}; echo {keys['alice']} > .gpg-id"
    if git:
        script += "; git init -q -b main; git config user.name t; git config user.email t@example.test"
        script += "; git add .; git commit -q -m Begin"
    assert user.run("sh", "-c", script).code == 0
    return path


@pytest.mark.parametrize("git", [False, True], ids=["plain", "git"])
def test_a_store_of_a_group(ann: User, bob: User, keys: KeyRing, git: bool) -> None:
    """All that either makes belongs to the directory's group and is open to it; each goes on where the other was."""
    store = made(ann, keys, 0o2770, git=git)
    for user in (ann, bob):
        user.environ["PASSWORD_STORE_UMASK"] = "007"
        if git:
            assert user.run("git", "config", "--global", "--add", "safe.directory", str(store)).code == 0
    for number, (writer, reader) in enumerate([(ann, bob), (bob, ann), (ann, bob)]):
        for server in (SERVER, f"https://{number}.example"):
            answer = writer.store(server, f"user{number}", f"s{number}")
            assert (answer.code, answer.out, answer.err) == (0, b"", b"")
            assert reader.get(server).json["Secret"] == f"s{number}"
        assert len(reader.list().json) == number + 2
    assert bob.run(bob.helper_program, "erase", stdin=SERVER).code == 0
    for path in (store, *store.rglob("*")):
        facts = path.lstat()
        assert facts.st_gid == GROUP, path
        assert not facts.st_mode & 0o007, path
        if path.is_dir():
            assert facts.st_mode & stat.S_ISGID, path
    if git:
        assert ann.run("git", "-C", str(store), "status", "--porcelain").out == b""
        assert not (store / ".git" / "passhelper" / "pending").exists()
    for user in (ann, bob):
        said = user.doctor()
        assert "store.owners" not in said, said
        assert "store.modes" not in said, said


def test_a_group_member_who_forgot_the_umask(ann: User, bob: User, keys: KeyRing) -> None:
    """The others are told which file, whose it is, and what helps; and it does."""
    store = made(ann, keys, 0o2770, git=False)
    assert ann.store(SERVER, "ann", "s").code == 0
    directory = store / FOLDER
    answer = bob.get(SERVER)
    changes = f"-exec chgrp {GROUP} {{}} + -exec chmod g+rwX {{}} + -type d -exec chmod g+s {{}} +"
    command = f"find {store} -uid {ANN} {changes}"
    assert bob.run("sh", "-c", f"umask 007; echo > {store}/note").code == 0  # ann cannot change its mode
    assert (answer.code, answer.text) == (
        1,
        f"cannot read {next(directory.iterdir())}: Permission denied; check its owner and mode; this is uid {BOB}\n",
    )
    assert bob.list().code == 1
    said = bob.list().text
    assert said == (
        f"cannot read {directory}: Permission denied; it belongs to uid {ANN} and gid {GROUP}, with mode 2700; "
        f"this is uid {BOB}; as uid {ANN} or root run: {command}\n"
    )
    assert f"closed to its group {GROUP}" in bob.doctor()
    assert ann.run("sh", "-c", command).code == 0
    assert bob.get(SERVER).json["Secret"] == "s"
    assert bob.list().json == {SERVER: "ann"}
    assert "store.owners" not in bob.doctor()


@pytest.mark.parametrize("git", [False, True], ids=["plain", "git"])
def test_root_in_the_store_of_a_user(ann: User, keys: KeyRing, helper: Helper, git: bool) -> None:
    """As with sudo that keeps HOME: reading goes on, writing says how; nothing becomes root's."""
    store = made(ann, keys, 0o700, git=git)
    assert ann.store(SERVER, "ann", "s").code == 0
    helper.environ.update(
        HOME=str(ann.home), PASSWORD_STORE_DIR=str(store), GNUPGHOME=str(keys.home), PASSHELPER_SYNC="pull,push"
    )
    assert helper.get(SERVER).json["Secret"] == "s"
    assert helper.list().json == {SERVER: "ann"}
    assert helper.get(OTHER).code == 1
    assert helper.erase(OTHER).code == 0
    refused = (
        f"the store {store} belongs to '#{ANN}', who could not change what root writes there; "
        f"run it as its owner: sudo -u '#{ANN}' COMMAND\n"
    )
    for answer in (helper.store(OTHER, "root", "r"), helper.store(SERVER, "ann", "new"), helper.erase(SERVER)):
        assert (answer.code, answer.text) == (1, refused)
    passhelper = Path(helper.program).parent / "passhelper"
    for command in (["recipients", "add", keys["bob"]], ["sync"], ["doctor", "--fix"]):
        said = run([str(passhelper), *command], helper.environ)
        assert command[0] == "doctor" or said.code != 0
    foreign = [
        path for path in (ann.home, *ann.home.rglob("*"), store, *store.rglob("*")) if path.lstat().st_uid != ANN
    ]
    assert foreign == []
    assert ann.store(OTHER, "ann", "o").code == 0
    assert ann.get(OTHER).json["Secret"] == "o"
    assert ann.doctor().count("store.owners") == 0


def test_what_root_has_left(ann: User, keys: KeyRing) -> None:
    """The doctor finds it, in git's directory too, and its command mends it."""
    store = made(ann, keys, 0o700, git=True)
    assert ann.store(SERVER, "ann", "s").code == 0
    for path in (store / ".git" / "index", next((store / FOLDER).iterdir())):
        os.chown(path, 0, 0)
    command = f"chown -R {ANN}:{ANN} {store}"
    said = ann.doctor()
    assert f"2 files and directories of the store do not belong to '#{ANN}'" in said
    assert f"run: sudo {command}" in said
    subprocess.run(command.split(), check=True)
    assert "store.owners" not in ann.doctor()


def test_root_in_its_own_store(helper: Helper, store: Path) -> None:
    """A daemon's, a container's, a runner's."""
    assert store.stat().st_uid == 0
    assert helper.store(SERVER, "root", "r").code == 0


def test_these_users_are_nobody_here() -> None:
    for uid in (ANN, BOB):
        with pytest.raises(KeyError):
            pwd.getpwuid(uid)
