"""Put ``docker-credential-NAME`` on PATH for a backend of this installation, and take it away again.

Nothing of the caller's environment or working directory can put code into them (``-I``). A shipped backend that
needs no library starts without ``site``, too, which is a third of its start-up time; others may need libraries from
anywhere.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING

from passhelper.backends import SHIPPED, get_helper
from passhelper.client import PREFIX, short_name
from passhelper.errors import ConfigurationError
from passhelper.machine import launcher, userfile
from passhelper.store.child import find_program

if TYPE_CHECKING:
    from collections.abc import Mapping

_OPTIONS = "-IXutf8"
_TEXT = """\
import sys

from passhelper.backends import get_helper
from passhelper.protocol import run

run(get_helper({name!r}), [{program!r}, *sys.argv[1:]])
"""
_BARE_OPTIONS = "-ISXutf8"
_BARE_TEXT = """\
import gc
import sys

gc.disable()
sys.path[:0] = {folders!r}
import passhelper
import passhelper_backends

sys.path.extend([sys.path.pop(0) for _ in {folders!r}])
from passhelper.backends import get_helper
from passhelper.protocol import run

run(get_helper({name!r}), [{program!r}, *sys.argv[1:]])
"""
_NEED_LIBRARIES = ("keyring",)  # of the shipped ones


def link(name: str, environ: Mapping[str, str], folder: str = "") -> tuple[str, bool]:
    """Write the launcher of a backend.

    Args:
        name: the backend's name.
        environ: where ``PATH`` and ``HOME`` come from.
        folder: where the user wants it; chosen when empty.

    Returns:
        its path, and whether it was written now.

    Raises:
        ConfigurationError: there is no such backend, or the place is taken by another program.
    """
    short, program, target = _place(name, environ, folder)
    get_helper(short)  # says what is wrong with a backend now, not when Docker needs it
    if short == "pass":
        text = launcher.content(launcher.interpreter(), launcher.packages())
    elif short in SHIPPED and short not in _NEED_LIBRARIES:
        start = _BARE_TEXT.format(name=short, program=program, folders=_folders())
        text = launcher.script(launcher.interpreter(), _BARE_OPTIONS, launcher.mark(program), start)
    else:
        start = _TEXT.format(name=short, program=program)
        text = launcher.script(launcher.interpreter(), _OPTIONS, launcher.mark(program), start)
    if os.path.lexists(target):
        before = launcher.text_of(target)
        if before == text and os.access(target, os.X_OK):
            return target, False
        _refuse_foreign(target, program)
    userfile.replace(target, text.encode(errors="surrogateescape"), 0o755)
    os.chmod(target, 0o755)  # noqa: S103 - a program, and an older launcher may have lost its mode
    return target, True


def unlink(name: str, environ: Mapping[str, str], folder: str = "") -> tuple[str, bool]:
    """Remove the launcher of a backend.

    Args:
        name: the backend's name; it need not exist any more.
        environ: where ``PATH`` and ``HOME`` come from.
        folder: where it is; the directory that :func:`link` chooses when empty.

    Returns:
        its path, and whether it was there.

    Raises:
        ConfigurationError: another program is there, or it cannot be removed.
    """
    _, program, target = _place(name, environ, folder)
    if not os.path.lexists(target):
        return target, False
    _refuse_foreign(target, program)
    try:
        os.unlink(target)
    except OSError as error:
        raise ConfigurationError(f"cannot remove {target}: {error.strerror}", "check the owner and mode") from error
    return target, True


def shadow(path: str, environ: Mapping[str, str]) -> str | None:
    """Tell what Docker would run instead of a launcher: another program, "" for none, None if all is well."""
    found = find_program((os.path.basename(path),), environ)
    if found is None:
        return ""
    return None if os.path.samefile(found, path) else found


def _folders() -> list[str]:
    """Find the directories that hold our two packages; one, but in a development tree."""
    backends = find_spec(SHIPPED["memory"].partition(".")[0])
    locations = (backends.submodule_search_locations if backends is not None else None) or []
    return list(dict.fromkeys([launcher.packages(), *(os.path.dirname(location) for location in locations)]))


def _place(name: str, environ: Mapping[str, str], folder: str) -> tuple[str, str, str]:
    """Give the short name, the program's name and its path."""
    short = short_name(name)
    program = PREFIX + short
    chosen = os.path.abspath(os.path.expanduser(folder)) if folder else launcher.choose_folder(environ)
    return short, program, os.path.join(chosen, program)


def _refuse_foreign(target: str, program: str) -> None:
    if not launcher.is_launcher(target, program):
        raise ConfigurationError(
            f"{target} is another program, so it is left as it is", "remove it, or name another directory with --dir"
        )
