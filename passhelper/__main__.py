"""The ``passhelper`` program, also as ``python -m passhelper``."""

import _signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def main() -> "NoReturn":
    """Run ``passhelper``."""
    # An interrupt while the libraries are imported is an end without a traceback; `cli.main` takes it from there.
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    from passhelper import cli, protocol  # noqa: PLC0415 - see above

    protocol.empty_cores()
    protocol.forbid_cores()
    cli.main()


if __name__ == "__main__":
    main()
