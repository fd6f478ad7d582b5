"""Where the recipes' jobs run: bare environments with a CI system's variables, beside a team's store and registry."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import urllib.request
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from support import FOLDER, OWN_GIT, PASSPHRASE, Answer, Helper, KeyRing, Program, run, tree
from support.machines.jobs import BARE_PATH, agents, git, secret_key
from support.machines.registries import trusting
from support.project.recipes import Recipe

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping
    from types import TracebackType

TEAM = ("team", "the team's secret")
TOKEN = "the job's own token"
USERS = {TEAM[0]: TEAM[1], "gitlab-ci-token": TOKEN, "octocat": TOKEN}
_READERS = ("locked", "bob")
_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_CONFIG = "application/vnd.docker.container.image.v1+json"


class Site:
    """What all jobs find: a registry with one image, a team's store with a credential for it, what they may install.

    Attributes:
        registry: its ``host:port``; it takes :data:`USERS`.
        image: in that registry.
        remote: the bare repository of the team's store.
        key: what stands in the CI secret: the runner's key and the public one of the other reader, in base64.
        readers: the fingerprints of the store's readers.
        requirements: a directory with our wheel, and the file that contrib/README.md makes of it.
    """

    def __init__(self, keys: KeyRing, wheel: Path, libraries: Path, registry: str, folder: Path) -> None:
        self.registry = registry
        self.image = f"{registry}/team/app:latest"
        # As contrib/README.md says to join them.
        both = secret_key(keys, "locked") + keys.gpg("--armor", "--export", keys["bob"]).stdout
        self.key = base64.b64encode(both).decode()
        self.readers = " ".join(keys[name] for name in _READERS)
        self.requirements = folder / "wheels"
        self._bin = folder / "bin"
        self._libraries = folder / "libraries"
        self._libraries.mkdir()
        for item in libraries.iterdir():
            if not item.name.startswith("passhelper"):
                (self._libraries / item.name).symlink_to(item)
        # Other projects' libraries, which pip cannot install without a network, come with a line in our own wheel.
        self.requirements.mkdir()
        with zipfile.ZipFile(shutil.copy(wheel, self.requirements), "a") as archive:
            archive.writestr("libraries.pth", f"{self._libraries}\n")
        (folder / "requirements.txt").write_text("")
        shell(["sh", "-euc", Recipe("README.md").take("README.md", "block 0")],
              {"PATH": BARE_PATH, "CONTRIB": str(folder)}, self.requirements)  # fmt: skip
        self._certificate = folder / "registry" / "cert.pem"
        _push_image(f"https://{registry}", "team/app", trusting(folder / "registry"))
        self.remote = folder / "remote.git"
        self._make_store(keys, folder / "work")
        self._head = git(self.remote, "rev-parse", "main")

    def _make_store(self, keys: KeyRing, work: Path) -> None:
        subprocess.run(["git", "init", "-q", "-b", "main", str(work)], check=True)
        (work / ".gpg-id").write_text("".join(f"{keys[name]}\n" for name in _READERS))
        place = work / FOLDER / base64.urlsafe_b64encode(self.registry.encode()).decode()
        place.mkdir(parents=True)
        (place / f"{TEAM[0]}.gpg").write_bytes(keys.encrypt(TEAM[1].encode(), *_READERS))
        git(work, "add", "--all")
        git(work, "commit", "-q", "-m", "Begin")
        subprocess.run(["git", "clone", "-q", "--bare", str(work), str(self.remote)], check=True)

    def environ(self, place: Path) -> dict[str, str]:
        """Make the environment of a bare machine in a short directory: a home, and pip that asks no index."""
        for name in ("h", "r"):
            (place / name).mkdir(mode=0o700, exist_ok=True)
        return {
            "HOME": str(place / "h"),
            "XDG_RUNTIME_DIR": str(place / "r"),
            "PATH": f"{self._bin}:{BARE_PATH}",
            "CI": "true",
            "SSL_CERT_FILE": str(self._certificate),
            "DOCKER_HOST": "unix:///nonexistent/docker.sock",
            "PIP_NO_INDEX": "1",
            "PIP_NO_DEPS": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PASSHELPER_REQUIREMENTS": str(self.requirements / "requirements.txt"),
            **OWN_GIT,
        }

    def check(self, place: Path, said: bytes, *, logins: int = 1) -> None:
        """Check that a job used both credentials, gave no secret away, and left nothing of itself.

        Args:
            place: its directory.
            said: everything in its log.
            logins: how often it logged in.
        """
        text = said.decode()
        assert text.count("Login Succeeded") == logins, text
        assert '"mediaType": "application/vnd.docker.distribution.manifest.v2+json"' in text, text
        for secret in (PASSPHRASE, TEAM[1], TOKEN, self.key[200:260]):
            assert secret not in text
        assert os.listdir(place / "r") == []
        assert agents(str(place)) == []
        assert [name for name in tree(place / "h") if not name.startswith(".cache")] == []
        assert git(self.remote, "rev-parse", "main") == self._head


def shell(command: list[str], environ: Mapping[str, str], folder: Path) -> Answer:
    """Run one step of a job, which must succeed."""
    answer = run(command, environ, timeout=90, cwd=folder)
    assert answer.code == 0, answer.out + answer.err
    return answer


def then_environ(answer: Answer) -> dict[str, str]:
    """Read what a step that ended with :data:`DUMP` left in its environment."""
    dumped = answer.out.partition(b"\n--environ--\n")[2]
    return dict(entry.split("=", 1) for entry in dumped.decode().split("\0") if "=" in entry)


DUMP = "\nprintf '\\n--environ--\\n'; env -0"


def private(path: Path, text: str, mode: int = 0o600) -> str:
    """Write a file as a CI system writes a secret one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def _push_image(url: str, name: str, context: ssl.SSLContext) -> None:
    """Put an image without layers into the registry, as the docker program would."""
    password = base64.b64encode(":".join(TEAM).encode()).decode()
    config = b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}'
    digest = f"sha256:{hashlib.sha256(config).hexdigest()}"

    def send(method: str, target: str, data: bytes, kind: str) -> str:
        headers = {"Authorization": f"Basic {password}", "Content-Type": kind}
        request = urllib.request.Request(target, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=20, context=context) as answer:
            return str(answer.headers.get("Location", ""))

    upload = send("POST", f"{url}/v2/{name}/blobs/uploads/", b"", "application/octet-stream")
    send("PUT", f"{upload}&digest={digest}", config, "application/octet-stream")
    manifest = {
        "schemaVersion": 2, "mediaType": _MANIFEST, "layers": [],
        "config": {"mediaType": _CONFIG, "size": len(config), "digest": digest},
    }  # fmt: skip
    send("PUT", f"{url}/v2/{name}/manifests/latest", json.dumps(manifest).encode(), _MANIFEST)


