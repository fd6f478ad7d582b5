"""Try the backend on a real Mac: ``passhelper link osxkeychain --self-test``.

It was written without one (README, "What is unproven"). It tries to break every law of a helper, and touches only items
of hosts that cannot exist, which it removes. One item it also looks at through Apple's own ``security`` program,
without its secret.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from passhelper.conformance import DOMAIN, Outcome, examine
from passhelper.contract.laws import LAWS, Law
from passhelper.contract.place import Equivalence, LawBrokenError, Place
from passhelper_backends.osxkeychain._location import locate
from passhelper_backends.osxkeychain.helper import OsxKeychainHelper

if TYPE_CHECKING:
    from collections.abc import Callable

    from passhelper.credentials import Helper

HOST = f"attributes.{DOMAIN}"
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


class KeychainLimits(Equivalence):
    """What is different in the keychain."""

    def refuses_server(self, server: str) -> bool:
        """Return whether the keychain has no place for a server."""
        return locate(server) is None

    def listed_as(self, server: str) -> str:
        """Return the server's URL with its scheme."""
        location = locate(server)
        return server if location is None else location.url


def run(say: Callable[[str], None], helper: Helper | None = None) -> bool:
    """Try to break every law, with throw-away items.

    Args:
        say: takes one line for each law.
        helper: what is tested; this user's keychain by default.

    Returns:
        whether all of them hold.
    """
    tested = helper or OsxKeychainHelper()
    reason = tested.unavailable()
    if reason:
        say(f"failed  {reason}")
        return False
    attributes = Law("attributes", "the attributes are those of Docker's helper", _attributes)
    examination = examine(tested, (*LAWS, attributes), KeychainLimits())
    for result in examination.results:
        if result.outcome is Outcome.FAILED:
            say(f"failed  {result.law.says}: {result.reason}")
        elif result.outcome is Outcome.PASSED:
            say(f"ok      {result.law.says}")
    for server in examination.left:
        say(f"failed  clean up {server}")
    return not examination.failed and not examination.left


def _attributes(place: Place) -> None:
    place.keep(place.server("https://attributes.{}:5000/v1/"), "b\u00f6b")
    command = [_SECURITY, "find-internet-password", "-s", HOST, "-P", "5000", "-p", "/v1/", "-r", "htps"]
    try:
        shown = subprocess.run(command, capture_output=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LawBrokenError(f"{_SECURITY} does not run: {error}") from error
    text = shown.stdout.decode(errors="replace")
    missing = [wanted for wanted in _ATTRIBUTES if wanted not in text]
    if missing:
        raise LawBrokenError(f"{_SECURITY} does not show {', '.join(missing)}; it says: {' '.join(text.split())}")
