"""Another user of the machine waits for a file that somebody else, root at best, is about to write."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import stat
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import Answer, Helper, Program, run

from passhelper.ci import handover
from passhelper.errors import ConfigurationError
from passhelper.machine import paths, userfile
from passhelper.machine.privatefile import PrivateFile

if TYPE_CHECKING:
    from collections.abc import Iterator

ATTACKER = 65534
NOBODY = 0xFFFFFFFF  # in an access control list: whoever the tag means
SECRET = "hunter2"
ELSEWHERE = (
    'make a directory of your own with "mktemp -d" and name a file in it, or leave --output out to write to a pipe'
)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files of another user")


@pytest.fixture
def shared() -> Iterator[Path]:
    """A directory like /tmp: everybody writes there, and nobody takes away what is another's."""
    path = Path(tempfile.mkdtemp(prefix="ph-", dir="/tmp"))
    path.chmod(0o1777)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def root(installed: Program, store: Path, helper: Helper, environ: dict[str, str]) -> Root:
    assert helper.store("q.io", "deploy", SECRET).code == 0
    return Root(installed, environ)


class Root:
    """root, who has a store with a password."""

    def __init__(self, installed: Program, environ: dict[str, str]) -> None:
        self.program, self.environ = installed.passhelper, environ

    def __call__(self, *arguments: str, **options: object) -> Answer:
        return run([self.program, *arguments], self.environ, **options)  # type: ignore[arg-type]

    def export(self, path: Path | str, *more: str) -> Answer:
        return self("export", "--format", "dockerconfigjson", "--output", str(path), *more)


def attackers(*command: str) -> str:
    """What the attacker gets to see."""
    user = ["setpriv", f"--reuid={ATTACKER}", f"--regid={ATTACKER}", "--clear-groups", "--"]
    return run([*user, *command], {"PATH": "/usr/bin:/bin"}).text


def refused(answer: Answer, cause: str, remedy: str = ELSEWHERE) -> None:
    assert answer.err.decode() == f"error: {cause}\nhint: {remedy}\n"
    assert (answer.code, answer.out) == (1, b"")


@pytest.mark.parametrize("force", [(), ("--force",)])
@pytest.mark.parametrize("content", ["", '{"auths": {}}'])
def test_a_file_that_the_attacker_has_made_gets_no_secret(
    root: Root, shared: Path, content: str, force: tuple[str, ...]
) -> None:
    file = shared / "pull.json"
    file.write_text(content)
    file.chmod(0o600)
    os.chown(file, ATTACKER, ATTACKER)
    answer = root.export(file, *force)
    assert SECRET not in attackers("cat", str(file))
    refused(answer, f"{file} belongs to nobody", "name another file, or leave --output out to write to a pipe")
    assert file.read_text() == content
    assert os.listdir(shared) == ["pull.json"]


@pytest.mark.parametrize("force", [(), ("--force",)])
@pytest.mark.parametrize("owner", [0, ATTACKER])
@pytest.mark.parametrize("is_there", [True, False])
def test_no_link_leads_a_secret_elsewhere(
    root: Root, shared: Path, tmp_path: Path, owner: int, is_there: bool, force: tuple[str, ...]
) -> None:
    target = tmp_path / "target"
    if is_there:
        target.write_text('{"auths": {}}')
        target.chmod(0o600)
    link = shared / "pull.json"
    link.symlink_to(target)
    os.chown(link, owner, owner, follow_symlinks=False)
    refused(root.export(link, *force), f"{link} is a symbolic link, and no secret is written through one",
            "name the file itself, or leave --output out to write to a pipe")  # fmt: skip
    assert (target.read_text() if is_there else target.exists()) == ('{"auths": {}}' if is_there else False)
    assert link.is_symlink()


def test_no_link_on_the_way_either(root: Root, shared: Path, tmp_path: Path) -> None:
    link, target = shared / "out", tmp_path / "out"
    target.mkdir(mode=0o700)
    link.symlink_to(target)
    os.chown(link, ATTACKER, ATTACKER, follow_symlinks=False)
    refused(root.export(link / "pull.json"), f"{link} is a symbolic link that belongs to nobody")
    assert os.listdir(target) == []
    os.chown(link, 0, 0, follow_symlinks=False)
    assert root.export(link / "pull.json").code == 0
    assert SECRET in (target / "pull.json").read_text()


