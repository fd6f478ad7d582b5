"""What a failed gpg meant. Imported only after a failure, so it may ask gpg again and take its time.

Every outcome is one stable message: which key, which file, what to type. gpg's own text is the last
resort, and then its final line is quoted as it is.
"""

import os
import time

from passhelper.errors import (
    ConfigurationError,
    EntryError,
    GpgError,
    LockedKeyError,
    NoSecretKeyError,
    PasshelperError,
    RecipientsError,
)
from passhelper.store import passphrase, rootless
from passhelper.store.gpg import Gpg, is_bad_passphrase, locked_code, status_lines
from passhelper.store.packets import HIDDEN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from passhelper.store.child import Child

# How gpg says that it has looked and found nothing: no such key, or no keyring yet.
_NO_KEY = (["ERROR", "keylist.getkey"], ["ERROR", "add_keyblock_resource"])
MAX_SOCKET_PATH = 107  # bytes: sun_path of unix(7) without its final NUL

_AGENT_TROUBLE = (
    b"can't connect to the agent",
    b"can't connect to the gpg-agent",
    b"failed to start agent",
    b"failed to start gpg-agent",
    b"no gpg-agent running",
    b"problem with the agent",
)


class Key:
    """One key of the keyring as gpg's colon format tells it (doc/DETAILS, "Format of the colon listings").

    Attributes:
        fingerprint: of the primary key.
        uid: the first user id that is not revoked, if there is one.
        problem: why one cannot encrypt to it; empty if one can.
        remedy: what to do about the problem.
        encryption: long ids of the subkeys that one can encrypt to.
    """

    def __init__(self) -> None:
        self.fingerprint = ""
        self.uid = ""
        self.uid_revoked = False
        self.validity = ""
        self.expires = ""
        self.encryption: list[str] = []
        self.expired_subkeys: list[str] = []
        self.has_subkey = False
        self.disabled = False

    @property
    def problem(self) -> str:
        """Why one cannot encrypt to the key; empty if one can."""
        if self.validity == "r":
            return "has been revoked"
        if self.validity == "e":
            return f"expired on {day(self.expires)}"
        if self.validity == "i":
            return "is invalid"
        if self.disabled:
            return "is disabled"
        if self.encryption:
            return ""
        if self.expired_subkeys:
            return f"has an encryption subkey that expired on {day(max(self.expired_subkeys))}"
        return "has no encryption subkey"

    @property
    def remedy(self) -> str:
        """What to type about the problem."""
        if self.validity == "e":
            return f"extend: gpg --quick-set-expire {self.fingerprint} 1y"
        if self.disabled:
            return f"run: gpg --edit-key {self.fingerprint} enable save"
        if self.expired_subkeys and not self.encryption:
            return f"extend: gpg --quick-set-expire {self.fingerprint} 1y '*'"
        if not self.problem or self.validity in ("r", "i"):
            return ""
        return f"add one: gpg --quick-add-key {self.fingerprint} cv25519 encr"


def day(seconds: str) -> str:
    """Write gpg's seconds since 1970 as a day (UTC)."""
    return time.strftime("%Y-%m-%d", time.gmtime(int(seconds)))


def find_keys(gpg: Gpg, name: str, *, secret: bool = False) -> "list[Key]":
    """List the keys that gpg would take a name for.

    Raises:
        GpgError: gpg cannot say, which is not the same as that there is none.
    """
    kind = "--list-secret-keys" if secret else "--list-keys"
    child = gpg.ask("--with-colons", "--fixed-list-mode", kind, "--", name)
    is_answer = child.returncode == 0 or any(line[:2] in _NO_KEY for line in status_lines(child))
    if child.timed_out or not is_answer:
        from passhelper.protocol import printable  # noqa: PLC0415 - only for messages

        why = "it took too long" if child.timed_out else last_line(child)
        raise GpgError(f"gpg cannot look for the key {printable(name)}: {why}", "run: passhelper doctor")
    return parse_keys(child.stdout.decode(errors="replace"))


def parse_keys(listing: str) -> "list[Key]":
    """Parse a colon listing."""
    keys: list[Key] = []
    for line in listing.splitlines():
        field = line.split(":")
        if field[0] in ("pub", "sec"):
            keys.append(Key())
            key = keys[-1]
            key.validity, key.expires = field[1], field[6]
            key.disabled = "D" in field[11]
        if not keys:
            continue
        key = keys[-1]
        if field[0] == "fpr" and not key.fingerprint:
            key.fingerprint = field[9]
        elif field[0] == "uid" and (not key.uid or key.uid_revoked) and field[1] != "r":
            key.uid, key.uid_revoked = _unescape(field[9]), False
        elif field[0] == "uid" and not key.uid:  # of a revoked key, all are
            key.uid, key.uid_revoked = _unescape(field[9]), True
        elif field[0] in ("pub", "sec", "sub", "ssb") and "e" in field[11]:
            if field[1] == "e" and field[6]:
                key.expired_subkeys.append(field[6])
            elif field[1] not in ("r", "i", "d", "e"):
                key.encryption.append(field[4])
    return keys


