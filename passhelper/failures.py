"""What a program of ours says when it does not answer, and how it ends when a signal has told it to.

Loaded only then: no verb that goes well needs it.
"""

import _signal  # loaded at start-up; the signal module costs an enum
import os
import sys

from passhelper import settings
from passhelper.errors import PasshelperError, one_line, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

BY_SIGNAL = 128  # and a signal's number: the exit status of what that signal has ended, as shells say it
_SILENCE = 1.0  # seconds without a byte after which nothing more comes with a verb that there is not
_CHUNK = 1 << 16  # bytes per read, the size of a Linux pipe


def usage(program: str, verb: str, verbs: "tuple[str, ...]", most: int) -> "tuple[str, int]":
    """Return what to answer to a verb that there is not, or to a question for help, and the exit status.

    Args:
        program: its name.
        verb: the word; empty if there was none, or more than one.
        verbs: those that there are.
        most: bytes to read of what comes with it.
    """
    text = f"Usage: {program} <{'|'.join(verbs)}>\n"
    if verb in ("--help", "-h"):
        return text, 0
    _drop_request(most)
    return f"{program}: unknown action: {printable(verb)}\n{text}" if verb else text, 1


def _drop_request(most: int) -> None:
    """Read what a client sends with a verb that there is not; whether it ever closes stdin nobody knows."""
    if sys.platform == "win32" or os.isatty(0):  # select(2) takes only sockets there
        return
    import select  # no verb needs it

    size = 0
    try:
        while size <= most and select.select([0], [], [], _SILENCE)[0]:
            chunk = os.read(0, _CHUNK)
            if not chunk:
                break
            size += len(chunk)
    except OSError:  # no stdin at all
        return


def message(error: BaseException) -> str:
    """Return an error as one line; without the text of one that no backend should raise, which may hold a secret."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, PasshelperError):
        return one_line(str(error)) or type(error).__name__
    return f"internal error: {type(error).__name__}; set PASSHELPER_DEBUG=1 to see where"


def details(error: BaseException) -> str:
    """Return the traceback of an error where ``PASSHELPER_DEBUG`` asks for it, else nothing."""
    try:
        wanted = settings.is_on(os.environ, settings.DEBUG)
    except PasshelperError as refused:
        return "" if str(error) == str(refused) else f"{refused}\n"
    if not wanted:
        return ""
    import traceback  # only for debugging

    lines = "".join(traceback.format_exception(error)).splitlines()
    return "".join([f"{one_line(line)}\n" for line in lines])


def interruption(error: BaseException) -> int:
    """Return which signal has interrupted this program."""
    return error.args[0] if isinstance(error, KeyboardInterrupt) and error.args else 2  # SIGINT


def end_by(number: int) -> "NoReturn":
    """End this process by a signal, as shells expect of a program that was told to end by one."""
    if sys.platform != "win32":
        _signal.signal(number, _signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(BY_SIGNAL + number)
