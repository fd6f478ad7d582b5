"""Docker's credential-helper protocol: one verb as argument, stdin in, stdout out.

The reference is ``credentials/credentials.go`` of docker/docker-credential-helpers; what clients
really send and compare was recorded from them, or read in their source. What they rely on:

* the verb comes first: ``list`` and ``version`` never touch stdin (testcontainers-node 10 leaves it
  open on ``list`` for ever, docker-py closes it empty, Go clients send ``unused``);
* ``get``, ``store`` and ``erase`` read stdin to its end before they exit, failing or not, or a client
  that still writes dies of EPIPE (testcontainers-node 12); what comes with a verb that there is not
  is dropped, without waiting for an end that may never come;
* the server URL may end in a newline (testcontainers-node sends one, Go clients and docker-py none);
* an answer is one JSON object of strings and nothing else, its keys written ``ServerURL``, ``Username``
  and ``Secret``: Nomad decodes a ``map[string]string`` and docker-py indexes by these names, so a
  number or another case breaks them; testcontainers-java 1.20 needs ``ServerURL`` too;
* "not found" is the whole of stdout, exit status 1, and nothing on stderr: Go clients compare for
  equality, testcontainers-java tests for 1, and docker shows the user what comes on stderr;
* every real failure is one line on stdout, which Go clients put into their error, and the same on
  stderr: docker's pull, oras-py and Nomad show nothing else;
* the three messages in :mod:`passhelper.errors` are compared byte for byte.
"""

import _signal  # loaded at the start of any interpreter, as io is; the signal module costs an enum
import os
import sys
from io import BytesIO

from passhelper.credentials import Credentials, Helper
from passhelper.errors import CredentialsNotFoundError, InvalidRequestError, one_line, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO, NoReturn

MAX_REQUEST = 2 << 20  # bytes that a client may send; far above any token, below any accident
_CHUNK = 1 << 16  # bytes per read, the size of a Linux pipe
_INTERRUPTING = ("SIGINT", "SIGTERM", "SIGHUP")
_SECRETS = ("PASSHELPER_PASSPHRASE", "PASSHELPER_GPG_KEY", "PASSHELPER_STORE_URL")  # variables
_VERBS = ("store", "get", "erase", "list", "version")


def serve(helper: Helper, argv: list[str] | None = None) -> int:
    """Answer one request on the process's own stdin, stdout and stderr.

    Args:
        helper: the backend that answers. It is not touched for ``version`` and usage.
        argv: program name and arguments; ``sys.argv`` by default.

    Returns:
        the exit status for ``sys.exit``: 0 or 1, or 128 and the number of the signal that has interrupted it. Never
        raises, so that no traceback reaches a client (``PASSHELPER_DEBUG=1`` adds it on stderr).
    """
    argv = sys.argv if argv is None else argv
    program = os.path.basename(argv[0])
    verb = argv[1] if len(argv) == 2 else ""
    verb = "version" if verb in ("--version", "-v") else verb
    answer, status = BytesIO(), 0
    try:
        if verb in _VERBS:
            handle(helper, verb, Stdin(program, "" if verb == "store" else "the server URL"), answer, program)
        else:
            from passhelper import failures  # no verb needs it

            usage, status = failures.usage(program, verb, _VERBS, MAX_REQUEST)
            answer.write(usage.encode(errors="replace"))
    except CredentialsNotFoundError as error:
        tell(1, f"{error}\n")
        return 1
    except BaseException as error:  # noqa: BLE001 - the boundary: a backend may raise anything
        return _fail(program, error)
    return status if _write(1, answer.getbuffer()) else 1


def _fail(program: str, error: BaseException) -> int:
    from passhelper import failures  # see there

    message = failures.message(error)
    tell(2, f"{program}: {message}\n{failures.details(error)}")
    tell(1, f"{message}\n")
    return failures.BY_SIGNAL + failures.interruption(error) if isinstance(error, KeyboardInterrupt) else 1


