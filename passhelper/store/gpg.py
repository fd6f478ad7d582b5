"""The only runner of gpg on the verb path: encrypt, decrypt, verify, each in one process.

gpg is told to be silent on the network, not to guess keys, and to report through ``--status-fd``
(gpg's doc/DETAILS), never through text that changes with the locale. What it reports decides:
plaintext counts only when gpg exits 0 *and* said ``DECRYPTION_OKAY``, because gpg exits 0 on a message
that was never encrypted.

No configuration decides which bytes come out and where they go. Of the user's ``gpg.conf`` only the lines that
``gpgconf.py`` names count. The machine's own file cannot be left out (``--no-options`` reads it all the same), so what
matters is said again after everything else, and results are measured.
"""

import os

from passhelper import settings
from passhelper.errors import (
    ConfigurationError,
    EntryError,
    GpgError,
    GpgNotFoundError,
    LockedKeyError,
    RecipientsError,
)
from passhelper.store.child import PASSPHRASE, STATUS, Child, clean_environ, find_program, finish, start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_PLAINTEXT = 2 << 20  # bytes; a 4 kB message can expand to 2 GiB
MAX_CONFIGURATION = 1 << 20  # bytes of a gpg.conf
QUICK = 2.0  # seconds for a gpg whose answer is only a hint

# Where a passphrase can come from, in the order in which they are looked at.
PASSPHRASE_VARIABLES = ("PASSHELPER_PASSPHRASE_FILE", "PASSHELPER_PASSPHRASE_FD", "PASSHELPER_PASSPHRASE")

_COMMON = ("--no-options", "--batch", "--yes", "--no-greeting", "--no-auto-key-locate", "--no-auto-key-retrieve",
           "--disable-dirmngr", "--no-auto-check-trustdb",
           # A descriptor that a configuration names would be stdin, and the message begin with its second line.
           "--passphrase-fd", "-1", "--override-session-key-fd", "-1")  # fmt: skip
_NO_PROMPT = ("--pinentry-mode", "error")
_BESIDE = ("--lock-never", "--no-random-seed-file")  # or they wait for each other at every key and every seed
_ENCRYPT = ("--quiet", "--compliance", "gnupg", "--no-encrypt-to", "--no-armor", "--no-throw-keyids")
# After all other options, so that none of them wins.
_LAST = ("--debug-level", "none", "--status-fd", STATUS, "--output", "-", "--max-output", "0")
_LAST_ENCRYPT = ("--compress-algo=none", "--no-textmode", "--no-for-your-eyes-only", "--set-filesize", "0")
_OVERHEAD = 1 + 18 + 8 + 22  # bytes around plaintext and name: version, random prefix, literal header, checksum
_OVERHEAD_64 = 1 + 10 + 8 + 22  # ... with a cipher of 64-bit blocks
_CIPHERS_64 = ("1", "2", "3", "4")  # RFC 9580, section 9.3: IDEA, 3DES, CAST5, Blowfish
_HIDDEN = "0" * 16  # packets.HIDDEN, which need not be loaded for it
_BROKEN = ("BADMDC", "DECRYPTION_FAILED", "NODATA", "UNEXPECTED")
OTHER_KEYS = "gpg encrypted it to other keys than it was told"
OTHERS = "check PASSWORD_STORE_GPG_OPTS and the gpg.conf of this machine (run: gpgconf --list-dirs sysconfdir)"

# libgpg-error: the codes (low 16 bits) with which gpg says that a key is locked.
_NO_PINENTRY, _BAD_PASSPHRASE = 85, 11
_LOCKED = frozenset((
    _BAD_PASSPHRASE,
    62,  # timeout: the prompt was not answered
    _NO_PINENTRY,
    99,  # cancelled
    198,  # fully cancelled
    32870,  # ENOTTY: a curses pinentry without a terminal
    32774,  # ENXIO: the same, on a terminal that is gone
))  # fmt: skip


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


