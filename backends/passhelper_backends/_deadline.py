"""A time limit for calls into an operating system that may block for ever."""

import _thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    _Result = TypeVar("_Result")


def within(seconds: float, work: "Callable[[], _Result]") -> "_Result":
    """Do work in a thread of its own, which is left behind if it does not end.

    Raises:
        TimeoutError: it did not end in time. What the work raises is raised here.
    """
    done = _thread.allocate_lock()
    done.acquire()
    results: list[_Result] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            errors.append(error)
        finally:
            done.release()

    _thread.start_new_thread(run, ())
    if not done.acquire(timeout=seconds):
        raise TimeoutError
    if errors:
        raise errors[0]
    return results[0]