def handle(
    helper: Helper, verb: str, stdin: "BinaryIO | Stdin", stdout: "BinaryIO", program: str = "docker-credential-helper"
) -> None:
    """Answer one request on the caller's own streams; nothing of the process is read, written or changed.

    This is what :func:`serve` does between reading its arguments and printing an error, for tests and for programs
    that serve a helper on something else than their standard streams.

    Args:
        helper: the backend that answers.
        verb: ``get``, ``store``, ``erase``, ``list`` or ``version``.
        stdin: a binary stream that blocks, with the request. ``get``, ``store`` and ``erase`` read it to its end, the
            others leave it alone.
        stdout: a binary stream. It gets the whole answer at once, and nothing when there is an error.
        program: the name that ``version`` gives.

    Raises:
        CredentialsNotFoundError: the helper has nothing for the server.
        InvalidRequestError: there is no such verb, or the request cannot be served.
        PasshelperError: the helper failed. Whatever else a backend raises is not turned into it here.
    """
    if verb == "list":
        answer = _list(helper)
    elif verb == "get":
        answer = _get(helper, _decode(read_request(stdin)))
    elif verb == "store":
        helper.store(parse_credentials(read_request(stdin)))
        return
    elif verb == "erase":
        helper.erase(_decode(read_request(stdin)))
        return
    elif verb == "version":
        from passhelper.version import __version__  # only this verb needs it

        answer = f"{program} (passhelper) {__version__}"
    else:
        raise InvalidRequestError(f"unknown action: {printable(verb)}", f"use one of: {', '.join(_VERBS)}")
    stdout.write(f"{answer}\n".encode(errors="replace"))


def run(
    helper: Helper, argv: list[str], tidy: "Callable[[], None] | None" = None, *, forbids_cores: bool = False
) -> "NoReturn":
    """Be a ``docker-credential-*`` program: answer one request and end the process.

    Args:
        helper: the backend that answers.
        argv: program name and arguments.
        tidy: called before a signal ends the process; for what the backend has started.
        forbids_cores: whether it calls :func:`forbid_cores` itself before it holds what `get` answers.
    """
    catch_signals()
    empty_cores()
    # `list` meets no secret but one that its caller has put into the environment; `erase` may ask git to push.
    holds = any(os.environ.get(name) for name in _SECRETS)
    if holds or argv[1:] in (["store"], ["erase"]) or (argv[1:] == ["get"] and not forbids_cores):
        forbid_cores()
    for number in (0, 1, 2):  # a closed standard stream would be the next pipe's or socket's number
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    try:
        status = serve(helper, argv)
    except KeyboardInterrupt as error:  # while the answer was written
        from passhelper import failures  # see there

        status = failures.BY_SIGNAL + failures.interruption(error)
    if status > 1:
        from passhelper import failures  # see there

        if tidy is not None:
            tidy()
        failures.end_by(status - failures.BY_SIGNAL)
    # Nothing is left to flush or to clean up; ending here saves the interpreter's own tidying.
    os._exit(status)


def empty_cores() -> None:
    """Leave memory out of the cores of this process and its children (Linux only); registers stay in."""
    try:
        descriptor = os.open("/proc/self/coredump_filter", os.O_WRONLY)  # core(5)
        try:
            os.write(descriptor, b"0")
        finally:
            os.close(descriptor)
    except OSError:
        pass


def forbid_cores() -> None:
    """Let this process, and its children, leave no core when a signal or a fault ends them."""
    if sys.platform == "win32":
        return
    import resource  # a fifth of a millisecond, for a program that holds a secret alone

    # Linux hands cores to a program (``|`` in core_pattern) whatever the limit is, but for the limit of one byte, which
    # is too little for a file as well (fs/coredump.c).
    wanted = 1 if sys.platform == "linux" else 0
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    wanted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_CORE, (wanted, hard))


def catch_signals() -> None:
    """Let TERM and HUP interrupt this program as Ctrl-C does: nothing stays half done, and nothing runs on.

    What the caller has chosen to ignore stays ignored, but for SIGCHLD: how gpg has ended could not be told.
    """
    for name in _INTERRUPTING:
        number = getattr(_signal, name, None)  # Windows has no HUP
        if number is not None and _signal.getsignal(number) in (_signal.SIG_DFL, _signal.default_int_handler):
            _signal.signal(number, _interrupt)
    if hasattr(_signal, "SIGCHLD"):
        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)


def _interrupt(number: int, frame: object) -> "NoReturn":
    del frame
    for name in _INTERRUPTING:  # a second one must not interrupt the tidying up; children are not to inherit that
        other = getattr(_signal, name, None)
        if other is not None and _signal.getsignal(other) is _interrupt:
            _signal.signal(other, lambda *_: None)
    raise KeyboardInterrupt(number)


