"""What other programs do meanwhile: it happens just before a program does what it is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.programs import script

if TYPE_CHECKING:
    from pathlib import Path


def meanwhile(environ: dict[str, str], folder: Path, program: str, word: str, does: str, *, times: int = 1) -> None:
    """Put a program first on PATH that lets something happen before it runs the real one.

    Args:
        environ: whose PATH changes.
        folder: made for the program, and for its notes.
        program: such as ``git``.
        word: an argument of the calls before which it happens.
        does: what happens, for sh(1); ``$n`` is the number of the time. Nothing but its failures is seen of it, and
            ``exit`` in it ends the program.
        times: how often at most.
    """
    folder.mkdir(exist_ok=True)
    numbers = " ".join(map(str, range(1, times + 1)))
    script(
        folder / program,
        f"""case " $* " in *" {word} "*)
            for n in {numbers}; do
                if mkdir "{folder}/{word}.$n" 2> /dev/null; then
                    PATH=/usr/bin:/bin
                    {{ {does}
                    }} > "{folder}/said" 2>&1 < /dev/null
                    break
                fi
            done
        esac
        exec /usr/bin/{program} "$@" """,
    )
    environ["PATH"] = f"{folder}:{environ['PATH']}"


def happened(folder: Path, word: str) -> int:
    """How often it has happened before a word."""
    return len(list(folder.glob(f"{word}.*")))