# As in a container of Docker's, no program may run in /dev/shm.
_VIEW = """\
set -eu
mkdir "$1/view"
mount -t tmpfs none "$1/view"
cd "$1/view"
mkdir upper work root
mount -t overlay overlay -o lowerdir=/,upperdir=$PWD/upper,workdir=$PWD/work root
mount --rbind /dev root/dev
mount -t tmpfs -o noexec,nosuid,nodev,mode=1777 none root/dev/shm
mount -t proc proc root/proc
mount --bind "$1" "root$1"
echo ready
exec chroot root cat
"""


class View:
    """This machine's files, copy on write: what root changes in here, and every process of it, is gone afterwards.

    The directory that it is made in is the one thing that it shares with the world outside.
    """

    def __init__(self, place: Path) -> None:
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", _VIEW, "view", str(place)],
            env={"PATH": f"/usr/sbin:/sbin:{BARE_PATH}"}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self._holder.stdout
        assert self._holder.stdout.readline() == b"ready\n"
        holder = self._holder.pid
        init = int(Path(f"/proc/{holder}/task/{holder}/children").read_text())
        self._enter = ["nsenter", f"--target={init}", "--mount", "--pid", "--root"]
        self._root = f"/proc/{init}/root"

    def outside(self, path: str) -> Path:
        """Name a file of it for whoever is outside and only reads."""
        return Path(self._root + path)

    def __call__(
        self, command: list[str], environ: Mapping[str, str], stdin: bytes = b"", *, user: str = "", timeout: float = 60
    ) -> Answer:
        """Run a program in it, in ``/``, as root or as another user.

        Args:
            command: its name, looked up in the environment's ``PATH``, and its arguments.
            environ: all that it sees.
            stdin: what it reads.
            user: a user's or a number's name; nothing for root.
            timeout: seconds.
        """
        as_user = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"] if user else []
        words = ["env", "-i", "--chdir=/", *(f"{name}={value}" for name, value in environ.items()), *command]
        outside = {"PATH": f"/usr/sbin:/sbin:{BARE_PATH}"}
        return run([*self._enter, *as_user, *words], outside, stdin, timeout=timeout)

    def __enter__(self) -> View:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._holder.kill()  # and with it its child, the first process in there, and so all of them
        self._holder.communicate()


class Member:
    """A member of a team, whose store is at a remote.

    Attributes:
        keys: the member's keyring; the store is encrypted to ``alice``.
        remote: the bare repository.
    """

    def __init__(self, installed: Program, environ: dict[str, str], keys: KeyRing, store: Path, remote: Path) -> None:
        self._installed = installed
        self._environ = environ
        self.keys = keys
        self._store = store
        self.remote = remote
        subprocess.run(["git", "clone", "-q", "--bare", str(store), str(remote)], check=True)
        git(remote, "config", "core.sharedRepository", "world")
        git(store, "remote", "add", "origin", str(remote))
        git(store, "fetch", "-q")
        git(store, "branch", "-q", "--set-upstream-to", "origin/main")

    def store(self, server: str, username: str, secret: str, *readers: str) -> None:
        """Store a credential; for some of the run's keys only, where they are named."""
        if readers:
            folder = self._store / FOLDER / base64.urlsafe_b64encode(server.encode()).decode()
            folder.mkdir(parents=True)
            (folder / ".gpg-id").write_text("".join(f"{self.keys[name]}\n" for name in readers))
            git(self._store, "add", "--all")
            git(self._store, "commit", "-q", "-m", "Readers")
            self("recipients", "accept", "--yes")
        assert Helper(self._installed.helper, self._environ).store(server, username, secret).code == 0
        self("sync")

    def __call__(self, *words: str) -> None:
        """Run a command of passhelper, which must succeed."""
        answer = run([self._installed.passhelper, *words], self._environ)
        assert answer.code == 0, answer

    def let_in(self, key: Path) -> None:
        """Let somebody in whose public key is in a file."""
        self("recipients", "add", str(key))
        self("sync")