def _unescape(text: str) -> str:
    """Undo gpg's C-style escapes and drop what a terminal must not see."""
    from passhelper.protocol import printable  # noqa: PLC0415 - only for messages

    return printable(text.replace("\\x3a", ":").replace("\\x5c", "\\"))


# Decryption


def decryption_error(gpg: Gpg, child: "Child", lines: "list[list[str]]", label: str) -> PasshelperError:
    """Tell why an entry could not be decrypted."""
    wanted = [line[1] for line in lines if line[0] == "ENC_TO"]
    if ["NEED_PASSPHRASE_SYM"] in [line[:1] for line in lines]:  # behind or inside what packets.py has seen
        return EntryError(f"{label} asks for a password of its own", "type none; erase it and store it again")
    if child.timed_out:
        return GpgError(
            f"gpg did not answer within {gpg.timeout():g} s for {label}",
            "check the passphrase prompt, or set PASSHELPER_TIMEOUT",
        )
    code = locked_code(lines)
    if code:
        return _locked_error(gpg, wanted, code)
    trouble = home_error(gpg) or agent_error(gpg, child) or _refused(gpg, lines, label)
    if trouble is not None:
        return trouble
    seen = {line[0] for line in lines}
    # Older versions do not say NO_SECKEY; that gpg never got at the session key says the same.
    opened = not seen.isdisjoint({"DECRYPTION_KEY", "DECRYPTION_INFO"})
    if wanted and not opened and "DECRYPTION_FAILED" in seen and "ERROR" not in seen:
        if HIDDEN in wanted:  # gpg tries its keys in silence: that one of them is locked is not said
            return LockedKeyError(
                f"no unlocked GPG key opens {label}, whose recipients are hidden",
                "run: passhelper unlock, or set PASSHELPER_PASSPHRASE_FILE",
            )
        keys = " ".join(dict.fromkeys(wanted))
        return NoSecretKeyError(
            f"no secret key for {label}: it is encrypted to {keys}",
            "ask a team member to run: passhelper recipients add",
        )
    if "PLAINTEXT" in seen and not wanted:
        return EntryError(f"{label} is not encrypted", "erase it and store the credential again")
    # Begun and never ended: a broken compressed stream stops gpg at once.
    broken_off = "DECRYPTION_INFO" in seen and "END_DECRYPTION" not in seen
    if broken_off or not seen.isdisjoint({"DECRYPTION_FAILED", "NODATA", "BADMDC", "UNEXPECTED"}):
        return EntryError(f"{label} is corrupt", "restore it from git, or erase it and store it again")
    return _unexplained(gpg, child, label)


def _refused(gpg: Gpg, lines: "list[list[str]]", label: str) -> "GpgError | None":
    """Tell what gpg could not begin with."""
    errors = [line[1:2] for line in lines if line[0] == "ERROR"]
    if ["add_keyblock_resource"] in errors:
        return GpgError(f"gpg has no keyring in {_home(gpg)}", "check GNUPGHOME")
    if ["set_pinentry_mode"] in errors:
        # The socket that is made for forwarding: its agent asks on its own screen or not at all.
        return GpgError(
            f"gpg-agent is reached through its restricted socket, which takes no orders about prompts, so {label} "
            "was not decrypted",
            "set PASSHELPER_NONINTERACTIVE=0, and no passphrase: then it asks where it runs, if it has to",
        )
    return None


def _locked_error(gpg: Gpg, wanted: "list[str]", code: int) -> LockedKeyError:
    listing = gpg.ask("--with-colons", "--list-secret-keys").stdout.decode(errors="replace")
    ours = {line.split(":")[4] for line in listing.splitlines() if line.startswith(("sec:", "ssb:"))}
    name = " ".join(key for key in wanted if key in ours) or "(hidden)"
    variable = passphrase.source(gpg.environ)
    if variable and is_bad_passphrase(code):
        return LockedKeyError(f"the passphrase in {variable} does not unlock GPG key {name}")
    return LockedKeyError(
        f"GPG key {name} is locked",
        rootless.remedy(gpg.environ) or "run: passhelper unlock, or set PASSHELPER_PASSPHRASE_FILE",
    )


def agent_error(gpg: Gpg, child: "Child") -> "GpgError | None":
    """Tell whether gpg failed because it has no agent, and why."""
    if not any(sign in child.stderr for sign in _AGENT_TROUBLE):
        return None
    home = _home(gpg)
    size = len(os.fsencode(os.path.join(home, "S.gpg-agent")))
    if size > MAX_SOCKET_PATH:
        return GpgError(
            f"GNUPGHOME path too long: its agent socket needs {size} bytes, at most {MAX_SOCKET_PATH} fit",
            f"use a shorter GNUPGHOME than {home}",
        )
    return GpgError(
        f"no gpg-agent for {home}: {last_line(child)}", rootless.remedy(gpg.environ) or "run: gpg-connect-agent /bye"
    )


