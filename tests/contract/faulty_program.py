"""A credential helper that keeps everything in one JSON file and has one fault: $FAULT."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
import time
from binascii import a2b_base64

# Started without site, for speed: one test runs it a hundred times.
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from passhelper.credentials import Credentials, Helper
from passhelper.errors import CredentialsNotFoundError, PasshelperError
from passhelper.protocol import serve
from passhelper.store.helper import PassHelper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

FAULT = os.environ["FAULT"]
PLACE = os.environ["FAULTY_PLACE"]
TIMES = 4  # stores at once, as in the law


class FileHelper(Helper):
    """Without a fault, all laws hold."""

    def __init__(self) -> None:
        self._lock = open(f"{PLACE}.lock", "w")  # noqa: SIM115 - held until the process ends
        if FAULT != "parallel":
            fcntl.flock(self._lock, fcntl.LOCK_EX)

    def _read(self) -> dict[str, list[str]]:
        if not os.path.exists(PLACE):
            return {}
        with open(PLACE) as file:
            entries: dict[str, list[str]] = json.load(file)
        return entries

    def _write(self, entries: dict[str, list[str]]) -> None:
        new = f"{PLACE}.{os.getpid()}"
        with open(new, "w") as file:
            json.dump(entries, file)
        os.replace(new, PLACE)

    def _store(self, credentials: Credentials) -> None:
        entries = self._read()
        server, username, secret = credentials.server, credentials.username, credentials.secret
        if FAULT != "trailing-line-ends":
            secret = secret.rstrip("\r\n")
        if FAULT == "servers":
            server = server.lower()
        elif FAULT == "usernames":
            username = username.strip()
        elif FAULT == "slash-username":
            username = username.partition("/")[0]
        elif FAULT == "traversal" and username.startswith("../"):
            server = decoded(username.split("/")[1])
        elif FAULT == "secrets":
            secret = secret.strip()
        elif FAULT == "large-secret":
            secret = secret[:2560]
        elif FAULT == "replace-user" and server in entries:
            username = min(username, entries[server][0])
        elif FAULT == "huge-secret" and len(secret) > 1 << 16:
            raise PasshelperError("token too long")
        elif FAULT == "parallel":
            meet()
        entries[server] = [username, secret]
        self._write(entries)

    def _get(self, server: str) -> Credentials:
        entries = self._read()
        if FAULT == "neighbours":
            entries |= {f"http://{name}": entry for name, entry in entries.items()}
        if server not in entries:
            if FAULT in ("not-found", "not-found-message"):
                raise PasshelperError("no such thing")
            raise CredentialsNotFoundError
        return Credentials(server, *entries[server])

    def _erase(self, server: str) -> None:
        entries = self._read()
        if FAULT == "erase-absent" and server not in entries:
            raise PasshelperError("it is not there")
        gone = [name for name in entries if name == server or (FAULT == "erase" and name.startswith("erase."))]
        self._write({name: entry for name, entry in entries.items() if name not in gone})

    def _list(self) -> dict[str, str]:
        label = "Registry credentials for " if FAULT == "list" else ""
        return {label + name: username for name, (username, _) in self._read().items()}


def decoded(name: str) -> str:
    return a2b_base64(name.replace("-", "+").replace("_", "/")).decode()


def meet() -> None:
    """Wait for the others, so that all of them have read what none of them has written."""
    os.mkdir(f"{PLACE}.met{os.getpid()}")
    end = time.monotonic() + 20
    while sum(".met" in name for name in os.listdir(os.path.dirname(PLACE))) < TIMES and time.monotonic() < end:
        time.sleep(0.01)


class FaultyPass(PassHelper):
    """Ours, as careless about what else lies in the store as others are."""

    def _list(self) -> dict[str, str]:
        listed = super()._list()
        folder = os.path.join(os.environ["PASSWORD_STORE_DIR"], "docker-credential-helpers")
        for name in os.listdir(folder) if os.path.isdir(folder) else ():
            if FAULT == "pass-stray-directory" and "!" in name:
                raise PasshelperError("illegal base64 data")
            if FAULT == "pass-foreign-files":
                listed[decoded(name)] = min(os.listdir(os.path.join(folder, name))).removesuffix(".gpg")
        return listed


def say(text: str, code: int) -> Callable[[str, bytes], object]:
    def fault(verb: str, request: bytes) -> None:
        sys.stdout.write(f"{text}\n")
        sys.exit(code)

    return fault


def stubborn(verb: str, request: bytes) -> None:
    """Do not end, whatever the signal."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        signal.pause()


