"""The ``passhelper`` program, also as ``python -m passhelper``.

The installed program starts Python isolated; see ``passhelper/launch/passhelper``. ``python -m`` is not: what
PYTHONPATH names has run before our first line, and a directory ``passhelper`` in the working directory runs in our
place. Whoever cannot trust them types ``python -I -m passhelper``.
"""

import _signal
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def main() -> "NoReturn":
    """Run ``passhelper``."""
    # An interrupt while the libraries are imported is an end without a traceback; `cli.main` takes it from there.
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    from passhelper import cli, protocol  # see above

    protocol.empty_cores()
    protocol.forbid_cores()
    cli.main()


def _leave_working_directory() -> None:
    """Let no module of the working directory, where ``python -m`` looks first, stand in for one that we import.

    Another program that runs us (a profiler, ``runpy``) has put something else there, and Python nothing with ``-P``.
    """
    ours = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    try:
        here = os.getcwd()
    except OSError:  # it has been removed, and nothing is found in it
        return
    first = sys.path[0] if sys.path else None
    if not getattr(sys.flags, "safe_path", sys.flags.isolated) and first in ("", here) and first != ours:
        del sys.path[0]


if __name__ == "__main__":
    _leave_working_directory()
    main()