class Gpg:
    """gpg as this environment has it; looked up on first use, so that a miss needs no gpg at all.

    Args:
        environ: where ``PASSHELPER_GPG``, ``PASSWORD_STORE_GPG_OPTS``, passphrases and time limits come from.
        deadline: of what gpg is needed for; each gpg has a time of its own by default.
    """

    def __init__(self, environ: "Mapping[str, str]", deadline: "settings.Deadline | None" = None) -> None:
        self.environ = environ
        self.deadline = deadline or settings.Deadline(environ, shared=False)
        self._program = ""
        self._configured: list[str] | None = None
        self._child_environ: dict[str, str] = {}

    @property
    def program(self) -> str:
        """The absolute path of gpg.

        Raises:
            GpgNotFoundError: there is none.
        """
        if not self._program:
            self._program = self._find()
        return self._program

    def _find(self) -> str:
        chosen = self.environ.get("PASSHELPER_GPG", "")
        if os.path.isabs(chosen):
            if not os.access(chosen, os.X_OK):
                raise GpgNotFoundError(f"PASSHELPER_GPG names {chosen}, which cannot be run")
            return chosen
        if "/" in chosen:
            raise GpgNotFoundError(f"PASSHELPER_GPG must be an absolute path: {chosen}")
        found = find_program((chosen,) if chosen else ("gpg", "gpg2"), self.environ)
        if found is None:
            name = chosen or "gpg"
            raise GpgNotFoundError(
                f"{name} not found in PATH",
                "install GnuPG (Debian and Ubuntu: apt-get install gnupg) or set PASSHELPER_GPG",
            )
        return found

    @property
    def child_environ(self) -> "dict[str, str]":
        """The environment of the child: no secrets, English messages, a terminal to prompt on."""
        if not self._child_environ:
            environ = clean_environ(self.environ)
            if self.can_prompt:
                from passhelper.store.terminal import gpg_tty  # noqa: PLC0415 - not where nobody is there

                environ.pop("GPG_TTY", None)
                terminal = gpg_tty(self.environ)
                if terminal:
                    environ["GPG_TTY"] = terminal
            self._child_environ = environ
        return self._child_environ

    @property
    def can_prompt(self) -> bool:
        """Whether a person could answer a prompt, and no passphrase is configured in their place."""
        if any(self.environ.get(name) for name in PASSPHRASE_VARIABLES):
            return False
        if settings.is_on(self.environ, settings.NONINTERACTIVE):
            return False
        from passhelper.store.terminal import can_prompt  # noqa: PLC0415 - not where nobody is there

        return can_prompt(self.environ)

    def options(self) -> "list[str]":
        """The user's own options, split at white space as ``pass`` does; they come after ours and win."""
        return self.environ.get("PASSWORD_STORE_GPG_OPTS", "").split()

    def configured(self) -> "list[str]":
        """The options that the user's ``gpg.conf`` gives, as far as they count; ours come after them."""
        if self._configured is None:
            self._configured = []
            for name in ("gpg.conf-2", "gpg.conf"):
                try:
                    with open(os.path.join(self.home, name), "rb") as file:
                        text = file.read(MAX_CONFIGURATION)
                except (OSError, ConfigurationError):
                    continue
                from passhelper.store import gpgconf  # noqa: PLC0415 - only where there is one

                self._configured = gpgconf.options(text)
                break
        return self._configured

    @property
    def home(self) -> str:
        """The directory of the keyring; the user's own options may name another one."""
        from passhelper.store.store import home_directory  # noqa: PLC0415 - it imports this module

        options = self.options()
        for at, option in enumerate(options):
            name, mark, value = option.partition("=")
            if name == "--homedir":
                return value if mark else "".join(options[at + 1 : at + 2])
        return self.environ.get("GNUPGHOME") or os.path.join(home_directory(self.environ), ".gnupg")

    def timeout(self) -> float:
        """Seconds that a verb may take as a whole, or one gpg of a command.

        Raises:
            ConfigurationError: ``PASSHELPER_TIMEOUT`` is no positive number.
        """
        return self.deadline.seconds

    # Decryption

    def start_decrypt(self, source: "bytes | int", *, prompt: bool = True) -> Child:
        """Start decrypting an open file or bytes; :meth:`plaintext` reads the result.

        Args:
            source: the message, already checked with ``packets.key_ids``.
            prompt: whether a person may be asked. Without one the agent must already hold the key.
        """
        self.timeout()  # a setting that makes no sense is refused before anything runs
        mode: tuple[str, ...] = () if prompt and self.can_prompt else _NO_PROMPT
        if not self.options():
            # A tenth faster: gpg does not look up the recipients' names, nor how far the keyring trusts a
            # key that decrypts. It also keeps to itself why it failed; finish_decrypt then asks again.
            mode = ("--quiet", "--trust-model=always", "--lock-never", *mode)
        return self._decrypt(source, mode)

    def _decrypt(self, source: "bytes | int", mode: "Sequence[str | int]", secret: "bytes | None" = None) -> Child:
        options: list[str | int] = [*_COMMON, *self.configured(), *mode, *self.options(), *_LAST]
        argv = [self.program, *options, "--decrypt"]
        child = start(argv, self.child_environ, stdin=source, passphrase=secret, limit=MAX_PLAINTEXT)
        # A message inside or behind the one that packets.py has seen may want a password of its own.
        child.forbidden = b"NEED_PASSPHRASE_SYM"
        return child

    def _decrypt_again(
        self, source: "bytes | int", mode: "Sequence[str | int]", secret: "bytes | None" = None
    ) -> Child:
        if isinstance(source, int):
            os.lseek(source, 0, os.SEEK_SET)
        child = self._decrypt(source, mode, secret)
        finish([child], self.deadline.left())
        return child

    def decrypt(self, source: "bytes | int", label: str) -> Plaintext:
        """Decrypt one message; :meth:`start_decrypt` and :meth:`finish_decrypt` in one."""
        return self.finish_decrypt(self.start_decrypt(source), source, label)

    def finish_decrypt(self, child: Child, source: "bytes | int", label: str) -> Plaintext:
        """Wait for a decryption and read its result.

        A configured passphrase is tried once, and only if the agent does not hold the key already;
        never on a card, which three wrong PINs would block.

        Args:
            child: from :meth:`start_decrypt`.
            source: the message that it was given, already checked with ``packets.key_ids``.
            label: the file's name for messages.

        Raises:
            LockedKeyError: nobody can give the passphrase, or it is wrong.
            NoSecretKeyError: the message is for other keys.
            EntryError: the message is corrupt or expands beyond :data:`MAX_PLAINTEXT`.
            GpgError: anything else.
        """
        finish([child], self.deadline.left())
        has_failed = not has_ended_well(child, status_lines(child)) and not child.timed_out and not child.overflow
        # What waited for somebody's lock would wait again.
        if has_failed and not self.options() and b"waiting for lock" not in child.stderr:
            child = self._decrypt_again(source, _NO_PROMPT)  # it asks nobody and tries no passphrase
            if child.returncode != 0:
                from passhelper.store import secmem  # noqa: PLC0415 - only on failure

                child = secmem.retried(self, child, lambda: self._decrypt_again(source, _NO_PROMPT))
        try:
            return self.plaintext(child, label, source)
        except LockedKeyError:
            if not any(self.environ.get(name) for name in PASSPHRASE_VARIABLES):
                raise
        from passhelper.store import gpg_errors, passphrase  # noqa: PLC0415 - only when a key is locked

        gpg_errors.refuse_card(self, status_lines(child))
        mode = ("--pinentry-mode", "loopback", "--passphrase-fd", PASSPHRASE)
        secret = passphrase.read(self.environ, self.deadline.left())
        return self.plaintext(self._decrypt_again(source, mode, secret), label, source)

    def plaintext(self, child: Child, label: str, source: "bytes | int" = b"") -> Plaintext:
        """Read the result of a decryption that has ended; raises as :meth:`decrypt` does."""
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
        from passhelper.store import gpg_errors  # noqa: PLC0415 - only on failure

        raise gpg_errors.decryption_error(self, child, lines, label, source)

    # Encryption

    def start_encrypt(
        self, data: bytes, recipients: "Sequence[str]", name: str, *, trusted: bool, beside: bool = False
    ) -> Child:
        """Start encrypting to all recipients; :meth:`ciphertext` reads the result.

        Args:
            data: the plaintext; it goes through a pipe.
            recipients: keys, each as gpg understands it.
            name: the file name to keep inside the ciphertext.
            trusted: whether every recipient is named by a full fingerprint, which is a statement
                of trust of its own; gpg's ``--trust-model`` holds for the whole call.
            beside: whether many such children run side by side.
        """
        options = (*_COMMON, *self.configured(), *_ENCRYPT, *(_BESIDE if beside else ()))
        argv: list[str | int] = [self.program, *options]
        if trusted:
            argv += ["--trust-model", "always"]
        argv += [*self.options(), *_LAST, *_LAST_ENCRYPT, "--set-filename", name]
        if trusted:  # a group could be called like a fingerprint, and would then be taken for it
            argv.append("--no-groups")
        for recipient in recipients:
            argv += ["--recipient", recipient]
        argv.append("--encrypt")
        child = start(argv, self.child_environ, stdin=data)
        child.least = len(data) + len(name)
        from passhelper.store import keynames, packets  # noqa: F401, PLC0415 - while gpg is busy; ciphertext() needs it

        return child

    def ciphertext(self, child: Child, recipients: "Sequence[str]", where: str) -> bytes:
        """Read the result of an encryption that has ended.

        Args:
            child: from :meth:`start_encrypt`.
            recipients: the same as there; what gpg says and has written is compared with them.
            where: the file that names them, for messages.

        Raises:
            RecipientsError: at least one cannot be encrypted to; all such are named. Or the message is for others.
            GpgError: anything else.
        """
        lines = status_lines(child)
        done = any(line[0] == "END_ENCRYPTION" for line in lines)
        if child.returncode == 0 and done and child.stdout and not child.timed_out:
            from passhelper.store import keynames, packets  # noqa: PLC0415 - only for those who write

            message = bytes(child.stdout)
            try:
                found, begin = packets.headers(message)
            except packets.PacketError as error:
                raise GpgError(f"gpg wrote no message: {error}", OTHERS) from None
            if packets.HIDDEN in found:
                raise RecipientsError("gpg did not write down whom it encrypted it to", OTHERS)
            if len(found) > len(recipients) and not self._has_groups():
                raise RecipientsError(OTHER_KEYS, OTHERS)
            taken = keynames.selected(lines)
            if not keynames.is_plain(recipients, taken, found):
                from passhelper.store import mistaken  # noqa: PLC0415 - only for subkeys, and on failure

                mistaken.refuse(self, recipients, taken, found)
            is_old = any(line[0] == "BEGIN_ENCRYPTION" and line[2] in _CIPHERS_64 for line in lines)
            if len(message) - begin <= child.least + (_OVERHEAD_64 if is_old else _OVERHEAD):
                raise GpgError(f"gpg did not encrypt all of it: {len(message)} bytes are too few", OTHERS)
            return message
        from passhelper.store import gpg_errors  # noqa: PLC0415 - only on failure

        raise gpg_errors.encryption_error(self, child, recipients, where)

    def _has_groups(self) -> bool:
        return any(option.startswith("--group") for option in (*self.configured(), *self.options()))

    # Questions

    def ask(self, *arguments: str, stdin: bytes = b"", seconds: float = 10.0) -> Child:
        """Run gpg for its ``--with-colons`` or status output; nobody is prompted."""
        # A throw-away home must not get the keyrings of the user's own.
        configured = [] if "--homedir" in arguments else self.configured()
        options: list[str | int] = [*_COMMON, *configured, "--quiet", *_NO_PROMPT, *self.options(), *_LAST]
        argv = [self.program, *options, *arguments]
        child = start(argv, self.child_environ, stdin=stdin)
        # What explains a failure may take a moment longer: without it, the words would be the wrong ones.
        finish([child], max(self.deadline.left(seconds), min(seconds, QUICK)))
        return child


