"""Put ``docker-credential-NAME`` on PATH for a backend of this installation, and take it away again.

Nothing of the caller's environment or working directory can put code into them (``-I``). A shipped backend that
needs no library starts without ``site``, too, which is a third of its start-up time; others may need libraries from
anywhere.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from passhelper.backends import SHIPPED, get_helper
from passhelper.client import PREFIX, short_name
from passhelper.errors import ConfigurationError
from passhelper.machine import launcher
from passhelper.oserrors import remedy
from passhelper.store.programs import find_program

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_OPTIONS = "-IXutf8"
_TEXT = """\
{interruptible}import sys

{helper}
from passhelper.protocol import run

run(helper, [{program!r}, *sys.argv[1:]])
"""
_BARE_OPTIONS = "-ISXutf8"
_BARE_TEXT = """\
{interruptible}import gc
import sys

gc.disable()
_folders = {folders!r}
sys.path[:0] = _folders
import passhelper
import passhelper_backends

del sys.path[: len(_folders)]
sys.path += _folders
{helper}
from passhelper.protocol import run

run(helper, [{program!r}, *sys.argv[1:]])
"""
_ONE = "from passhelper.backends import late_helper\n\nhelper = late_helper({name!r})"
_FIRST = "from passhelper.auto import AutoHelper\n\nhelper = AutoHelper({names!r})"
_NEED_LIBRARIES = ("keyring",)  # of the shipped ones
_SELF_TEST = ".selftest"  # the module of a backend that has one
_INSTEAD = "name another directory with --dir"
AUTO = "auto"  # the name of the helper that chooses among others


def link(name: str, environ: Mapping[str, str], folder: str = "", choices: Sequence[str] = ()) -> tuple[str, bool]:
    """Write the launcher of a backend, or for the name :data:`AUTO` of several that it tries in this order.

    Args:
        name: the backend's, or :data:`AUTO`.
        environ: where ``PATH`` and ``HOME`` come from.
        folder: where it goes; chosen if empty.
        choices: the backends of :data:`AUTO`.

    Returns:
        its path, and whether it was written now.

    Raises:
        ConfigurationError: there is no such backend, or the place is taken by another program.
    """
    short, program, target = _place(name, environ, folder)
    parts = [short_name(choice) for choice in choices] if short == AUTO else [short]
    for part in parts:
        get_helper(part)  # says what is wrong with a backend now, not when Docker needs it
    if short == "pass" and sys.platform != "win32":
        data = _content_of_pass(program)
    else:
        data = _content(program, parts, _FIRST.format(names=tuple(parts)) if short == AUTO else _ONE.format(name=short))
    return target, launcher.put(target, data, program, _INSTEAD)


def link_store(name: str, environ: Mapping[str, str], store: str, folder: str = "") -> tuple[str, bool]:
    """Write a launcher for one pass store, whatever ``PASSWORD_STORE_DIR`` says; raises as :func:`link` does.

    Args:
        name: what Docker calls it; no backend's.
        environ: where ``PATH`` and ``HOME`` come from.
        store: the store's absolute path.
        folder: where it goes; chosen if empty.
    """
    short, program, target = _place(name, environ, folder)
    if short in (*SHIPPED, AUTO):
        raise ConfigurationError(f"{short} is the name of a backend", "choose another one: --as NAME")
    if sys.platform == "win32":
        here = f"import os\n\nos.environ['PASSWORD_STORE_DIR'] = {store!r}\n"
        data = _content(program, ["pass"], here + _ONE.format(name="pass"))
    else:
        data = _content_of_pass(program, store)
    return target, launcher.put(target, data, program, _INSTEAD)


def _content_of_pass(program: str, store: str = "") -> bytes:
    text = launcher.content(launcher.interpreter(), launcher.packages(), program, store)
    return text.encode(errors="surrogateescape")


def _content(program: str, parts: Sequence[str], helper: str) -> bytes:
    """Write the launcher of a program that uses some backends."""
    if all(part in SHIPPED and part not in _NEED_LIBRARIES for part in parts):
        options, text = (
            _BARE_OPTIONS,
            _BARE_TEXT.format(interruptible=launcher.INTERRUPTIBLE, helper=helper, program=program, folders=_folders()),
        )
    else:
        options, text = _OPTIONS, _TEXT.format(interruptible=launcher.INTERRUPTIBLE, helper=helper, program=program)
    return launcher.executable(launcher.interpreter(), options, launcher.mark(program), text)


def unlink(name: str, environ: Mapping[str, str], folder: str = "") -> tuple[str, bool]:
    """Remove the launcher of a backend, which may no longer exist, from where :func:`link` puts it.

    Returns:
        its path, and whether it was there.

    Raises:
        ConfigurationError: another program is there, or it cannot be removed.
    """
    _, program, target = _place(name, environ, folder)
    if not os.path.lexists(target):
        return target, False
    launcher.refuse_other(target, program, _INSTEAD)
    try:
        os.unlink(target)
    except OSError as error:
        raise ConfigurationError(f"cannot remove {target}: {error.strerror}", remedy(error)) from error
    return target, True


def self_test(name: str, say: Callable[[str], None]) -> bool:
    """Run the self-test that comes with a backend, which says a line for each step; return whether all went well.

    Raises:
        ConfigurationError: there is no such backend, or it has none.
    """
    get_helper(name)
    module = SHIPPED.get(name, "").partition(":")[0] + _SELF_TEST
    try:
        run: Callable[[Callable[[str], None]], bool] = import_module(module).run
    except ImportError:
        raise ConfigurationError(
            f"the backend {name} has no self-test", "run: passhelper conformance --backend NAME"
        ) from None
    return run(say)


def shadow(path: str, environ: Mapping[str, str]) -> str | None:
    """Return the program that Docker would run instead of a launcher; "" for none, None if it runs the launcher."""
    found = find_program((os.path.basename(path),), environ)
    if found is None:
        return ""
    return None if os.path.samefile(found, path) else found


def _folders() -> list[str]:
    """Find the directories that hold our two packages; they differ only in a development tree."""
    backends = find_spec(SHIPPED["memory"].partition(".")[0])
    locations = (backends.submodule_search_locations if backends is not None else None) or []
    return list(dict.fromkeys([launcher.packages(), *(os.path.dirname(location) for location in locations)]))


def _place(name: str, environ: Mapping[str, str], folder: str) -> tuple[str, str, str]:
    """Give the short name, the program's name and its path."""
    short = short_name(name)
    program = PREFIX + short
    return short, program, launcher.path_of(launcher.file_name(program), environ, folder)
