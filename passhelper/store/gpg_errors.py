"""What a failed gpg meant. Imported only after a failure, so it may ask gpg again and take its time.

Every outcome is one stable message: which key, which file, what to type. Gpg's home, its agent and the bytes of the
entry are checked first, then what is known to be missing is named. The codes and words of gpg differ between its
versions, so anything else is reported as a failure of gpg, in its own words, and never as the entry's.
"Erase it" is said of bytes that are not an OpenPGP message, and of nothing else.
"""

import os

from passhelper.errors import (
    ConfigurationError,
    EntryError,
    GpgError,
    LockedKeyError,
    NoSecretKeyError,
    PasshelperError,
    RecipientsError,
    printable,
)
from passhelper.store import gpghome, packets, passphrase, rootless, secmem
from passhelper.store.anatomy import Anatomy
from passhelper.store.child import last_line
from passhelper.store.gpg import Gpg, status_lines
from passhelper.store.gpg_codes import BAD_PASSPHRASE, CHECKSUM, CIPHER, NOT_FOR_THIS_KEY, error_codes, locked_code
from passhelper.store.keyfaults import complaint
from passhelper.store.keyinfo import find_keys, version
from passhelper.store.keynames import is_fingerprint
from passhelper.store.packets import AGAIN, HIDDEN, PacketError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from passhelper.store.child import Child

_AGENT_TROUBLE = (
    b"can't connect to the agent",
    b"can't connect to the gpg-agent",
    b"can't connect to the keyboxd",
    b"failed to start agent",
    b"failed to start gpg-agent",
    b"failed to start keyboxd",
    b"no gpg-agent running",
    b"no keyboxd running",
    b"problem with the agent",
)


# Decryption


def decryption_error(
    gpg: Gpg, child: "Child", lines: "list[list[str]]", label: str, source: "bytes | int"
) -> PasshelperError:
    """Return why an entry could not be decrypted.

    Args:
        gpg: what failed.
        child: its process.
        lines: what that said on its status channel.
        label: the entry's name for messages.
        source: the entry: its bytes or the open file; if empty, what it is made of is not told.
    """
    seen = {line[0] for line in lines}
    if "NEED_PASSPHRASE_SYM" in seen:  # behind or inside what packets.py has seen
        return EntryError(
            f"{label} asks for a password of its own",
            "type none; find out who wrote it, then store the credential again",
        )
    trouble = (
        gpghome.lock_error(gpg, child.stderr)
        or (_too_late(gpg, label) if child.timed_out else None)
        or gpghome.unreadable(gpg)
        or _no_keyring(gpg, child, lines)
        or agent_error(gpg, child)
        or _refused(lines, label)
    )
    if trouble is not None:
        return trouble
    try:
        anatomy = Anatomy(_read(source)) if source != b"" else None
    except PacketError as error:
        return packets.refusal(label, error)
    return _unreadable(gpg, anatomy, label) or _unopened(gpg, child, lines, label, anatomy)


def _too_late(gpg: Gpg, label: str) -> GpgError:
    cause = f"gpg did not answer within {gpg.deadline.seconds:g} s for {label}"
    return GpgError(cause, "check the passphrase prompt, or set PASSHELPER_TIMEOUT")


def _strange(gpg: Gpg, label: str, why: str) -> GpgError:
    """Return the error for an entry that only another program can read."""
    cause = f"{version(gpg)} cannot read {label}: {why}"
    return GpgError(cause, "read it with the program that wrote it, and store the credential again")


def _unopened(
    gpg: Gpg, child: "Child", lines: "list[list[str]]", label: str, anatomy: "Anatomy | None"
) -> PasshelperError:
    """Return why a whole message, read by a gpg that lacks nothing around it, was not opened."""
    seen = {line[0] for line in lines}
    if seen.isdisjoint({"DECRYPTION_KEY", "DECRYPTION_INFO"}):
        return _closed(gpg, child, lines, label, anatomy)
    if "BADMDC" in seen:
        return EntryError(f"{label} is damaged: its content does not match its check sum", AGAIN)
    if anatomy is not None and anatomy.is_unprotected:
        return EntryError(
            f"{label} has no integrity protection, so gpg does not take it for unchanged",
            "store the credential again; gpg --ignore-mdc-error --decrypt FILE shows what it holds",
        )
    return GpgError(f"gpg failed on {label}: {_words(child)}", AGAIN)


def _read(source: "bytes | int") -> bytes:
    if isinstance(source, bytes):
        return source
    os.lseek(source, 0, os.SEEK_SET)
    parts = []
    while part := os.read(source, 1 << 20):
        parts.append(part)
    return b"".join(parts)