def silent(verb: str, request: bytes) -> None:
    signal.pause()


def flood(verb: str, request: bytes) -> None:
    while True:
        os.write(1, b"x" * 65536)


def exact_keys(verb: str, request: bytes) -> None:
    if verb == "store" and b'"ServerURL"' not in request:
        say("no credentials server URL", 1)(verb, request)


def no_mark(verb: str, request: bytes) -> None:
    if request.startswith(b"\xef\xbb\xbf"):
        say("invalid character", 1)(verb, request)


def without_controls(verb: str, request: bytes) -> bytes:
    return request.replace(b"\n", b"").replace(b"\0", b"").replace(b"\\n", b"").replace(b"\\u0007", b"")


def lax(verb: str, request: bytes) -> None:
    if verb == "store" and not request.startswith(b'{"ServerURL": "'):
        sys.exit(0)


def cut(verb: str, request: bytes) -> bytes:
    return request.replace(b"\\u0000b", b"").replace(b"\\ud800", b"\\ufffd")


def chatty(verb: str, request: bytes) -> None:
    if verb == "store":
        sys.stdout.write(f"cannot take {request.decode()}")
        sys.exit(1)


def unstripped(verb: str, request: bytes) -> bytes:
    return request if request == request.strip() else b"<" + request.strip() + b">"


def interrupt(verb: str, request: bytes) -> None:
    if verb == "get":
        os.kill(os.getppid(), signal.SIGINT)


def on(verb: str, fault: Callable[[str, bytes], object]) -> Callable[[str, bytes], object]:
    return lambda asked, request: fault(asked, request) if asked == verb else None


# What the program does before it looks at the request; what is returned replaces the request.
WIRE: dict[str, Callable[[str, bytes], object]] = {
    "version": on("version", say("one\ntwo", 0)),
    "usage": on("no-such-verb", say("", 0)),
    "success-streams": on("store", lambda verb, request: sys.stderr.write("stored")),
    "no-server-url": lambda verb, request: None if request.strip() else say("which server?", 1)(verb, request),
    "no-username": lambda verb, request: say("who?", 1)(verb, request) if b'"Username": ""' in request else None,
    "request-line-end": unstripped,
    "liberal-json": exact_keys,
    "byte-order-mark": no_mark,
    "control-characters": without_controls,
    "invalid-json": lax,
    "lossless": cut,
    "secret-hidden": chatty,
    "hang in get": on("get", stubborn),
    "hang in erase": on("erase", silent),
    "hang": silent,
    "crash": on("get", lambda verb, request: os.kill(os.getpid(), signal.SIGSEGV)),
    "flood": on("get", flood),
    "interrupt": interrupt,
}


def replace_stdin(request: bytes) -> None:
    name = f"{PLACE}.request{os.getpid()}"
    file = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    os.unlink(name)
    os.write(file, request)
    os.lseek(file, 0, os.SEEK_SET)
    os.dup2(file, 0)


def main() -> None:
    verb = sys.argv[1] if len(sys.argv) > 1 else ""
    if FAULT == "list-stdin" and verb == "list":
        sys.stdin.buffer.read()
    if FAULT == "reads-stdin" and verb in ("get", "store") and len(os.read(0, 1 << 16)) > 1 << 12:
        replace_stdin(b"")  # the client's pipe has no reader any more
    if FAULT in WIRE:
        request = sys.stdin.buffer.read() if verb in ("get", "store", "erase") else b""
        changed = WIRE[FAULT](verb, request)
        replace_stdin(changed if isinstance(changed, bytes) else request)
    helper = FaultyPass() if FAULT.startswith("pass-") else FileHelper()
    sys.exit(serve(helper, ["docker-credential-faulty", *sys.argv[1:]]))


main()