@pytest.mark.parametrize("below", ["", "new/folders/"])
@pytest.mark.parametrize(
    ("mode", "owner", "why"),
    [
        (0o777, 0, "every user may write it"),
        (0o777, ATTACKER, "every user may write it"),
        (0o775, ATTACKER, "the group nogroup may write it"),
        (0o770, 0, "the group nogroup may write it"),
    ],
)
def test_a_directory_in_which_others_can_replace_the_file(
    root: Root, shared: Path, below: str, mode: int, owner: int, why: str
) -> None:
    folder = shared / "out"
    folder.mkdir()
    os.chown(folder, owner, 65534)
    folder.chmod(mode)
    refused(root.export(folder / f"{below}pull.json"), f"others can replace a file in {folder}: {why}")
    assert os.listdir(folder) == []


@pytest.mark.parametrize("below", ["", "new/folders/"])
@pytest.mark.parametrize("mode", [0o755, 0o1777])
def test_root_in_the_directory_of_another_user(root: Root, shared: Path, mode: int, below: str) -> None:
    """As where a job in a container runs as root, and the work space is of the runner's user outside."""
    folder = shared / "workspace"
    folder.mkdir()
    folder.chmod(mode)
    os.chown(folder, ATTACKER, ATTACKER)
    file = folder / f"{below}pull.json"
    for force in ((), ("--force",)):
        answer = root.export(file, *force)
        assert (answer.code, answer.err.decode()) == (0, f"wrote 1 to {file}\n")
        assert (file.stat().st_uid, stat.S_IMODE(file.stat().st_mode)) == (0, 0o600)
        assert json.loads(file.read_text())["auths"]["q.io"]["password"] == SECRET
        assert attackers("cat", str(file)) == ""
    assert folder.stat().st_uid == ATTACKER


def test_its_owner_chooses_no_mode(root: Root, shared: Path) -> None:
    """He has put a file of root's there that everybody reads: an earlier one of root's in that directory."""
    folder = shared / "workspace"
    folder.mkdir()
    os.chown(folder, ATTACKER, ATTACKER)
    file = folder / "pull.json"
    file.write_text("{}")
    file.chmod(0o666)
    os.chown(file, 0, ATTACKER)
    refused(root.export(file), f"{file} can be read by other users", f"run: chmod 600 {file}")
    assert root.export(file, "--force").code == 0
    assert (file.stat().st_uid, stat.S_IMODE(file.stat().st_mode)) == (0, 0o600)
    assert attackers("cat", str(file)) == ""


