"""The only runner of gpg on the verb path: encrypt, decrypt, verify, each in one process.

gpg is told to be silent on the network, not to guess keys, and to report through ``--status-fd``
(gpg's doc/DETAILS), never through text that changes with the locale. What that says
:mod:`passhelper.store.cipher` decides.

No configuration decides which bytes come out and where they go. Of the user's ``gpg.conf`` only the lines that
``gpgconf.py`` names count. The machine's own file cannot be left out (``--no-options`` reads it all the same), so what
matters is said again after everything else, and results are measured.
"""

import os

from passhelper import settings
from passhelper.errors import ConfigurationError, GpgNotFoundError
from passhelper.store.child import Child, finish
from passhelper.store.programs import MAX_OUTPUT, PASSPHRASE, ROOTLESS, STATUS, clean_environ, find_program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_PLAINTEXT = 2 << 20  # bytes; a 4 kB message can expand to 2 GiB
MAX_CONFIGURATION = 1 << 20  # bytes of a gpg.conf
QUICK = 2.0  # seconds for a gpg whose answer is only a hint

_COMMON = ("--no-options", "--batch", "--yes", "--no-greeting", "--no-auto-key-locate", "--no-auto-key-retrieve",
           "--disable-dirmngr", "--no-auto-check-trustdb",
           # A descriptor that a configuration names would be stdin, and the message begin with its second line.
           "--passphrase-fd", "-1", "--override-session-key-fd", "-1")  # fmt: skip
_NO_PROMPT: "tuple[str | int, ...]" = ("--pinentry-mode", "error")
_WITH_PASSPHRASE = ("--pinentry-mode", "loopback", "--passphrase-fd", PASSPHRASE)
_BESIDE = ("--lock-never", "--no-random-seed-file")  # or they wait for each other at every key and every seed
_ENCRYPT = ("--quiet", "--compliance", "gnupg", "--no-encrypt-to", "--no-armor", "--no-throw-keyids")
# After all other options, so that none of them wins.
_LAST = ("--debug-level", "none", "--status-fd", STATUS, "--output", "-", "--max-output", "0")
_LAST_ENCRYPT = ("--compress-algo=none", "--no-textmode", "--no-for-your-eyes-only", "--set-filesize", "0")
OTHER_KEYS = "gpg encrypted it to other keys than it was told"
OTHERS = "check PASSWORD_STORE_GPG_OPTS and the gpg.conf of this machine (run: gpgconf --list-dirs sysconfdir)"


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
                from passhelper.store.terminal import gpg_tty  # not where nobody is there

                environ.pop("GPG_TTY", None)
                terminal = gpg_tty(self.environ)
                if terminal:
                    environ["GPG_TTY"] = terminal
            self._child_environ = environ
        return self._child_environ

    @property
    def can_prompt(self) -> bool:
        """Whether a person could answer a prompt, and no passphrase is configured in their place."""
        if any(self.environ.get(name) for name in settings.PASSPHRASE_VARIABLES):
            return False
        if settings.is_on(self.environ, settings.NONINTERACTIVE):
            return False
        from passhelper.store.terminal import can_prompt  # not where nobody is there

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
                from passhelper.store import gpgconf  # only where there is one

                self._configured = gpgconf.options(text)
                break
        return self._configured

    @property
    def home(self) -> str:
        """The directory of the keyring; the user's own options may name another one."""
        options = self.options()
        for at, option in enumerate(options):
            name, mark, value = option.partition("=")
            if name == "--homedir":
                return value if mark else "".join(options[at + 1 : at + 2])
        return self.environ.get("GNUPGHOME") or os.path.join(settings.home_directory(self.environ), ".gnupg")

    def start(
        self,
        argv: "Sequence[str | int]",
        *,
        stdin: "bytes | int" = b"",
        passphrase: "bytes | None" = None,
        limit: int = MAX_OUTPUT,
    ) -> Child:
        """Start gpg, or a tool of its; the arguments are those of :class:`passhelper.store.child.Child`."""
        if ROOTLESS in self.child_environ:
            from passhelper.store import rootless  # only below rootless podman or buildah

            argv = [*rootless.prefix(self.child_environ), *argv]
        return Child(argv, self.child_environ, stdin=stdin, passphrase=passphrase, limit=limit)

    # Decryption

    def start_decrypt(self, source: "bytes | int", *, prompt: bool = True) -> Child:
        """Start decrypting an open file or bytes; :func:`passhelper.store.cipher.finish_decrypt` reads the result.

        Args:
            source: the message, already checked with ``packets.key_ids``.
            prompt: whether a person may be asked. Without one the agent must already hold the key.
        """
        _ = self.deadline.seconds  # a setting that makes no sense is refused before anything runs
        mode: tuple[str | int, ...] = () if prompt and self.can_prompt else _NO_PROMPT
        if not self.options():
            # A tenth faster: gpg does not look up the recipients' names, nor how far the keyring trusts a
            # key that decrypts. It also keeps to itself why it failed; who reads the result then asks again.
            mode = ("--quiet", "--trust-model=always", "--lock-never", *mode)
        return self._decrypt(source, mode)

    def _decrypt(self, source: "bytes | int", mode: "Sequence[str | int]", secret: "bytes | None" = None) -> Child:
        options: list[str | int] = [*_COMMON, *self.configured(), *mode, *self.options(), *_LAST]
        argv = [self.program, *options, "--decrypt"]
        child = self.start(argv, stdin=source, passphrase=secret, limit=MAX_PLAINTEXT)
        # A message inside or behind the one that packets.py has seen may want a password of its own.
        child.forbidden = b"NEED_PASSPHRASE_SYM"
        return child

    def decrypt_again(self, source: "bytes | int", secret: "bytes | None" = None) -> Child:
        """Decrypt once more and wait for it: with a passphrase, or asking nobody for one."""
        if isinstance(source, int):
            os.lseek(source, 0, os.SEEK_SET)
        mode = _NO_PROMPT if secret is None else _WITH_PASSPHRASE
        child = self._decrypt(source, mode, secret)
        finish([child], self.deadline.left())
        return child

    # Encryption

    def start_encrypt(
        self, data: bytes, recipients: "Sequence[str]", name: str, *, trusted: bool, beside: bool = False
    ) -> Child:
        """Start encrypting to all recipients; :func:`passhelper.store.cipher.ciphertext` reads the result.

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
        child = self.start(argv, stdin=data)
        child.least = len(data) + len(name)
        return child

    # Questions

    def ask(self, *arguments: str, stdin: bytes = b"", seconds: float = 10.0) -> Child:
        """Run gpg for its ``--with-colons`` or status output; nobody is prompted."""
        # A throw-away home must not get the keyrings of the user's own.
        configured = [] if "--homedir" in arguments else self.configured()
        options: list[str | int] = [*_COMMON, *configured, "--quiet", *_NO_PROMPT, *self.options(), *_LAST]
        argv = [self.program, *options, *arguments]
        child = self.start(argv, stdin=stdin)
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
