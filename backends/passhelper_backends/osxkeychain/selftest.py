"""Try the backend on a real Mac: ``passhelper link osxkeychain --self-test``.

It was written without one (README, "What is unproven"). It touches only items of a host that cannot exist, and
removes them. What it stored it also looks at through Apple's own ``security`` program, without secrets.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from passhelper.credentials import Credentials
from passhelper.errors import CredentialsNotFoundError, PasshelperError
from passhelper_backends.osxkeychain.helper import OsxKeychainHelper

if TYPE_CHECKING:
    from collections.abc import Callable

    from passhelper.credentials import Helper

HOST = "passhelper-self-test.invalid"  # RFC 2606: nobody has it
_SERVER = f"https://{HOST}:5000/v1/"
_NEIGHBOURS = (f"https://{HOST}", f"https://{HOST}:5001/v1/", f"https://{HOST}:5000/v2/", f"http://{HOST}:5000/v1/")
_TEXT = "p\u00e4ss \u2603\nline two"
_LONG = "x" * 20_000
_SECURITY = "/usr/bin/security"
# What `security find-internet-password` prints of the attributes that Docker's helper writes.
_ATTRIBUTES = (
    '0x00000007 <blob>="Docker Credentials"',
    '"acct"<blob>=',
    '"atyp"<blob>="dflt"',
    '"path"<blob>="/v1/"',
    '"port"<uint32>=0x00001388',
    '"ptcl"<uint32>="htps"',
    f'"srvr"<blob>="{HOST}"',
)


def run(say: Callable[[str], None], helper: Helper | None = None) -> bool:
    """Store, read, change, list and erase throw-away items.

    Args:
        say: takes one line for each step.
        helper: what is tested; this user's keychain by default.

    Returns:
        whether all steps went well.
    """
    tested = helper or OsxKeychainHelper()
    reason = tested.unavailable()
    if reason:
        say(f"failed  {reason}")
        return False
    steps: tuple[tuple[str, Callable[[Helper], None]], ...] = (
        ("nothing is there at first", _absent),
        ("store and get", _round_trip),
        ("the attributes are those of Docker's helper", _attributes),
        ("other ports, paths and schemes of the host are other items", _neighbours),
        ("store again changes the secret and the user", _replace),
        ("a secret of 20,000 bytes", _long),
        ("list names each server once", _list),
        ("erase removes the item and no other", _erase),
    )
    failed = False
    try:
        for name, step in steps:
            try:
                step(tested)
            except (AssertionError, PasshelperError) as error:
                failed = True
                say(f"failed  {name}: {error}")
            else:
                say(f"ok      {name}")
    finally:
        for server in (_SERVER, *_NEIGHBOURS):
            try:
                tested.erase(server)
            except PasshelperError as error:
                failed = True
                say(f"failed  clean up {server}: {error}")
    return not failed


def _absent(helper: Helper) -> None:
    for server in (_SERVER, *_NEIGHBOURS):
        helper.erase(server)
        try:
            helper.get(server)
        except CredentialsNotFoundError:
            continue
        raise AssertionError(f"{server} has a credential that is not ours, or cannot be erased")


def _round_trip(helper: Helper) -> None:
    helper.store(Credentials(_SERVER, "b\u00f6b", _TEXT))
    _expect(helper, _SERVER, "b\u00f6b", _TEXT)


def _attributes(_: Helper) -> None:
    command = [_SECURITY, "find-internet-password", "-s", HOST, "-P", "5000", "-p", "/v1/", "-r", "htps"]
    try:
        shown = subprocess.run(command, capture_output=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AssertionError(f"{_SECURITY} does not run: {error}") from error
    text = shown.stdout.decode(errors="replace")
    missing = [wanted for wanted in _ATTRIBUTES if wanted not in text]
    if missing:
        raise AssertionError(f"{_SECURITY} does not show {', '.join(missing)}; it says: {' '.join(text.split())}")


def _neighbours(helper: Helper) -> None:
    for number, server in enumerate(_NEIGHBOURS):
        helper.store(Credentials(server, "b\u00f6b", f"secret {number}"))
    for number, server in enumerate(_NEIGHBOURS):
        _expect(helper, server, "b\u00f6b", f"secret {number}")
    _expect(helper, _SERVER, "b\u00f6b", _TEXT)


def _replace(helper: Helper) -> None:
    helper.store(Credentials(_SERVER, "b\u00f6b", "changed"))
    _expect(helper, _SERVER, "b\u00f6b", "changed")
    helper.store(Credentials(_SERVER, "zoe", "of zoe"))
    _expect(helper, _SERVER, "zoe", "of zoe")


def _long(helper: Helper) -> None:
    helper.store(Credentials(_SERVER, "zoe", _LONG))
    _expect(helper, _SERVER, "zoe", _LONG)


def _list(helper: Helper) -> None:
    listed = {server: username for server, username in helper.list().items() if HOST in server}
    expected = {_SERVER: "zoe", **dict.fromkeys(_NEIGHBOURS, "b\u00f6b")}
    if listed != expected:
        raise AssertionError(f"list says {listed}, not {expected}")


def _erase(helper: Helper) -> None:
    helper.erase(f"https://{HOST}")
    _expect(helper, _SERVER, "zoe", _LONG)
    helper.erase(_SERVER)
    try:
        helper.get(_SERVER)
    except CredentialsNotFoundError:
        _expect(helper, _NEIGHBOURS[1], "b\u00f6b", "secret 1")
        return
    raise AssertionError(f"{_SERVER} is still there")


def _expect(helper: Helper, server: str, username: str, secret: str) -> None:
    found = helper.get(server)
    if found.username != username:
        raise AssertionError(f"{server} has user {found.username} and not {username}")
    if found.secret != secret:
        raise AssertionError(f"the secret of {server} comes back changed")
