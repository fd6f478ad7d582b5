"""Settings from the environment: the one reader of switches, seconds, what syncs by itself, home and store.

An invalid value is refused before the store is opened: a switch that only seems to be on, such as
``PASSHELPER_REQUIRE_BOUND=ture``, would otherwise protect nobody.
"""

import os
import sys
import time

from passhelper.errors import ConfigurationError, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

ON = ("1", "true", "yes", "on")
OFF = ("0", "false", "no", "off")
DAY = 86400  # seconds; no limit is longer

NONINTERACTIVE = "PASSHELPER_NONINTERACTIVE"
STRICT = "PASSHELPER_STRICT"
REQUIRE_BOUND = "PASSHELPER_REQUIRE_BOUND"
ALWAYS_WRITE = "PASSHELPER_ALWAYS_WRITE"
IGNORE_WRITES = "PASSHELPER_IGNORE_WRITES"
SKIP_UNUSABLE = "PASSHELPER_SKIP_UNUSABLE"
DEBUG = "PASSHELPER_DEBUG"
SWITCHES = (NONINTERACTIVE, STRICT, REQUIRE_BOUND, ALWAYS_WRITE, IGNORE_WRITES, SKIP_UNUSABLE, DEBUG)

# Where a passphrase can come from, in the order in which they are looked at.
PASSPHRASE_VARIABLES = ("PASSHELPER_PASSPHRASE_FILE", "PASSHELPER_PASSPHRASE_FD", "PASSHELPER_PASSPHRASE")

TIMEOUT = "PASSHELPER_TIMEOUT"
SYNC_TIMEOUT = "PASSHELPER_SYNC_TIMEOUT"
DEFAULT_SECONDS = {
    TIMEOUT: 120.0,  # for one verb, a person's typing included; for one gpg of a command
    SYNC_TIMEOUT: 5.0,  # for one automatic fetch or push
}

INCOMING = "PASSHELPER_INCOMING"
MOST_TIMES = 1000  # of what may come in by default; a check that never ends is none

SYNC = "PASSHELPER_SYNC"
_SYNC_WORDS = ("push", "pull")


def check(environ: "Mapping[str, str]") -> None:
    """Refuse an invalid setting before anything is done.

    Raises:
        ConfigurationError: names the first one, its value and what it may be.
    """
    for name in SWITCHES:
        if name in environ:
            switch(environ, name)
    for name in DEFAULT_SECONDS:
        if name in environ:
            seconds(environ, name)
    times(environ)
    if environ.get(SYNC):
        sync_words(environ[SYNC], SYNC)


def problems(environ: "Mapping[str, str]") -> "dict[str, ConfigurationError]":
    """Collect what :func:`check` refuses: by name, all of it."""
    found: dict[str, ConfigurationError] = {}
    for name in (*SWITCHES, *DEFAULT_SECONDS, INCOMING, SYNC):
        try:
            check({name: environ.get(name, "")})
        except ConfigurationError as error:
            found[name] = error
    return found


def switch(environ: "Mapping[str, str]", name: str) -> "bool | None":
    """Read a switch: True, False, or None where it is not set or empty.

    Raises:
        ConfigurationError: its value is not a word for either.
    """
    text = environ.get(name, "")
    value = text.strip().lower()
    if value in ON:
        return True
    if value in OFF:
        return False
    if not value:
        return None
    raise ConfigurationError(
        f"{name} is neither on nor off: {_shown(text)}",
        f"set it to one of {', '.join(ON)}, or to one of {', '.join(OFF)}",
    )


def is_on(environ: "Mapping[str, str]", name: str) -> bool:
    """Return whether a switch is on; raises as :func:`switch` does."""
    return switch(environ, name) is True


def is_ci(environ: "Mapping[str, str]") -> bool:
    """Return whether a build system set ``CI``. The variable is not ours: every word but those for "off" counts."""
    value = environ.get("CI", "").strip().lower()
    return bool(value) and value not in OFF


