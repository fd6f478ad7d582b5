"""Read the result of a gpg that decrypts or encrypts: the bytes, or the error that says why not.

What gpg reports decides: plaintext counts only when gpg exits 0 *and* said ``DECRYPTION_OKAY``, because gpg exits 0 on
a message that was never encrypted. Loaded while gpg is busy.
"""

from passhelper import settings
from passhelper.errors import EntryError, GpgError, LockedKeyError, RecipientsError
from passhelper.store import packets
from passhelper.store.child import finish
from passhelper.store.gpg import MAX_PLAINTEXT, OTHER_KEYS, OTHERS, status_lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from passhelper.store.child import Child
    from passhelper.store.gpg import Gpg

_OVERHEAD = 1 + 18 + 8 + 22  # bytes around plaintext and name: version, random prefix, literal header, checksum
_OVERHEAD_64 = 1 + 10 + 8 + 22  # ... with a cipher of 64-bit blocks
_CIPHERS_64 = ("1", "2", "3", "4")  # RFC 9580, section 9.3: IDEA, 3DES, CAST5, Blowfish
_BROKEN = ("BADMDC", "DECRYPTION_FAILED", "NODATA", "UNEXPECTED")


class Plaintext:
    """What gpg found in an entry.

    Attributes:
        data: the decrypted bytes.
        name: the file name kept inside the ciphertext, empty if none (``--set-filename``).
    """

    __slots__ = ("data", "name")

    def __init__(self, data: bytes, name: str) -> None:
        self.data = data
        self.name = name


def decrypt(gpg: "Gpg", source: "bytes | int", label: str) -> Plaintext:
    """Decrypt one message; ``gpg.start_decrypt`` and :func:`finish_decrypt` in one."""
    return finish_decrypt(gpg, gpg.start_decrypt(source), source, label)


def finish_decrypt(gpg: "Gpg", child: "Child", source: "bytes | int", label: str) -> Plaintext:
    """Wait for a decryption and read its result.

    A configured passphrase is tried once, and only if the agent does not hold the key already;
    never on a card, which three wrong PINs would block.

    Args:
        gpg: what decrypts.
        child: from ``gpg.start_decrypt``.
        source: the message that it was given, already checked with ``packets.key_ids``.
        label: the file's name for messages.

    Raises:
        LockedKeyError: nobody can give the passphrase, or it is wrong.
        NoSecretKeyError: the message is for other keys.
        EntryError: the message is corrupt or expands beyond :data:`MAX_PLAINTEXT`.
        GpgError: anything else.
    """
    finish([child], gpg.deadline.left())
    has_failed = not has_ended_well(child, status_lines(child)) and not child.timed_out and not child.overflow
    # What waited for somebody's lock would wait again.
    if has_failed and not gpg.options() and b"waiting for lock" not in child.stderr:
        child = gpg.decrypt_again(source)  # it asks nobody and tries no passphrase
        if child.returncode != 0:
            from passhelper.store import secmem  # only on failure

            child = secmem.retried(gpg, child, lambda: gpg.decrypt_again(source))
    try:
        return plaintext(gpg, child, label, source)
    except LockedKeyError:
        if not any(gpg.environ.get(name) for name in settings.PASSPHRASE_VARIABLES):
            raise
    from passhelper.store import gpg_errors, passphrase  # only when a key is locked

    gpg_errors.refuse_card(gpg, status_lines(child))
    secret = passphrase.read(gpg.environ, gpg.deadline.left())
    return plaintext(gpg, gpg.decrypt_again(source, secret), label, source)


def plaintext(gpg: "Gpg", child: "Child", label: str, source: "bytes | int" = b"") -> Plaintext:
    """Read the result of a decryption that has ended; raises as :func:`decrypt` does."""
    lines = status_lines(child)
    if child.overflow:
        raise EntryError(f"{label} expands to more than {MAX_PLAINTEXT} bytes", "store the credential again")
    names = [line[3] if len(line) > 3 else "" for line in lines if line[0] == "PLAINTEXT"]
    said = {line[0] for line in lines}
    if has_ended_well(child, lines) and "NEED_PASSPHRASE_SYM" not in said:
        if "DECRYPTION_OKAY" in said and len(names) == 1 and _is_whole(child, lines):
            return Plaintext(bytes(child.stdout), names[0])
        if not names or ("DECRYPTION_OKAY" in said and len(names) == 1):
            raise GpgError(f"gpg did not give the plaintext of {label} as it is", OTHERS)
    from passhelper.store import gpg_errors  # only on failure

    raise gpg_errors.decryption_error(gpg, child, lines, label, source)