def _unreadable(gpg: Gpg, anatomy: "Anatomy | None", label: str) -> "PasshelperError | None":
    """Return the error for an entry that is not a whole message, or is one that this gpg does not know."""
    if anatomy is None:
        return None
    if anatomy.fault:
        return packets.refusal(label, PacketError(anatomy.fault, is_message=anatomy.fault != "it is truncated"))
    foreign = anatomy.foreign()
    return _strange(gpg, label, foreign) if foreign else None


def _closed(
    gpg: Gpg, child: "Child", lines: "list[list[str]]", label: str, anatomy: "Anatomy | None"
) -> PasshelperError:
    """Return why no key has opened an entry."""
    wanted = list(dict.fromkeys(line[1] for line in lines if line[0] == "ENC_TO"))
    if not wanted:
        if any(line[0] == "PLAINTEXT" for line in lines):
            return EntryError(f"{label} is not encrypted", "store the credential again")
        return GpgError(f"gpg failed on {label}: {_words(child)}")
    ours = _ours(gpg, wanted)
    hidden = HIDDEN in wanted and not ours
    if not ours and not hidden:
        return NoSecretKeyError(
            f"no secret key for {label}: it is encrypted to {' '.join(wanted)}",
            "ask a team member to run: passhelper recipients add KEY",
        )
    codes = error_codes(lines)
    code = locked_code(codes)
    if hidden:  # of the keys that gpg tried in silence, no code says which it is about
        if code or NOT_FOR_THIS_KEY.issuperset(codes):
            return LockedKeyError(
                f"no unlocked GPG key opens {label}, whose recipients are hidden",
                "run: passhelper unlock, or set PASSHELPER_PASSPHRASE_FILE",
            )
        return GpgError(f"gpg failed on {label}: {_words(child)}")
    if code:
        return _locked_error(gpg, " ".join(ours), code)
    found = _refused_by_key(gpg, lines, label, anatomy, ours)
    return found or GpgError(f"gpg failed on {label} with GPG key {' '.join(ours)}: {_words(child)}")


def _refused_by_key(
    gpg: Gpg, lines: "list[list[str]]", label: str, anatomy: "Anatomy | None", ours: "list[str]"
) -> "PasshelperError | None":
    """Return why a key that is here, and not locked, has not opened an entry."""
    name, codes = " ".join(ours), error_codes(lines)
    algorithm = anatomy.strange_algorithm({*ours}) if anatomy is not None else ""
    if algorithm:
        return _strange(gpg, label, f"it is encrypted to {name} with {algorithm}")
    if secmem.has_run_out(lines):
        return GpgError(
            f"gpg-agent is out of secure memory, so {label} was not decrypted",
            f"try again; to give it more, {secmem.more_memory(gpg)}",
        )
    if CIPHER in codes:
        return _strange(gpg, label, "it is encrypted with a cipher that this gpg does not know or allow")
    if set(codes) == {CHECKSUM}:
        return EntryError(f"{label} is damaged: what it holds for GPG key {name} does not match its check sum", AGAIN)
    return None


def _secret_keys(gpg: Gpg) -> "list[tuple[str, str]]":
    """List the secret keys, each with where its secret part is: "+" for here, "#" for nowhere, or a card's number."""
    listing = gpg.ask("--with-colons", "--list-secret-keys").stdout.decode(errors="replace")
    fields = [line.split(":") for line in listing.split("\n") if line.startswith(("sec:", "ssb:"))]
    return [(field[4], field[14] if len(field) > 14 else "") for field in fields]


def _ours(gpg: Gpg, wanted: "list[str]") -> "list[str]":
    """List the keys among some that have a secret part here or on a card."""
    ours = {key for key, place in _secret_keys(gpg) if place != "#"}
    return [key for key in wanted if key in ours]


def _no_keyring(gpg: Gpg, child: "Child", lines: "list[list[str]]") -> "GpgError | None":
    """Return an error if gpg's home does not exist and gpg cannot make it."""
    is_missing = any(line[:2] == ["ERROR", "add_keyblock_resource"] for line in lines)
    # As for a daemon's user, whose home directory does not exist.
    if is_missing or b"can't create directory" in child.stderr or not os.path.isdir(gpg.home):
        return GpgError(f"gpg has no keyring in {gpg.home}", "check GNUPGHOME")
    return None


def _refused(lines: "list[list[str]]", label: str) -> "GpgError | None":
    """Return an error if the agent refused an order."""
    if any(line[:2] == ["ERROR", "set_pinentry_mode"] for line in lines):
        # The socket that is made for forwarding: its agent asks on its own screen or not at all.
        return GpgError(
            f"gpg-agent is reached through its restricted socket, which refuses orders about prompts, so {label} "
            "was not decrypted",
            "set PASSHELPER_NONINTERACTIVE=0, and no passphrase: then it asks where it runs, if it has to",
        )
    return None