def _get(helper: Helper, server: str) -> str:
    found = helper.get(server)
    from passhelper.jsontext import inert, quote  # a miss needs no JSON

    return inert(
        f'{{"ServerURL":{quote(found.server)},"Username":{quote(found.username)},"Secret":{quote(found.secret)}}}'
    )


def _list(helper: Helper) -> str:
    from passhelper.jsontext import inert, quote  # a miss needs no JSON

    listed = helper.list()
    return inert("{" + ",".join([f"{quote(server)}:{quote(listed[server])}" for server in sorted(listed)]) + "}")


def read_request(stdin: "BinaryIO | Stdin") -> bytes:
    """Read a stream to its end, keeping at most :data:`MAX_REQUEST` bytes.

    Raises:
        InvalidRequestError: the request is too large, and the rest was read and dropped; or it cannot be read.
    """
    chunks = []
    size = 0
    while chunk := stdin.read(_CHUNK):
        size += len(chunk)
        if size <= MAX_REQUEST:
            chunks.append(chunk)
    if size > MAX_REQUEST:
        raise InvalidRequestError(f"request larger than {MAX_REQUEST} bytes")
    return b"".join(chunks)


class Stdin:
    """Standard input; at a terminal it ends with the first line.

    Args:
        program: the name for the prompt.
        wanted: what a person at a terminal is asked for, as one line; empty for a whole document.
    """

    def __init__(self, program: str, wanted: str) -> None:
        self._program = program
        self._wanted = wanted
        self._is_line: bool | None = None
        self._has_ended = False

    def read(self, size: int) -> bytes:
        """Read what has come, also where the caller has made stdin non-blocking; empty at its end."""
        if self._is_line is None:
            self._is_line = bool(self._wanted) and os.isatty(0)
            if self._is_line:
                tell(2, f"{self._program}: type {self._wanted}, then Enter\n")
        if self._has_ended:
            return b""
        while True:
            try:
                chunk = os.read(0, size)
                break
            except BlockingIOError:
                _wait(0, writing=False)
            except OSError as error:
                raise InvalidRequestError(
                    f"stdin cannot be read: {error.strerror}", "give the request on stdin, as a file or through a pipe"
                ) from error
        if self._is_line and b"\n" in chunk:
            self._has_ended = True
            return chunk.partition(b"\n")[0]
        return chunk


def _wait(descriptor: int, *, writing: bool) -> None:
    if sys.platform == "win32":
        return
    import select  # callers such as Node.js make a pipe non-blocking, most do not

    poll = select.poll()
    poll.register(descriptor, select.POLLOUT if writing else select.POLLIN)
    poll.poll()


def parse_credentials(request: bytes) -> Credentials:
    """Parse the JSON document that ``store`` receives, as liberally as Go's decoder does.

    Keys match in any case, unknown keys are ignored, the last of equal keys counts, ``null`` is an
    empty string. Unlike Go, text after the document and broken UTF-16 are refused.

    Raises:
        InvalidRequestError: with the reason; no message repeats what was sent.
    """
    from passhelper.jsontext import parse  # only `store` parses JSON

    try:
        document = parse(_decode(request))
    except ValueError as error:
        raise InvalidRequestError(f"request is not valid JSON: {error}") from None
    if not isinstance(document, dict):
        raise InvalidRequestError("request is not a JSON object")
    fields = {"ServerURL": "", "Username": "", "Secret": ""}
    labels = {label.lower(): label for label in fields}
    for key, value in document.items():
        label = labels.get(key.lower())
        if label is None:
            continue
        if not isinstance(value, str) and value is not None:
            raise InvalidRequestError(f"{label} in the request is not a string")
        fields[label] = value or ""
    return Credentials(*fields.values())


def _decode(request: bytes) -> str:
    try:
        return request.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise InvalidRequestError(f"request is not UTF-8: byte {error.start}") from None


def tell(descriptor: int, text: str) -> None:
    """Write all of a text, whatever the locale; nothing happens where the reader has gone."""
    _write(descriptor, memoryview(text.encode(errors="replace")))


def warner(program: str) -> "Callable[[str], None]":
    """Make what writes a warning of a program to stderr, as one line."""

    def warn(message: str) -> None:
        tell(2, f"{program}: warning: {one_line(message)}\n")

    return warn


def _write(descriptor: int, data: memoryview) -> bool:
    """Write all of some bytes; return whether somebody read them."""
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:
            _wait(descriptor, writing=True)
        except OSError:
            return False
    return True
