"""Throw-away keys."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


PASSPHRASE = "correct horse battery"


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
