"""What git complains of: the line that says why, whichever git of ours has met it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.machines.sshhosts import SshHost, anybody, ssh_host
from support.people.clones import Clone, Team
from support.programs import script

from passhelper.doctor import git_checks
from passhelper.doctor.context import Context
from passhelper.errors import GitError, RemoteError
from passhelper.setup.sharedstore import SharedStore
from passhelper.store import gitwords
from passhelper.store.store import PassStore
from passhelper.team.sync import clone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEYS = ("compare the host's key with what its owner publishes, and put it into known_hosts; ssh HOST asks for it",
        "ask whoever runs that host whether its key has changed; only then run: ssh-keygen -R HOST",
        "let that host know this user's ssh key, or name another one: GIT_SSH_COMMAND='ssh -i FILE'")  # fmt: skip


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshHost]:
    with ssh_host(tmp_path_factory.mktemp("ssh") / "host") as made:
        yield made


# Every git of ours that talks to a remote: gives what it says and what it advises.


def _sync(ann: Clone, _: str) -> tuple[str, str]:
    with pytest.raises(RemoteError, match=r"^the remote origin cannot be fetched from: ") as caught:
        ann.sync()
    return caught.value.cause, caught.value.remedy


def _verb(ann: Clone, _: str) -> tuple[str, str]:
    ann.environ["PASSHELPER_SYNC"] = "push"
    ann.store("https://pushed.example")
    (warning,) = ann.warnings
    return warning, ""


def _doctor(ann: Clone, _: str) -> tuple[str, str]:
    (found,) = git_checks._remote(Context(ann.environ, 30))
    return found.cause, found.remedy


def _clone(ann: Clone, url: str) -> tuple[str, str]:
    """As ``setup --ci`` does."""
    store = PassStore({**ann.environ, "PASSWORD_STORE_DIR": f"{ann.path}-cloned"}, print)
    with pytest.raises(RemoteError, match=r"^git cannot clone ") as caught:
        clone.clone(store, clone.Source(url))
    return caught.value.cause, caught.value.remedy


def _join(ann: Clone, url: str) -> tuple[str, str]:
    """As ``setup --git`` does."""
    store = PassStore({**ann.environ, "PASSWORD_STORE_DIR": f"{ann.path}-joined"}, print)
    with pytest.raises(RemoteError, match=r"^git cannot read ") as caught:
        SharedStore(store, clone.Source(url), is_whole=False).obtain()
    return caught.value.cause, caught.value.remedy


TALKERS = [_sync, _verb, _doctor, _clone, _join]
if TYPE_CHECKING:
    Talker = Callable[[Clone, str], tuple[str, str]]


def said(ann: Clone, talk: Talker, url: str, ssh: str) -> tuple[str, str]:
    """What one of them says about a remote."""
    ann.git("remote", "set-url", "origin", url)
    ann.environ["GIT_SSH_COMMAND"] = ssh
    cause, remedy = talk(ann, url)
    for useless in ("and the repository exists", "Could not read from remote", "access rights"):
        assert useless not in cause
    return cause, remedy


@pytest.mark.parametrize("talk", TALKERS)
def test_ssh_says_why(ann: Clone, host: SshHost, talk: Talker, tmp_path: Path) -> None:
    host.is_known("")
    cause, remedy = said(ann, talk, host.url(), host.client())
    assert cause.endswith(": Host key verification failed.")
    assert remedy in ("", KEYS[0])

    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "other")], check=True)
    host.is_known(" ".join((tmp_path / "other.pub").read_text().split()[:2]))
    ann.warnings.clear()
    cause, remedy = said(ann, talk, host.url(), host.client())
    changed = f"Host key for [127.0.0.1]:{host.port} has changed and you have requested strict checking."
    assert cause.endswith(f": {changed}; Host key verification failed.")
    assert remedy in ("", KEYS[1])

    ann.warnings.clear()
    cause, remedy = said(ann, talk, host.url(), host.client("-oStrictHostKeyChecking=no", "-oUserKnownHostsFile=none"))
    assert "me@127.0.0.1: Permission denied (publickey" in cause
    assert "Permanently added" not in cause
    assert remedy in ("", KEYS[2])

    ann.warnings.clear()
    cause, remedy = said(ann, talk, "ssh://me@127.0.0.1:1/store.git", host.client())
    assert cause.endswith(": ssh: connect to host 127.0.0.1 port 1: Connection refused")


@pytest.mark.parametrize("talk", TALKERS)
def test_git_at_the_other_end_says_why(ann: Clone, team: Team, talk: Talker, tmp_path: Path) -> None:
    ssh = anybody(tmp_path / "ssh")
    cause, _ = said(ann, talk, f"ssh://me@git.example{tmp_path}/nowhere", ssh)
    assert cause.endswith(f": fatal: '{tmp_path}/nowhere' does not appear to be a git repository")
    if os.geteuid() != 0:
        pytest.skip("only root makes files of another owner")
    for path in (team.remote, *team.remote.rglob("*")):
        os.chown(path, 1234, 1234)
    for url in (f"ssh://me@git.example{team.remote}", str(team.remote)):
        ann.warnings.clear()
        cause, remedy = said(ann, talk, url, ssh)
        assert cause.endswith(f": fatal: detected dubious ownership in repository at '{team.remote}'")
        advice = "run, as the user who serves it: git config --global --add safe.directory PATH"
        assert remedy in ("", advice)
    ann.git("config", "--global", "--add", "safe.directory", str(team.remote))  # typed, it helps
    ann.sync()


# A push that the server does not take


def refusing(team: Team, text: str) -> None:
    (team.remote / "hooks").mkdir(exist_ok=True)
    script(team.remote / "hooks" / "pre-receive", text)


PROTECTED = r"""
echo 'error: GH006: Protected branch update failed for refs/heads/main.'
echo
echo '============' >&2
printf 'see \033[1mhttps://me:hunter2@git.example/rules\033[0m\n'
exit 1
"""
WHY = (
    "pre-receive hook declined (the server says: error: GH006: Protected branch update failed for "
    "refs/heads/main.; see ?[1mhttps://git.example/rules?[0m)"
)


def test_what_the_server_says_of_a_refused_push_is_kept(team: Team, ann: Clone) -> None:
    refusing(team, PROTECTED)
    ann.environ["PASSHELPER_SYNC"] = "push"
    ann.store()
    assert [warning.rpartition("pushes it: ")[2] for warning in ann.warnings] == [WHY]
    with pytest.raises(RemoteError) as caught:
        ann.sync()
    assert caught.value.cause == f"origin/main does not take the push: {WHY}"
    assert caught.value.remedy == "ask whoever runs the remote; the commits stay here"


def test_a_first_push_that_the_server_refuses(team: Team, git_store: Path) -> None:
    """``setup --git URL`` of an empty remote."""
    refusing(team, PROTECTED)
    store = PassStore({**team.environ, "PASSWORD_STORE_DIR": str(git_store)}, print)
    with pytest.raises(RemoteError) as caught:
        SharedStore(store, clone.Source(str(team.remote)), is_whole=False).publish()
    assert caught.value.cause == f"git cannot push to {team.remote}: {WHY}"


def test_a_server_that_says_much_is_cut_short(team: Team, ann: Clone) -> None:
    refusing(team, "seq 1 100; exit 1")
    ann.store()
    with pytest.raises(RemoteError, match=r"\(the server says: 1; 2; 3; 4; 5; 6; \.\.\.\);"):
        ann.sync()


# This end


def test_a_git_that_fails_here_says_the_first_thing(ann: Clone) -> None:
    (ann.path / ".git" / "index").write_bytes(b"no index")
    with pytest.raises(GitError, match=r"git \S+ failed in \S+: (error|fatal): .*index"):
        ann.sync()
    ann.warnings.clear()
    ann.store()
    (warning,) = ann.warnings
    assert "index file" in warning


def test_a_store_of_somebody_else(ann: Clone) -> None:
    """The remedy is one that helps, spaces in the path or not."""
    if os.geteuid() != 0:
        pytest.skip("only root makes files of another owner")
    odd = ann.path.with_name("a store")
    ann.path.rename(odd)
    there = Clone({**ann.environ, "PASSWORD_STORE_DIR": str(odd)})
    os.chown(odd / ".git", 1234, 1234)
    with pytest.raises(GitError) as caught:
        there.sync()
    assert caught.value.cause == "git refuses the store: it belongs to uid 1234"
    command = caught.value.remedy.removeprefix("run: ")
    there.store()
    (warning,) = there.warnings
    assert command in warning
    subprocess.run(["sh", "-c", command], check=True, env=ann.environ)
    there.sync()


_GONE = "fatal: Could not read from remote repository."
_ADVICE = f"{_GONE}\n\nPlease make sure you have the correct access rights\nand the repository exists.\n"
_NO_SSH = "error: cannot run nossh: No such file or directory"
_HTTP = "error: RPC failed; HTTP 413 curl 22"
_ABSENT = "fatal: repository 'https://h.example/x/' not found"
_LATE = (
    "To ssh://h/x\n ! [rejected]        main -> main (fetch first)\nerror: failed to push some refs to 'h'\nhint: no\n"
)
_FORGE = "remote: \nremote: ====\nremote: ERROR: no such project\nremote: ====\nremote: \n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "exit status 3"),
        ("\n ' \n====\n", "exit status 3"),
        (_ADVICE, _GONE),
        (f"{_NO_SSH}\n{_NO_SSH}\nfatal: unable to fork\n", _NO_SSH),
        (f"{_HTTP}\nfatal: the remote end hung up unexpectedly\n", _HTTP),
        (f"remote: Not Found\n{_ABSENT}\n", f"{_ABSENT} (the server says: Not Found)"),
        (f"{_FORGE}{_ADVICE}", "ERROR: no such project"),
        ("remote: Enumerating objects: 3, done.\rremote: Total 3 (delta 0)\nfatal: early EOF\n", "fatal: early EOF"),
        (_LATE, "rejected: fetch first"),
        ("!\tHEAD:refs/heads/a(b\t[remote rejected] (hook declined (twice))\n", "hook declined (twice)"),
        ("! odd", "odd"),
        ("fatal: no password for 'https://tok@h.example'\n", "fatal: no password for 'https://h.example'"),
        ("a\x1b[31m://u@h", "a?[31m://h"),
    ],
)
def test_which_lines_count(text: str, expected: str) -> None:
    assert gitwords.reason(text, 3) == expected
    assert gitwords.reason(text.encode(), 3) == expected


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://u:hunter2@h/x", "https://h/x"),
        ("https://p@h.example and ssh://u:q@h2:22/y x@z", "https://h.example and ssh://h2:22/y x@z"),
        ("'https://u:hun/ter2@h/x': no", "'https://h/x': no"),
        ("https://u:hun#ter2@h/x", "https://h/x"),
        ("https://u:hun@ter2@h/x and http://hunter2@g/", "https://h/x and http://g/"),
        ("https://h:8443/a@b https://h/a@b me@h:x", "https://h:8443/a@b https://h/a@b me@h:x"),
    ],
)
def test_passwords_of_urls(text: str, shown: str) -> None:
    assert gitwords.without_passwords(text) == shown
