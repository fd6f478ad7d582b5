"""podman, buildah and skopeo as an ordinary user: the first two call us as root of a user namespace.

The user has ids of its own for the namespace, a directory ``/run/user/UID``, in which gpg finds the agent, and a key
with a passphrase that only this agent knows. All of that lies in a directory of the test, which is mounted over the
machine's files for the user's programs alone.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import PASSPHRASE, KeyRing, Program, require, run
from support.clients.callers import Client, Recorder
from support.machines.jobs import agents
from support.machines.registries import USERS, upload

UID = 4242
NEEDED = ("podman", "buildah", "skopeo", "newuidmap", "unshare", "setpriv", "python3")
_ENTER = """
for name in passwd group subuid subgid; do mount --bind "$1/etc/$name" "/etc/$name"; done
[ -d /run/user ] || { mount -t tmpfs none /run; mkdir /run/user; }
mount --bind "$1/run" /run/user
shift
exec setpriv --reuid=4242 --regid=4242 --clear-groups -- "$@"
"""


class User:
    """An ordinary user, with a store that its key reads.

    Attributes:
        client: watches the helper.
        home: the home directory.
        enter: what to put before a command so that the user runs it.
    """

    def __init__(self, client: Client, folder: Path) -> None:
        self.client = client
        self.home = folder / "home"
        self._run = folder / "run"
        unshare = shutil.which("unshare") or "unshare"  # also where the user's PATH has none
        self.enter = [unshare, "--mount", "--propagation=private", "sh", "-euc", _ENTER, "sh", str(folder)]

    def __call__(self, *command: str, stdin: str = "", code: int | None = 0, **options: Any) -> str:
        """Run a command as the user."""
        return self.client(*self.enter, *command, stdin=stdin, code=code, cwd=self.home, **options)

    @property
    def agents(self) -> list[int]:
        """The user's gpg-agents."""
        return agents(str(self.home))

    @property
    def runtime(self) -> list[str]:
        """What lies in the runtime directories of root and of the user."""
        return sorted(str(path.relative_to(self._run)) for path in self._run.glob("*/*"))

    def end(self) -> None:
        """End what serves the user in the background: the agents, and the process that keeps podman's namespace."""
        numbers = self.agents
        file = self._run / str(UID) / "libpod" / "tmp" / "pause.pid"
        if file.exists():
            numbers.append(int(file.read_text()))
        for number in numbers:
            os.kill(number, signal.SIGKILL)


@pytest.fixture
def client(installed: Program, short_tmp: Path) -> Iterator[Client]:
    """A client whose helper everybody may run: the installed one, by the system's Python.

    The interpreter of the tests may be in a home that only its owner enters.
    """
    require(*NEEDED)
    if os.geteuid() != 0:
        pytest.skip("only root makes another user")
    folder = Path(tempfile.mkdtemp(prefix="u", dir=short_tmp))
    folder.chmod(0o755)
    venv = folder / "venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to("/usr/bin/python3")
    (venv / "pyvenv.cfg").write_text("home = /usr/bin\n")
    shutil.copy(installed.helper, venv / "bin")
    (venv / "lib" / "python").mkdir(parents=True)
    (venv / "lib" / "python" / "site-packages").symlink_to(next((installed.folder / "lib").glob("*/site-packages")))
    environ = {
        "HOME": f"{folder}/home",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LC_ALL": "C.UTF-8",
        "XDG_RUNTIME_DIR": f"/run/user/{UID}",
        "PASSHELPER_NONINTERACTIVE": "1",
        "BUILDAH_ISOLATION": "chroot",
    }
    recorder = Recorder(folder / "noted", str(venv / "bin" / "docker-credential-pass"))
    program = folder / "noted" / "docker-credential-pass"
    program.write_text(program.read_text().replace(sys.executable, "/usr/bin/python3", 1))
    yield Client(environ, recorder)
    shutil.rmtree(folder)


