"""Repositories on loopback, for as long as they are needed."""

from __future__ import annotations

import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def daemon(folder: Path) -> Iterator[int]:
    """Serve all repositories of a folder, for reading and writing, on a free loopback port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder.mkdir()
    # Not through git itself: that would stay as its parent, and a signal to it would leave the daemon behind.
    programs = Path(subprocess.run(["git", "--exec-path"], check=True, capture_output=True).stdout.decode().strip())
    options = ["--reuseaddr", "--listen=127.0.0.1", f"--port={port}", "--max-connections=0", "--enable=receive-pack"]
    command = [str(programs / "git-daemon"), *options, f"--base-path={folder}", str(folder)]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield port
    finally:
        server.terminate()
        server.wait()