def test_its_owner_moves_the_new_file_away(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And puts one of his in its place before it has its name: nobody is told that the secret is there."""
    folder = shared / "workspace"
    folder.mkdir()
    os.chown(folder, ATTACKER, ATTACKER)
    real = os.replace

    def swap(old: str, new: str, **where: int) -> None:
        (folder / old).rename(folder / "kept")
        (folder / old).write_text("his")
        os.chown(folder / old, ATTACKER, ATTACKER)
        real(old, new, **where)

    monkeypatch.setattr(os, "replace", swap)
    with (
        PrivateFile(str(folder / "pull.json")) as file,
        pytest.raises(ConfigurationError, match=f"the owner of its directory has taken {folder}/pull.json away; "),
    ):
        file.write(b"secret")
    assert (folder / "kept").stat().st_mode & 0o777 == 0o600


def test_nor_does_he_lead_it_elsewhere(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory of his becomes a link once its path has been looked at."""
    folder, target = shared / "workspace", tmp_path / "target"
    target.mkdir()
    (folder / "out").mkdir(parents=True)
    os.chown(folder, ATTACKER, ATTACKER)
    real = paths.resolve

    def resolve(path: str, remedy: str) -> str:
        found = real(path, remedy)
        (folder / "out").rmdir()
        (folder / "out").symlink_to(target)
        return found

    monkeypatch.setattr(paths, "resolve", resolve)
    with pytest.raises(ConfigurationError, match="cannot write "):
        PrivateFile(str(folder / "out" / "new" / "pull.json"))
    assert os.listdir(target) == []


def test_a_server_of_files_that_gives_it_to_another_user(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As NFS does with what root makes."""
    real = os.open

    def squashed(path: str, flags: int, *more: int, **where: int) -> int:
        descriptor = real(path, flags, *more, **where)
        if flags & os.O_CREAT:
            os.fchown(descriptor, ATTACKER, ATTACKER)
        return descriptor

    monkeypatch.setattr(os, "open", squashed)
    with (
        PrivateFile(str(shared / "pull.json")) as file,
        pytest.raises(ConfigurationError, match=r"/pull\.json belongs to nobody; "),
    ):
        file.write(b"secret")
    assert os.listdir(shared) == []


def test_where_nobody_can_replace_it(root: Root, shared: Path) -> None:
    file = shared / "pull.json"
    for path in (file, shared / "new" / "folders" / "pull.json"):
        for _ in range(2):  # an earlier export is replaced
            old = os.umask(0)
            try:
                answer = root.export(path)
            finally:
                os.umask(old)
            assert (answer.code, answer.err.decode()) == (0, f"wrote 1 to {path}\n")
            assert (path.stat().st_uid, stat.S_IMODE(path.stat().st_mode)) == (0, 0o600)
    assert stat.S_IMODE((shared / "new").stat().st_mode) == 0o700
    assert stat.S_IMODE((shared / "new" / "folders").stat().st_mode) == 0o700
    assert attackers("cat", str(file)) == ""
    assert json.loads(file.read_text())["auths"]["q.io"]["password"] == SECRET


def test_a_directory_of_ones_own_group(root: Root, shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the umask is 002 each user has a group of his own: nobody else may write."""
    folder = shared / "out"
    folder.mkdir()
    folder.chmod(0o775)  # of the group root, with nobody else in it
    assert root.export(folder / "pull.json").code == 0
    with monkeypatch.context() as patch:  # whose primary group it is stands in no group's line
        second = pwd.struct_passwd(("eve", "x", 4242, 0, "", "/", "/bin/sh"))
        known = pwd.getpwall()
        patch.setattr(pwd, "getpwall", lambda: [*known, second])
        with pytest.raises(ConfigurationError, match="the group root may write it"):
            PrivateFile(str(folder / "pull.json"))
    if sys.platform != "linux":
        pytest.skip("access control lists are set otherwise here")
    lists = [(1, 7, NOBODY), (2, 7, ATTACKER), (4, 5, NOBODY), (16, 7, NOBODY), (32, 5, NOBODY)]  # acl(5)
    try:
        data = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in lists)
        os.setxattr(folder, "system.posix_acl_access", data)
    except OSError:
        pytest.skip("this file system has no access control lists")
    assert attackers("sh", "-c", f"echo > {folder}/his && echo written") == "written\n"
    refused(root.export(folder / "pull.json"), f"others can replace a file in {folder}: the group root may write it")


def test_stdout_is_a_file_of_the_attacker(root: Root, shared: Path) -> None:
    file = shared / "out"
    file.touch(0o600)
    os.chown(file, ATTACKER, ATTACKER)
    command = [root.program, "export", "--format", "auth.json"]
    with file.open("wb") as out:
        done = subprocess.run(command, env=root.environ, stdout=out, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, file.read_bytes()) == (1, b"")
    assert done.stderr.decode() == (
        "error: stdout is a file that belongs to nobody\nhint: give --output FILE instead, which makes a private one\n"
    )
    with file.open("wb") as out:
        assert subprocess.run([*command, "--force"], env=root.environ, stdout=out, check=False).returncode == 0


# Files without secrets: a foreign link would choose which of root's files is overwritten.


@pytest.mark.parametrize(
    "command",
    [
        ("conformance", "--backend", "memory", "--check", "version", "--junit", "{link}"),
        ("docker", "enable"),
        ("docker", "disable"),
    ],
)
def test_no_foreign_link_chooses_what_is_overwritten(
    root: Root, shared: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    target, link = tmp_path / "target", shared / "config.json"
    text = '{"credsStore": "pass"}' if command[-1] == "disable" else "{}"
    target.write_text(text)
    link.symlink_to(target)
    os.chown(link, ATTACKER, ATTACKER, follow_symlinks=False)
    root.environ["DOCKER_CONFIG"] = str(shared)
    answer = root(*(word.format(link=link) for word in command))
    assert target.read_text() == text
    said = f"error: {link} is a symbolic link that belongs to nobody\nhint: remove it, or name another path\n"
    assert said in answer.err.decode()
    assert answer.code == 1


def test_the_owner_of_another_file_is_not_changed(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """root keeps a file's owner; the attacker has put a link to another file in the place of the temporary one."""
    target, victim = shared / "config.json", tmp_path / "victim"
    target.write_text("{}")
    os.chown(target, ATTACKER, ATTACKER)
    victim.write_text("root's")
    real = os.fsync

    def swap(descriptor: int) -> None:
        real(descriptor)
        for name in os.listdir(shared):
            if name != "config.json":
                (shared / name).unlink()
                (shared / name).symlink_to(victim)

    monkeypatch.setattr(os, "fsync", swap)
    userfile.replace(str(target), b"new", 0o600)
    assert victim.stat().st_uid == 0


def test_nor_where_a_runner_appends_its_settings(shared: Path, tmp_path: Path) -> None:
    target, link = tmp_path / "target", shared / "settings.env"
    link.symlink_to(target)
    handover.append({}, {"A": "/1"}, "/bin", str(link))
    os.chown(link, ATTACKER, ATTACKER, follow_symlinks=False)
    with pytest.raises(ConfigurationError, match="is a symbolic link that belongs to nobody; "):
        handover.append({}, {"A": "/2"}, "/bin", str(link))
    assert target.read_text() == "A=/1\n"
