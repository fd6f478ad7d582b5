"""What binds an entry to its place: a digest of server and username, kept inside the ciphertext."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

BINDING = "passhelper1:"


def binding(server: str, username: str) -> str:
    """Name the place that an entry belongs to, for gpg to keep inside the ciphertext.

    Without it, whoever can push to the shared store copies one server's ciphertext under another and
    the next ``docker pull`` hands the password to a host of his own.
    """
    return BINDING + digest(f"{server}\0{username}".encode())


_sha256: "Callable[[bytes], Any] | None" = None


def digest(data: bytes) -> str:
    """Give the SHA-256 of some bytes in hex, without loading OpenSSL, which ``hashlib`` does."""
    global _sha256  # noqa: PLW0603 - on some Pythons one of the imports fails, which takes as long as many digests
    if _sha256 is None:
        # CPython's own implementation: _sha2 since 3.12, _sha256 before; either costs 3 ms less than hashlib.
        try:
            from _sha2 import sha256
        except ImportError:
            try:
                from _sha256 import sha256
            except ImportError:  # pragma: no cover - a build without them
                from hashlib import sha256
        _sha256 = sha256
    value: str = _sha256(data).hexdigest()
    return value