@pytest.fixture
def user(client: Client, keys: KeyRing, no_plain_text: Callable[[Path], None]) -> Iterator[User]:
    """The user, after ``passhelper setup --git --containers`` with a key that is locked."""
    home = Path(client.environ["HOME"])
    folder = home.parent
    (folder / "etc").mkdir()
    lines = {"passwd": [f"root:x:0:0::/root:/bin/sh\nu:x:{UID}:{UID}::{home}:/bin/sh"], "group": [f"u:x:{UID}:"]}
    for name in ("passwd", "group", "subuid", "subgid"):
        (folder / "etc" / name).write_text("\n".join(lines.get(name, ["u:200000:65536"])) + "\n")
    for path in (home, folder / "run" / "0", folder / "run" / str(UID), home / ".password-store"):
        path.mkdir(parents=True)
    keys.copy(home / ".gnupg")
    (home / ".password-store" / ".gpg-id").write_text(f"{keys['locked']}\n")
    (home / "message").write_bytes(keys.encrypt(b"", "locked"))
    file = home / ".config/containers/registries.conf.d/50-passhelper.conf"
    file.parent.mkdir(parents=True)
    file.write_text('credential-helpers = ["pass"]\n')
    for path in [home, *home.rglob("*"), folder / "run" / str(UID)]:
        os.chown(path, UID, UID, follow_symlinks=False)
        if path.is_dir():
            path.chmod(0o700)
    made = User(client, folder)
    trial = run([*made.enter, "podman", "--storage-driver=vfs", "unshare", "true"], client.environ, cwd=home)
    if trial.code != 0:
        pytest.skip(f"podman does not start without root here: {trial.err.decode().strip()}")
    made("git", "init", "-q", "-b", "main", ".password-store")
    made("git", "config", "--global", "user.name", "u")
    made("git", "config", "--global", "user.email", "u@example.test")
    yield made
    made.end()
    no_plain_text(folder)
    # What podman and buildah have written belongs to ids of the namespace.
    for path in home.rglob("*"):
        assert path.lstat().st_uid in {UID, *range(200000, 265536)}, path


@pytest.fixture
def unlocked(user: User) -> int:
    """The user has typed the passphrase, which their agent now knows; its process."""
    unlock = ["gpg", "--batch", "--quiet", "--pinentry-mode=loopback", "--passphrase-fd=0", "--decrypt", "message"]
    user(*unlock, stdin=PASSPHRASE)
    (agent,) = user.agents
    assert f"{UID}/gnupg" in user.runtime
    return agent


def test_podman(
    user: User, unlocked: int, works_with: Callable[..., None], registry: str, image: str, layout: Path
) -> None:
    """It is served by the user's own agent, and leaves no other: not in the namespace, not for its root."""
    upload(layout, registry, image)
    works_with("podman (rootless)", user("podman", "--version").split()[2])
    podman = ["podman", "--storage-driver=vfs"]
    name = f"{registry}/{image}:1"
    pull = [*podman, "pull", "--tls-verify=false", name]
    assert "unauthorized: authentication required" in user(*pull, code=125)
    login = [*podman, "login", "--tls-verify=false", "-u", "bob", "--password-stdin", registry]
    assert "Login Succeeded!\n" in user(*login, stdin=USERS["bob"])
    assert user.client.short == [f"get {registry} !", f"store {registry}"]
    user(*pull)
    assert user.client.short == [f"get {registry}"]
    (call,) = user.client.calls
    assert (call.user, call.environ["_CONTAINERS_ROOTLESS_UID"]) == (0, str(UID))
    assert json.loads(call.out) == {"ServerURL": registry, "Username": "bob", "Secret": USERS["bob"]}
    user(*podman, "push", "--tls-verify=false", name, f"{registry}/{image}:2")
    assert user.client.short == [f"get {registry}"]
    for _ in range(2):
        user(*podman, "logout", registry)
        assert user.client.short == [f"erase {registry}"]
    user(*podman, "pull", "--tls-verify=false", f"{registry}/{image}:2", code=125)
    log = user("git", "-C", ".password-store", "log", "--format=%s %ae", "--reverse").splitlines()
    assert [line.split(" for ")[0] for line in log] == ["Store credential", "Erase credential"]
    assert {line.split()[-1] for line in log} == {"u@example.test"}
    assert user.agents == [unlocked]
    assert not [path for path in user.runtime if path.startswith("0/")]
    assert list(user.home.rglob("auth.json")) == []