def home_error(gpg: Gpg) -> "GpgError | None":
    """Tell whether gpg failed because its home is another user's: it then finds no key, and says only that."""
    home = _home(gpg)
    if not os.path.isdir(home) or os.access(home, os.R_OK | os.X_OK):
        return None
    return GpgError(
        f"GNUPGHOME {home} belongs to uid {os.stat(home).st_uid} and cannot be read",
        "run as its owner, or set GNUPGHOME to a directory of your own",
    )


def _unexplained(gpg: Gpg, child: "Child", label: str) -> GpgError:
    if b"can't create directory" in child.stderr:  # as for a daemon's user, whose home directory does not exist
        return GpgError(f"gpg has no keyring in {_home(gpg)}", "check GNUPGHOME")
    return GpgError(f"gpg failed on {label}: {last_line(child)}")


def _home(gpg: Gpg) -> str:
    from passhelper.store.store import home_directory  # noqa: PLC0415 - it imports gpg

    return gpg.environ.get("GNUPGHOME") or os.path.join(home_directory(gpg.environ), ".gnupg")


def refuse_card(gpg: Gpg, lines: "list[list[str]]") -> None:
    """Stop before a configured passphrase is tried as a card's PIN: three wrong ones block the card.

    Raises:
        ConfigurationError: a secret key that could open the entry is on a card.
    """
    wanted = {line[1] for line in lines if line[0] == "ENC_TO"}
    child = gpg.ask("--with-colons", "--list-secret-keys")
    for line in child.stdout.decode(errors="replace").splitlines():
        field = line.split(":")
        # Field 15: "+" a secret key here, "#" a stub without one, else a card's serial number.
        on_card = field[0] in ("sec", "ssb") and len(field) > 14 and field[14] not in ("", "+", "#")
        if on_card and (field[4] in wanted or HIDDEN in wanted):
            name = passphrase.source(gpg.environ)
            raise ConfigurationError(
                f"GPG key {field[4]} is on a card, so {name} is not tried as its PIN",
                f"unset {name} and run: passhelper unlock",
            )


def last_line(child: "Child") -> str:
    """Quote the last line that a program wrote to stderr."""
    from passhelper.protocol import printable  # noqa: PLC0415 - only for messages

    lines = [line for line in child.stderr.decode(errors="replace").splitlines() if line.strip()]
    return printable(lines[-1].strip()) if lines else f"exit status {child.returncode}"


# Encryption


def encryption_error(gpg: Gpg, child: "Child", recipients: "Sequence[str]", where: str) -> PasshelperError:
    """Tell why nothing could be encrypted, naming every unusable recipient at once (pain T4)."""
    if child.timed_out:
        return GpgError(f"gpg did not encrypt within {gpg.timeout():g} s", "set PASSHELPER_TIMEOUT")
    trouble = home_error(gpg)
    if trouble is not None:
        return trouble
    complaints = {name: why for name in recipients if (why := complaint(gpg, name))}
    refused = {" ".join(line[2:]): line[1] for line in status_lines(child) if line[0] == "INV_RECP"}
    for name, reason in refused.items():
        if name not in complaints and name in recipients:
            complaints[name] = _untrusted(gpg, name, where) if reason in ("0", "10") else f"{name}: refused by gpg"
    if complaints:
        return RecipientsError(
            f"cannot encrypt for {len(complaints)} of {len(recipients)} recipients in {where}: "
            + "; ".join(complaints.values()),
        )
    return GpgError(f"gpg could not encrypt: {last_line(child)}")


def complaint(gpg: Gpg, name: str) -> str:
    """Say what is wrong with a recipient and what to do; empty if nothing is."""
    keys = find_keys(gpg, name.rstrip("!"))
    if not keys:
        return f"{name} is not in this keyring, run: gpg --import KEYFILE"
    usable = [key for key in keys if not key.problem]
    if usable:
        return ""
    key = keys[0]
    remedy = f", {key.remedy}" if key.remedy else ""
    return f"key {key.fingerprint} {key.uid} {key.problem}{remedy}".replace("  ", " ")


def usable_recipients(gpg: Gpg, recipients: "Sequence[str]", where: str, warn: "Callable[[str], None]") -> "list[str]":
    """Leave out the recipients that cannot be encrypted to (``PASSHELPER_SKIP_UNUSABLE=1``).

    Raises:
        RecipientsError: nobody would be left, or nobody on this machine.
    """
    complaints = {name: why for name in recipients if (why := complaint(gpg, name))}
    usable = [name for name in recipients if name not in complaints]
    if complaints and not any(find_keys(gpg, name, secret=True) for name in usable):
        raise RecipientsError(
            f"no usable recipient in {where} has a secret key here: " + "; ".join(complaints.values()),
        )
    for why in complaints.values():
        warn(f"not encrypted for a recipient in {where}: {why}")
    return usable


def _untrusted(gpg: Gpg, name: str, where: str) -> str:
    keys = [key for key in find_keys(gpg, name) if not key.problem]
    fingerprint = keys[0].fingerprint if keys else "its full fingerprint"
    return f"{name} is not trusted by this keyring, replace the line {name!r} in {where} with {fingerprint}"
