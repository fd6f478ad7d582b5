"""Who can really read a file: gpg with one person's key and no other."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from support import FOLDER, KeyRing, run

if TYPE_CHECKING:
    from collections.abc import Iterable


class Reader:
    """One person's machine: a keyring that holds one secret key.

    Args:
        keys: where it comes from.
        name: whose.
        folder: where a keyring may be made.
    """

    def __init__(self, keys: KeyRing, name: str, folder: Path) -> None:
        home = Path(tempfile.mkdtemp(prefix="w", dir=folder))
        home.chmod(0o700)
        self.ring = KeyRing(home, {name: keys[name]})
        secret = keys.gpg("--pinentry-mode", "loopback", "--passphrase", "", "--export-secret-keys", keys[name])
        self.ring.gpg("--import", stdin=secret.stdout)

    def reads(self, path: Path) -> bytes | None:
        """Decrypt a file; None if this key cannot. gpg exits 2 for a hidden reader who is not the first one."""
        done = self.ring.gpg("--pinentry-mode", "error", "--decrypt", str(path), check=False)
        return done.stdout or None

    def readable(self, paths: Iterable[Path]) -> list[Path]:
        """List the files that this key decrypts, in one run of gpg for all."""
        found = []
        for path in paths:
            if self.reads(path) is not None:
                found.append(path)
        return found

    def close(self) -> None:
        self.ring.stop_agent()
        shutil.rmtree(self.ring.home, ignore_errors=True)


def files(store: Path) -> list[Path]:
    """Every credential of a store."""
    return sorted(path for path in (store / FOLDER).rglob("*.gpg"))


def ids(path: Path, keys: KeyRing) -> set[str]:
    """Who can read a file, by gpg's own account: names from the keyring, ids of others as they are."""
    done = subprocess.run(
        ["gpg", "--batch", "--list-only", "--status-fd", "1", "--decrypt", str(path)],
        env=keys.environ, capture_output=True, check=False,
    )  # fmt: skip
    listed = [line.split()[2] for line in done.stdout.decode().splitlines() if line.startswith("[GNUPG:] ENC_TO ")]
    names = {key_id: name for name in keys.fingerprints if name != "missing" for key_id in subkeys(keys, name)}
    return {names.get(key_id, key_id) for key_id in listed}


def subkeys(keys: KeyRing, name: str) -> list[str]:
    """The long ids of a key's encryption subkeys."""
    listing = keys.gpg("--with-colons", "--list-keys", keys[name]).stdout.decode().splitlines()
    fields = [line.split(":") for line in listing]
    return [field[4] for field in fields if field[0] in ("pub", "sub") and "e" in field[11]]


def tidy(store: Path, environ: dict[str, str]) -> None:
    """Nothing is left over: no temporary file, no journal, nothing that is not committed."""
    left = [path for path in store.rglob("*") if ".passhelper" in path.name]
    assert left == []
    if (store / ".git").exists():
        status = run(["git", "-C", str(store), "status", "--porcelain"], environ)
        assert (status.code, status.out) == (0, b"")
        assert not list((store / ".git" / "passhelper").glob("journal*"))
        assert not (store / ".git" / "passhelper" / "pending").exists()
        assert run(["git", "-C", str(store), "fsck", "--strict"], environ).code == 0