def seconds(environ: "Mapping[str, str]", name: str) -> float:
    """Read a time limit.

    Args:
        environ: where it stands.
        name: one of :data:`DEFAULT_SECONDS`.

    Raises:
        ConfigurationError: it is not a positive number, or more than a day.
    """
    default = DEFAULT_SECONDS[name]
    text = environ.get(name, "").strip()
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < DAY:
        raise ConfigurationError(
            f"{name} is not a number of seconds: {_shown(text)}",
            f"set it to a number above 0 and below {DAY}, such as {default:g}",
        )
    return value


def times(environ: "Mapping[str, str]") -> int:
    """Read the factor by which more than the default may come in from a remote at once.

    Raises:
        ConfigurationError: it is not a whole number from 1 on.
    """
    text = environ.get(INCOMING, "").strip()
    if not text:
        return 1
    value = int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(MOST_TIMES)) else 0
    if not 0 < value <= MOST_TIMES:
        raise ConfigurationError(
            f"{INCOMING} is not a number of times: {_shown(text)}", f"set it to a whole number from 1 to {MOST_TIMES}"
        )
    return value


class Deadline:
    """The time by which a verb must have ended, however long each step may take; it runs from now on.

    A command has no such end: it may do the same for 10,000 entries, so each gpg that it starts has all of the time.

    Args:
        environ: where :data:`TIMEOUT` stands.
        shared: whether the steps share the time.
    """

    __slots__ = ("_begun", "_environ", "_shared")

    def __init__(self, environ: "Mapping[str, str]", *, shared: bool) -> None:
        self._environ = environ
        self._shared = shared
        self._begun = time.monotonic()

    @property
    def seconds(self) -> float:
        """All of the time, of a verb as a whole or of one gpg of a command; raises as the function :func:`seconds`."""
        return seconds(self._environ, TIMEOUT)

    def left(self, most: "float | None" = None) -> float:
        """Return how long the next step may take.

        Args:
            most: seconds that it may take at most; without it, all that is left.
        """
        if not self._shared:
            return self.seconds if most is None else most
        left = max(self._begun + self.seconds - time.monotonic(), 0.0)
        return left if most is None else min(left, most)

    def most(self, most: float) -> float:
        """Return how long such a step was allowed to take, for messages."""
        return min(self.seconds, most) if self._shared else most


def sync_words(text: str, name: str) -> "list[str]":
    """Read what a clone does by itself: ``push``, ``pull``, both with a comma; nothing for ``off``.

    Args:
        text: the value, not empty.
        name: the setting's name, for messages.

    Raises:
        ConfigurationError: another word stands there.
    """
    words = text.lower().replace(",", " ").split()
    if words != ["off"] and (not words or any(word not in _SYNC_WORDS for word in words)):
        raise ConfigurationError(f"{name} cannot be {_shown(text)}", "use push, pull, push,pull or off")
    return [word for word in _SYNC_WORDS if word in words]


def store_path(environ: "Mapping[str, str]") -> str:
    """Find the store: ``PASSWORD_STORE_DIR``, else ``~/.password-store``, always absolute.

    Raises:
        ConfigurationError: ``PASSWORD_STORE_DIR`` is relative.
    """
    path = environ.get("PASSWORD_STORE_DIR", "")
    if not path:
        return os.path.join(home_directory(environ), ".password-store")
    if not os.path.isabs(path):
        raise ConfigurationError(
            f"PASSWORD_STORE_DIR is relative: {path}", f"set it to an absolute path such as {os.path.abspath(path)}"
        )
    return os.path.normpath(path)


def home_directory(environ: "Mapping[str, str]") -> str:
    """Find the home directory: ``HOME``, else what the password database says; never a relative path."""
    home = environ.get("HOME", "")
    if os.path.isabs(home):
        return home
    if sys.platform == "win32":
        return os.path.expanduser("~")
    import pwd  # only where HOME is unset

    try:
        return pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:
        what = f"is not an absolute path: {home!r}" if home else "is not set"
        raise ConfigurationError(
            f"HOME {what}, and uid {os.geteuid()} has no home", "set HOME to a directory that this user may write"
        ) from None


def _shown(text: str) -> str:
    return repr(printable(text))
