"""What the tests share: keys, the installed programs, and how to run them."""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FOLDER = "docker-credential-helpers"
GO_HELPER = "/usr/bin/docker-credential-pass"
# Debian 12 has pip 23.0.1, which does not run on a Python that came after it.
OLD_PIP = "pip==23.0.1" if sys.version_info < (3, 12) else "pip==23.3.2"
PASSPHRASE = "correct horse battery"
# What a machine says in its own git settings (git-lfs puts filters there) is not part of a test.
OWN_GIT = {"GIT_CONFIG_NOSYSTEM": "1"}
NOT_FOUND = b"credentials not found in native keychain\n"


def require(*programs: str) -> None:
    """Skip the test, with the reason, where a program is missing."""
    for program in programs:
        if shutil.which(program, path="/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin") is None:
            pytest.skip(f"{program} is not installed")


def require_account() -> None:
    """Skip where this user has no line in the password database, which a session bus wants."""
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        pytest.skip(f"uid {os.geteuid()} has no account, and dbus-daemon wants one")


def dockers() -> list[str]:
    """The docker programs that tests drive: Debian's, and the newer one that ``.ci/clients`` has fetched.

    What else a machine has on PATH nobody could run again.
    """
    newer = Path(os.environ.get("PASSHELPER_TEST_CLIENTS", "/nonexistent"), "debian/usr/bin/docker")
    return ["/usr/bin/docker", *([str(newer)] if newer.exists() else [])]


def require_go_helper() -> str:
    """Skip where Docker's own helper or ``pass`` is missing."""
    if not Path(GO_HELPER).exists():
        pytest.skip("golang-docker-credential-helpers is not installed")
    require("pass")
    return GO_HELPER


