"""A host that is reached by ssh: a real server on loopback, and one that lets everybody in."""

from __future__ import annotations

import socket
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from support import require
from support.programs import script

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class SshHost:
    """An ssh server that knows no user's key.

    Attributes:
        port: where it listens on 127.0.0.1.
    """

    def __init__(self, folder: Path, port: int) -> None:
        self._known = folder / "known_hosts"
        self.port = port

    def url(self, path: str = "/store.git") -> str:
        return f"ssh://me@127.0.0.1:{self.port}{path}"

    def client(self, *options: str) -> str:
        """The ssh command of a user who has nothing but a file of known hosts."""
        return " ".join(["ssh", "-F", "none", f"-oUserKnownHostsFile={self._known}", *options])

    def is_known(self, key: str) -> None:
        """Let the user know a key of this host that it does not have, or none."""
        self._known.write_text(f"[127.0.0.1]:{self.port} {key}\n" if key else "")


@contextmanager
def ssh_host(folder: Path) -> Iterator[SshHost]:
    """Start a server, and end it."""
    require("dropbear", "dropbearkey", "ssh", "ssh-keygen")
    folder.mkdir()
    key = folder / "host_key"
    subprocess.run(["dropbearkey", "-t", "ed25519", "-f", str(key)], check=True, capture_output=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["dropbear", "-F", "-E", "-r", str(key), "-p", f"127.0.0.1:{port}", "-P", str(folder / "pid")]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
                break
            except ConnectionRefusedError:
                assert server.poll() is None
                time.sleep(0.02)
        yield SshHost(folder, port)
    finally:
        server.terminate()
        server.wait()


def anybody(path: Path) -> str:
    """Write an ssh that is logged in at once and runs on this machine what it is told: real git at both ends."""
    return script(path, 'for last; do :; done\nexec sh -c "$last"')
