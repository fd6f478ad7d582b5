"""Questions to a person, on the terminal itself: stdin may carry data, stdout a result.

Where nobody can answer (no terminal, CI, ``PASSHELPER_NONINTERACTIVE=1``) nothing is asked, and the error names
the option or variable that answers instead.
"""

from __future__ import annotations

import getpass
import os
import sys
import warnings

from passhelper.errors import ConfigurationError, one_line
from passhelper.store.terminal import can_prompt

_INPUT, _OUTPUT = ("CONIN$", "CONOUT$") if sys.platform == "win32" else ("/dev/tty", "/dev/tty")


def is_present() -> bool:
    """Return whether there is a terminal and somebody to answer."""
    if not can_prompt(os.environ):
        return False
    try:
        with open(_INPUT, "rb"), open(_OUTPUT, "wb"):
            return True
    except OSError:
        return False


def ask_secret(question: str, *, instead: str) -> str:
    """Ask for something that is not shown while it is typed.

    Args:
        question: what to ask, without the colon.
        instead: what to use where nobody can be asked.

    Raises:
        ConfigurationError: nobody can be asked, or nothing was typed.
    """
    label = question[:1].lower() + question[1:]
    if not is_present():
        raise ConfigurationError(f"no terminal to ask for the {label}", instead)
    with warnings.catch_warnings():
        # getpass would warn and go on with echo.
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            answer = getpass.getpass(f"{one_line(question)}: ")
        except (EOFError, getpass.GetPassWarning) as error:
            raise ConfigurationError(f"the terminal cannot be asked for the {label}", instead) from error
    if not answer:
        raise ConfigurationError(f"the {label} is empty", "type it, or press Ctrl-C to stop")
    return answer


def ask_new_secret(question: str, *, instead: str) -> str:
    """Ask twice for a new secret.

    Raises:
        ConfigurationError: as :func:`ask_secret`, or the two differ.
    """
    first = ask_secret(question, instead=instead)
    if ask_secret(f"{question} again", instead=instead) != first:
        raise ConfigurationError("the two entries differ", "run the command again")
    return first


def confirm(question: str) -> bool:
    """Ask for yes or no; nothing typed means no. The caller has checked :func:`is_present`."""
    with open(_OUTPUT, "w", encoding="utf-8", errors="replace") as terminal:
        terminal.write(f"{one_line(question)} [y/N] ")
    with open(_INPUT, encoding="utf-8", errors="replace") as terminal:
        return terminal.readline().strip().lower() in ("y", "yes")