class Once:
    """Makes directories that all workers of a test run share; the first that needs one makes it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, name: str, make: Callable[[Path], object]) -> Path:
        path, done = self._folder / name, self._folder / f"{name}.done"
        with (self._folder / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                make(path)
                done.touch()
        return path


_NAMES = "names.json"  # in a home that KeyRing.generate made


class KeyRing:
    """Throw-away keys by name.

    ``alice`` and ``bob`` have no passphrase; ``locked`` has :data:`PASSPHRASE`; ``expired`` expired in
    2020; ``signer`` can only sign; ``stranger`` has a public key here and no secret one. ``missing``
    is a fingerprint of which there is no key at all.
    """

    _TEMPLATE = """\
        %%no-protection
        Key-Type: eddsa
        Key-Curve: ed25519
        Key-Usage: sign
        %s
        Name-Real: %s
        Name-Email: %s@example.test
        Expire-Date: 0
        %%commit
        """
    _SUBKEY = "Subkey-Type: ecdh\nSubkey-Curve: cv25519\nSubkey-Usage: encrypt"

    def __init__(self, home: Path, fingerprints: dict[str, str]) -> None:
        self.home = home
        self.fingerprints = fingerprints

    def __getitem__(self, name: str) -> str:
        return self.fingerprints[name]

    @property
    def environ(self) -> dict[str, str]:
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "GNUPGHOME": str(self.home),
            "HOME": str(self.home),
            "LC_ALL": "C",
        }

    def gpg(self, *arguments: str, stdin: bytes = b"", check: bool = True) -> subprocess.CompletedProcess[bytes]:
        command = ["gpg", "--batch", "--quiet", "--yes", "--no-auto-key-locate", *arguments]
        return subprocess.run(command, env=self.environ, input=stdin, capture_output=True, check=check)

    @classmethod
    def load(cls, home: Path) -> KeyRing:
        """Use keys that :meth:`generate` has made, maybe in another process."""
        return cls(home, json.loads((home / _NAMES).read_text()))

    @classmethod
    def generate(cls, home: Path) -> None:
        """Make the keys."""
        home.mkdir(mode=0o700)
        # Measuring how often to hash a passphrase takes an agent up to three seconds, hashing it as often a half.
        (home / "gpg-agent.conf").write_text("s2k-count 65536\n")
        ring = cls(home, {"missing": "DEADBEEF" * 5})
        for name in ("alice", "bob", "stranger"):
            ring._generate(name, cls._SUBKEY)
        ring._generate("signer", "")
        locked = (cls._TEMPLATE % (cls._SUBKEY, "locked", "locked")).replace("%no-protection", "")
        ring.gpg("--gen-key", stdin=locked.replace("%commit", f"Passphrase: {PASSPHRASE}\n%commit").encode())
        ring._remember("locked")
        past = ["--faked-system-time", "20200101T000000", "--passphrase", ""]
        ring.gpg(*past, "--quick-gen-key", "expired <expired@example.test>", "future-default", "default", "2d")
        ring._remember("expired")
        public = ring.gpg("--export", ring["stranger"]).stdout
        ring.gpg("--delete-secret-keys", ring["stranger"])
        assert public
        ring.stop_agent()
        (home / _NAMES).write_text(json.dumps(ring.fingerprints))

    def _generate(self, name: str, subkey: str) -> None:
        self.gpg("--gen-key", stdin=(self._TEMPLATE % (subkey, name, name)).encode())
        self._remember(name)

    def _remember(self, name: str) -> None:
        listing = self.gpg("--with-colons", "--list-keys", f"{name}@example.test").stdout.decode()
        self.fingerprints[name] = next(line.split(":")[9] for line in listing.splitlines() if line.startswith("fpr"))

    def copy(self, home: Path) -> KeyRing:
        """Copy the keys into another home; its agent starts without any passphrase."""
        shutil.copytree(self.home, home, dirs_exist_ok=True, ignore=shutil.ignore_patterns("S.*", "*.lock", ".#*"))
        home.chmod(0o700)
        return KeyRing(home, dict(self.fingerprints))

    def stop_agent(self) -> None:
        subprocess.run(["gpgconf", "--kill", "all"], env=self.environ, check=False, capture_output=True)

    def encrypt(self, data: bytes, *recipients: str, options: tuple[str, ...] = ()) -> bytes:
        """Encrypt as ``pass`` would: to keys by name, without a binding."""
        to = [word for name in recipients for word in ("-r", self.fingerprints.get(name, name))]
        return self.gpg("--trust-model", "always", *options, *to, "--encrypt", stdin=data).stdout


@dataclass(frozen=True)
class Program:
    """An installation of the wheel."""

    folder: Path

    @property
    def helper(self) -> str:
        return str(self.folder / "bin" / "docker-credential-pass")

    @property
    def passhelper(self) -> str:
        return str(self.folder / "bin" / "passhelper")

    @property
    def python(self) -> str:
        return str(self.folder / "bin" / "python")

    @classmethod
    def install(cls, wheel: Path, folder: Path, *, libraries: Path, pip: str = "") -> Program:
        """Install the wheel without its libraries, which are found where this interpreter has them.

        Args:
            wheel: what to install.
            folder: the virtual environment to make.
            libraries: site-packages that hold click, GitPython and the rest.
            pip: a requirement such as ``pip==23.0.1``, where the interpreter's own pip is not wanted.
        """
        bare = ["--without-pip"] if pip else []
        subprocess.run([sys.executable, "-m", "venv", *bare, str(folder)], check=True, capture_output=True)
        program = cls(folder)
        environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        if pip:
            into = [sys.executable, "-m", "pip", "--python", program.python, "install", "-q", pip]
            subprocess.run(into, check=True, env=environ, capture_output=True)
        command = [program.python, "-m", "pip", "install", "-q", "--no-deps", "--no-index", str(wheel)]
        subprocess.run(command, check=True, env=environ, capture_output=True)
        site = next((folder / "lib").glob("python*/site-packages"))
        # After the wheel's own packages, so that an editable install beside the libraries stays hidden.
        (site / "libraries.pth").write_text(f"{libraries}\n")
        return program


@dataclass
class Answer:
    """What a program said."""

    code: int
    out: bytes
    err: bytes
    seconds: float

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def text(self) -> str:
        return self.out.decode()


def run(
    command: list[str], environ: Mapping[str, str], stdin: bytes = b"", timeout: float = 60, **options: Any
) -> Answer:
    """Run a program without a terminal and collect what it says."""
    begin = time.monotonic()
    done = subprocess.run(
        command, env=dict(environ), input=stdin, capture_output=True, timeout=timeout, check=False,
        start_new_session=True, **options,
    )  # fmt: skip
    return Answer(done.returncode, done.stdout, done.stderr, time.monotonic() - begin)


class Helper:
    """A docker-credential-* program in one environment."""

    def __init__(self, program: str, environ: dict[str, str]) -> None:
        self.program = program
        self.environ = environ

    def __call__(self, verb: str, stdin: bytes | str = b"", **environ: str) -> Answer:
        data = stdin.encode() if isinstance(stdin, str) else stdin
        return run([self.program, verb], {**self.environ, **environ}, data)

    def store(self, server: str, username: str, secret: str, **environ: str) -> Answer:
        request = {"ServerURL": server, "Username": username, "Secret": secret}
        return self("store", json.dumps(request), **environ)

    def get(self, server: str, **environ: str) -> Answer:
        return self("get", server, **environ)

    def erase(self, server: str, **environ: str) -> Answer:
        return self("erase", server, **environ)

    def list(self, **environ: str) -> Answer:
        return self("list", **environ)


def tree(path: Path) -> dict[str, bytes]:
    """Every file and directory below a path with its content, for "nothing has changed"."""
    return {
        str(item.relative_to(path)): item.read_bytes() if item.is_file() and not item.is_symlink() else b""
        for item in sorted(path.rglob("*"))
    }


def running(marker: str) -> list[str]:
    """The processes whose command line holds a word."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if marker.encode() in file.read():
                    found.append(pid)
        except OSError:
            continue
    return found