def test_buildah(
    user: User, unlocked: int, works_with: Callable[..., None], registry: str, image: str, layout: Path
) -> None:
    upload(layout, registry, image)
    works_with("buildah (rootless)", user("buildah", "--version").split()[2])
    buildah = ["buildah", "--storage-driver=vfs"]
    login = [*buildah, "login", "--tls-verify=false", "-u", "bob", "--password-stdin", registry]
    assert "Login Succeeded!\n" in user(*login, stdin=USERS["bob"])
    assert user.client.short == [f"get {registry} !", f"store {registry}"]
    user("mkdir", "context")
    text = f"FROM {registry}/{image}:1\nCOPY Containerfile /\n"
    user("sh", "-c", "cat > context/Containerfile", stdin=text)
    user(*buildah, "build", "--tls-verify=false", "-t", "built", "context")
    assert user.client.short == [f"get {registry}"]
    (call,) = user.client.calls
    assert (call.user, call.environ["_CONTAINERS_ROOTLESS_UID"]) == (0, str(UID))
    user(*buildah, "push", "--tls-verify=false", "built", f"docker://{registry}/{image}:2")
    assert user.client.short == [f"get {registry}"]
    user(*buildah, "logout", registry)
    assert user.client.short == [f"erase {registry}"]
    assert user.agents == [unlocked]


def test_skopeo(
    user: User, unlocked: int, works_with: Callable[..., None], registry: str, image: str, layout: Path
) -> None:
    """It needs no namespace for what it does with registries, so we are called as the user."""
    upload(layout, registry, image)
    works_with("skopeo (rootless)", user("skopeo", "--version").split()[2])
    user("skopeo", "login", "--tls-verify=false", "-u", "bob", "--password-stdin", registry, stdin=USERS["bob"])
    user("skopeo", "--insecure-policy", "copy", "--src-tls-verify=false", f"docker://{registry}/{image}:1", "dir:out")
    assert {(call.short, call.user) for call in user.client.calls} == {(f"get {registry}", UID)}
    assert user.agents == [unlocked]


def test_locked_key(user: User, registry: str) -> None:
    """An agent that does not know the passphrase is the user's own, too, so it can be told."""
    user("docker-credential-pass", "store", stdin=json.dumps({"ServerURL": registry, "Username": "u", "Secret": "s"}))
    said = user("podman", "--storage-driver=vfs", "pull", "--tls-verify=false", f"{registry}/team/app:1", code=125)
    assert said.count("is locked; run: passhelper unlock, or set PASSHELPER_PASSPHRASE_FILE") == 2
    (agent,) = user.agents
    assert f"{UID}/gnupg" in user.runtime
    user("gpg", "--batch", "--pinentry-mode=loopback", "--passphrase-fd=0", "--decrypt", "message", stdin=PASSPHRASE)
    user("podman", "--storage-driver=vfs", "unshare", "docker-credential-pass", "get", stdin=registry)
    assert json.loads(user.client.calls[0].out)["Secret"] == "s"
    assert user.agents == [agent]


def test_without_unshare(user: User, unlocked: int, registry: str) -> None:
    """Then gpg has to be root of the namespace, where that agent is out of reach, and the user reads why."""
    user("docker-credential-pass", "store", stdin=json.dumps({"ServerURL": registry, "Username": "u", "Secret": "s"}))
    programs = user.home.parent / "bin"
    programs.mkdir()
    for folder in ("/usr/bin", "/bin"):
        for name in set(os.listdir(folder)) - {"unshare"} - set(os.listdir(programs)):
            (programs / name).symlink_to(f"{folder}/{name}")
    user.client.environ["PATH"] = f"{user.client.environ['PATH'].partition(':')[0]}:{programs}"
    said = user("podman", "--storage-driver=vfs", "pull", "--tls-verify=false", f"{registry}/team/app:1", code=125)
    assert said.count(
        f" is locked; install unshare of util-linux 2.36 or newer: without it, the agent of user {UID} is out of reach"
    ) == 2  # fmt: skip


def test_the_variable_alone_changes_nothing(user: User, unlocked: int, registry: str) -> None:
    """A program that podman has started may start others, outside of its namespace."""
    require("strace")
    client = user.client
    client.environ["_CONTAINERS_ROOTLESS_UID"] = str(UID)
    user("docker-credential-pass", "store", stdin=json.dumps({"ServerURL": registry, "Username": "u", "Secret": "s"}))
    trace = ["strace", "-f", "-qq", "-e", "trace=execve", "-o", "trace"]
    user(*trace, "docker-credential-pass", "get", stdin=registry)
    assert client.short == [f"get {registry}"]
    text = (user.home / "trace").read_text()
    assert "/gpg" in text
    assert "unshare" not in text