def ciphertext(gpg: "Gpg", child: "Child", recipients: "Sequence[str]", where: str) -> bytes:
    """Read the result of an encryption that has ended.

    Args:
        gpg: what has encrypted.
        child: from ``gpg.start_encrypt``.
        recipients: the same as there; what gpg says and has written is compared with them.
        where: the file that names them, for messages.

    Raises:
        RecipientsError: at least one cannot be encrypted to; all such are named. Or the message is for others.
        GpgError: anything else.
    """
    lines = status_lines(child)
    done = any(line[0] == "END_ENCRYPTION" for line in lines)
    if child.returncode == 0 and done and child.stdout and not child.timed_out:
        from passhelper.store import keynames  # only for those who write

        message = bytes(child.stdout)
        try:
            found, begin = packets.headers(message)
        except packets.PacketError as error:
            raise GpgError(f"gpg wrote no message: {error}", OTHERS) from None
        if packets.HIDDEN in found:
            raise RecipientsError("gpg did not write down whom it encrypted it to", OTHERS)
        if len(found) > len(recipients) and not _has_groups(gpg):
            raise RecipientsError(OTHER_KEYS, OTHERS)
        taken = keynames.selected(lines)
        if not keynames.is_plain(recipients, taken, found):
            from passhelper.store import mistaken  # only for subkeys, and on failure

            mistaken.refuse(gpg, recipients, taken, found)
        is_old = any(line[0] == "BEGIN_ENCRYPTION" and line[2] in _CIPHERS_64 for line in lines)
        if len(message) - begin <= child.least + (_OVERHEAD_64 if is_old else _OVERHEAD):
            raise GpgError(f"gpg did not encrypt all of it: {len(message)} bytes are too few", OTHERS)
        return message
    from passhelper.store import gpg_errors  # only on failure

    raise gpg_errors.encryption_error(gpg, child, recipients, where)


def _has_groups(gpg: "Gpg") -> bool:
    return any(option.startswith("--group") for option in (*gpg.configured(), *gpg.options()))


def has_ended_well(child: "Child", lines: "list[list[str]]") -> bool:
    """Return whether gpg did what it was to do.

    Where a recipient is hidden, gpg tries one secret key after the other, and exits with 2 for each that was the
    wrong one, even if another has opened the message. gpg 2.2 exits so, and with the same good words, for an OCB
    packet that was changed; newer ones say what became of it, and name its algorithm in ``DECRYPTION_INFO``.
    """
    if child.timed_out or child.returncode not in (0, 2):
        return False
    if child.returncode == 0:
        return True
    said = {line[0] for line in lines}
    is_hidden = any(line[0] == "ENC_TO" and line[1] == packets.HIDDEN for line in lines)
    opened = {"DECRYPTION_KEY", "DECRYPTION_OKAY", "GOODMDC", "END_DECRYPTION"} <= said
    # An error about a key; gpg's own exit is a failure, too.
    others = [line for line in lines if line[0] == "FAILURE" and line[1] != "gpg-exit"]
    others += [line for line in lines if line[0] == "ERROR" and line[1] != "pkdecrypt_failed"]
    # Method, cipher and, of an OCB packet, its algorithm: a method of 0 and no algorithm is gpg 2.2's OCB.
    is_checked = any(line[0] == "DECRYPTION_INFO" and (line[1] != "0" or line[3:4] > ["0"]) for line in lines)
    return is_hidden and opened and is_checked and not others and said.isdisjoint(_BROKEN)


def _is_whole(child: "Child", lines: "list[list[str]]") -> bool:
    """Compare what was read with what gpg says that it wrote; of long messages it does not know the length."""
    is_binary, missing = False, 0 if child.stdout else 1
    for line in lines:
        if line[0] == "PLAINTEXT":
            is_binary = line[1] == "62"  # the letter b; of text, gpg changes the line ends
        elif line[0] == "PLAINTEXT_LENGTH":
            missing = int(line[1]) - len(child.stdout)
    return missing == 0 or (not is_binary and 0 < missing <= child.stdout.count(b"\n"))