def _locked_error(gpg: Gpg, name: str, code: int) -> LockedKeyError:
    variable = passphrase.source(gpg.environ)
    if variable and code == BAD_PASSPHRASE:  # one that could not be asked for has another code
        return LockedKeyError(f"the passphrase in {variable} does not unlock GPG key {name}")
    return LockedKeyError(
        f"GPG key {name} is locked",
        rootless.remedy(gpg.environ) or "run: passhelper unlock, or set PASSHELPER_PASSPHRASE_FILE",
    )


def _words(child: "Child") -> str:
    """Quote what gpg said about the first thing that failed; later lines follow from it, and may say the opposite."""
    for line in child.stderr.decode(errors="replace").splitlines():
        if " failed: " in line or " with unknown version " in line or line.startswith("gpg: Fatal: "):
            return printable(line.strip())
    return last_line(child)


def agent_error(gpg: Gpg, child: "Child") -> "GpgError | None":
    """Return an error if gpg failed because it has no agent; it says why."""
    if not any(sign in child.stderr for sign in _AGENT_TROUBLE):
        return None
    home = gpg.home
    trouble = gpghome.socket_error(home)
    if trouble is not None:
        return trouble
    if os.path.isdir(home) and not os.access(home, os.W_OK | os.X_OK):
        return GpgError(
            f"no gpg-agent can start in GNUPGHOME {home}, which cannot be written",
            f"copy it and set GNUPGHOME to the copy, a short path: cp -a {home} COPY",
        )
    return GpgError(
        f"no gpg-agent for {home}: {last_line(child)}", rootless.remedy(gpg.environ) or "run: gpg-connect-agent /bye"
    )


def refuse_card(gpg: Gpg, lines: "list[list[str]]") -> None:
    """Stop before a configured passphrase is tried as a card's PIN: three wrong ones block the card.

    Raises:
        ConfigurationError: a secret key that could open the entry is on a card.
    """
    wanted = {line[1] for line in lines if line[0] == "ENC_TO"}
    for key, place in _secret_keys(gpg):
        if place not in ("", "+", "#") and (key in wanted or HIDDEN in wanted):
            name = passphrase.source(gpg.environ)
            raise ConfigurationError(
                f"GPG key {key} is on a card, so {name} is not tried as its PIN",
                f"unset {name} and run: passhelper unlock",
            )


# Encryption


def encryption_error(gpg: Gpg, child: "Child", recipients: "Sequence[str]", where: str) -> PasshelperError:
    """Return why nothing could be encrypted, naming every unusable recipient at once (pain T4)."""
    trouble = gpghome.lock_error(gpg, child.stderr)
    if trouble is None and child.timed_out:
        return GpgError(f"gpg did not encrypt within {gpg.deadline.seconds:g} s", "set PASSHELPER_TIMEOUT")
    trouble = trouble or gpghome.unreadable(gpg) or _no_keyring(gpg, child, status_lines(child))
    if trouble is None and b"keyboxd" in child.stderr:  # which then holds the public keys
        trouble = agent_error(gpg, child)
    if trouble is not None:
        return trouble
    complaints = {name: why for name in recipients if (why := complaint(gpg, name))}
    refused = {" ".join(line[2:]): line[1] for line in status_lines(child) if line[0] == "INV_RECP"}
    for name, reason in refused.items():
        if name not in complaints and name in recipients:
            complaints[name] = _refused_by_trust(gpg, name, where, recipients) if reason in ("0", "10") else ""
            complaints[name] = complaints[name] or f"{name}: refused by gpg: {last_line(child)}"
    if complaints:
        return RecipientsError(
            f"cannot encrypt for {len(complaints)} of {len(recipients)} recipients in {where}: "
            + "; ".join(complaints.values())
        )
    return GpgError(f"gpg could not encrypt: {last_line(child)}")


def _refused_by_trust(gpg: Gpg, name: str, where: str, recipients: "Sequence[str]") -> str:
    """Say what helps where gpg's own rules of trust hold; empty where all names are full fingerprints."""
    doubtful = [one for one in recipients if not is_fingerprint(one.rstrip("!"))]
    if not doubtful:
        return ""
    begin = f"{name} is not trusted by this keyring, replace the line"
    if name not in doubtful:  # it would be taken as it is, but for the others
        return f"{begin}{'s' * (len(doubtful) > 1)} {', '.join(map(repr, doubtful))} in {where} with full fingerprints"
    # Anybody can give a key of his own that name, and the owner's may have expired: none is the one to take.
    keys = ", ".join(key.label for key in find_keys(gpg, name))
    return f"{begin} {name!r} in {where} with its owner's full fingerprint, which may be {keys or 'in no keyring here'}"