def status_lines(child: Child) -> "list[list[str]]":
    """Split gpg's status output into keyword and arguments (doc/DETAILS, "Format of the status output")."""
    prefix = "[GNUPG:] "
    return [
        line[len(prefix) :].split(" ")
        for line in child.status.decode(errors="replace").split("\n")
        if line.startswith(prefix)
    ]


def has_ended_well(child: Child, lines: "list[list[str]]") -> bool:
    """Tell whether gpg did what it was to do.

    Where a recipient is hidden, gpg tries one secret key after the other, and exits with 2 for each that was the
    wrong one, even if another has opened the message. gpg 2.2 exits so, and with the same good words, for an OCB
    packet that was changed; newer ones say what became of it, and name its algorithm in ``DECRYPTION_INFO``.
    """
    if child.timed_out or child.returncode not in (0, 2):
        return False
    if child.returncode == 0:
        return True
    said = {line[0] for line in lines}
    is_hidden = any(line[0] == "ENC_TO" and line[1] == _HIDDEN for line in lines)
    opened = {"DECRYPTION_KEY", "DECRYPTION_OKAY", "GOODMDC", "END_DECRYPTION"} <= said
    # An error about a key; gpg's own exit is a failure, too.
    others = [line for line in lines if line[0] == "FAILURE" and line[1] != "gpg-exit"]
    others += [line for line in lines if line[0] == "ERROR" and line[1] != "pkdecrypt_failed"]
    # Method, cipher and, of an OCB packet, its algorithm: a method of 0 and no algorithm is gpg 2.2's OCB.
    is_checked = any(line[0] == "DECRYPTION_INFO" and (line[1] != "0" or line[3:4] > ["0"]) for line in lines)
    return is_hidden and opened and is_checked and not others and said.isdisjoint(_BROKEN)


def _is_whole(child: Child, lines: "list[list[str]]") -> bool:
    """Compare what was read with what gpg says that it wrote; of long messages it does not know the length."""
    is_binary, missing = False, 0 if child.stdout else 1
    for line in lines:
        if line[0] == "PLAINTEXT":
            is_binary = line[1] == "62"  # the letter b; of text, gpg changes the line ends
        elif line[0] == "PLAINTEXT_LENGTH":
            missing = int(line[1]) - len(child.stdout)
    return missing == 0 or (not is_binary and 0 < missing <= child.stdout.count(b"\n"))


def locked_code(lines: "list[list[str]]") -> int:
    """Read from status lines why a key is locked.

    Returns:
        the libgpg-error code, 0 when no key is locked.
    """
    for line in lines:
        if line[0] == "ERROR" and line[1] == "pkdecrypt_failed" and line[2].isdigit():
            code = int(line[2]) & 0xFFFF
            if code in _LOCKED:
                return code
    return 0


def is_bad_passphrase(code: int) -> bool:
    """Tell a wrong passphrase from one that could not be asked for."""
    return code == _BAD_PASSPHRASE
