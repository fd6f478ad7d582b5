"""A real Docker engine on a socket of its own, and images made on the spot: nothing can be pulled.

``python tests/support/machines/engines.py start DIR`` and ``stop DIR`` are what ``.ci/run`` calls.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_OPTIONS = ("--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver=vfs")
_SECONDS = 30
BUSYBOX = "/bin/busybox"


class NoEngineError(Exception):
    """The engine does not start; the message holds the end of its log."""


@dataclass(frozen=True)
class Engine:
    """An engine whose files are all in one directory."""

    folder: Path

    @property
    def host(self) -> str:
        """What ``DOCKER_HOST`` is set to."""
        return f"unix://{self.folder}/sock"

    @classmethod
    def start(cls, folder: Path) -> Engine:
        """Start an engine as root, without networks of its own.

        Args:
            folder: a directory to make, with a short path: it holds a unix socket.

        Raises:
            NoEngineError: it does not start.
        """
        folder.mkdir()
        (folder / "config.json").write_text("{}")  # or it would read the machine's own
        places = ["--config-file", f"{folder}/config.json", "--data-root", f"{folder}/data"]
        places += ["--exec-root", f"{folder}/exec", "--pidfile", f"{folder}/pid", "-H", f"unix://{folder}/sock"]
        environ = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(folder)}
        # It belongs to no process of ours: it serves all workers of a run, and the first to need it may end first.
        background = 'log=$1; shift; "$@" > "$log" 2>&1 < /dev/null & echo $!'
        started = subprocess.run(
            ["sh", "-c", background, "sh", f"{folder}/log", "dockerd", *places, *_OPTIONS],
            env=environ, stdout=subprocess.PIPE, check=True, start_new_session=True,
        )  # fmt: skip
        engine = cls(folder)
        end = time.monotonic() + _SECONDS
        while time.monotonic() < end and _alive(int(started.stdout)):
            if (folder / "sock").exists() and engine.docker("version", check=False).returncode == 0:
                return engine
            time.sleep(0.05)
        engine.stop()
        raise NoEngineError("\n".join((folder / "log").read_text().splitlines()[-5:]))

    def stop(self) -> None:
        """End the engine, its containers and its own containerd, and unmount what an engine that failed has left."""
        with contextlib.suppress(OSError, ValueError):
            pid = int((self.folder / "pid").read_text())
            os.kill(pid, signal.SIGTERM)
            end = time.monotonic() + _SECONDS
            while time.monotonic() < end and _alive(pid):
                time.sleep(0.05)
        mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        for mount in sorted((path for path in mounts if path.startswith(f"{self.folder}/")), reverse=True):
            subprocess.run(["umount", "--lazy", mount], check=False, capture_output=True)

    def docker(self, *arguments: str, stdin: bytes = b"", check: bool = True) -> subprocess.CompletedProcess[bytes]:
        """Run Docker's command against this engine, with no credentials."""
        environ = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(self.folder), "DOCKER_HOST": self.host}
        return subprocess.run(["docker", *arguments], env=environ, input=stdin, capture_output=True, check=check)

    def make_image(self, name: str, programs: dict[str, str], *changes: str) -> None:
        """Make an image from this machine's programs.

        Args:
            name: the image's name with its tag.
            programs: paths in the image, and the files of this machine that come there with their libraries.
            changes: instructions such as ``CMD ["/bin/sh"]``.
        """
        files = dict(programs)
        for program in programs.values():
            files |= {library.lstrip("/"): library for library in _libraries(program)}
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w", dereference=True) as tar:
            for path, source in files.items():
                tar.add(source, path)
            marker = tarfile.TarInfo("etc/made-for")  # images of different names are different images
            marker.size = len(name)
            tar.addfile(marker, io.BytesIO(name.encode()))
        said = [word for change in changes for word in ("--change", change)]
        self.docker("import", *said, "-", name, stdin=packed.getvalue())

    def make_shell_image(self, name: str) -> None:
        """Make an image with ``/bin/sh`` and what busybox has besides."""
        self.make_image(name, {"bin/sh": BUSYBOX, "bin/true": BUSYBOX}, 'CMD ["/bin/sh"]')

    def push(self, image: str, user: str, password: str) -> None:
        """Put an image into its registry, without a helper."""
        login = base64.b64encode(f"{user}:{password}".encode()).decode()
        with tempfile.TemporaryDirectory() as config:
            Path(config, "config.json").write_text(json.dumps({"auths": {image.partition("/")[0]: {"auth": login}}}))
            self.docker("--config", config, "push", image)

    @contextlib.contextmanager
    def private_image(self, registry: str, user: str, password: str) -> Iterator[str]:
        """Make an image with a shell that is in a registry and not here; remove all of the registry's from here."""
        name = f"{registry}/team/base:1"
        self.make_shell_image(name)
        self.push(name, user, password)
        self.remove_images(f"{registry}/*/*")
        try:
            yield name
        finally:
            self.remove_images(f"{registry}/*/*")

    def remove_images(self, reference: str) -> None:
        """Remove all images whose name matches a pattern such as ``host:port/*/*``."""
        found = self.docker(
            "images", "--filter", f"reference={reference}", "--format", "{{.ID}} {{.Repository}}:{{.Tag}}"
        )
        names = [line.split()[0 if "<none>" in line else 1] for line in found.stdout.decode().splitlines()]
        if names:
            self.docker("rmi", "--force", *names)

    def left_by(self, project: str, *images: str) -> list[str]:
        """List what a project of Compose has left: containers, networks, volumes, and images of some prefixes."""
        label = f"label=com.docker.compose.project={project}"
        listings = {
            "container": ["ps", "--all", "--filter", label],
            "network": ["network", "ls", "--filter", label],
            "volume": ["volume", "ls", "--filter", label],
            **{f"image {prefix}": ["images", "--filter", f"reference={prefix}/**"] for prefix in images},
        }
        return [
            f"{kind} {name}"
            for kind, listing in listings.items()
            for name in self.docker(*listing, "--quiet").stdout.decode().split()
        ]


def _libraries(program: str) -> list[str]:
    said = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
    return [word for word in said.stdout.split() if word.startswith("/")]


def _alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def main(action: str, folder: str) -> int:
    """Start or stop an engine from a shell script."""
    if action == "stop":
        Engine(Path(folder)).stop()
        shutil.rmtree(folder, ignore_errors=True)
        return 0
    try:
        Engine.start(Path(folder))
    except (NoEngineError, OSError) as error:
        print(f"the engine does not start: {error}", file=sys.stderr)  # noqa: T201 - a command's own words
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
