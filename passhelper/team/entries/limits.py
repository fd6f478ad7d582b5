"""Recipients on a server's list who are not added to the readers of an entry.

* All of them, if the entry's directory is not the canonical one of its server: whoever can push may have put it there.
* Those who are missing in the list of another name of the same registry: the strictest list counts, as for ``store``
  (:mod:`passhelper.store.neighbours`).

If they read such an entry already, that is not drift. But nothing in a message proves who can read it, so it is
encrypted anew only for those whom each of these lists names.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from passhelper.errors import EntryError, printable
from passhelper.registry import normalize
from passhelper.store import layout, neighbours

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence


class ClosedError(EntryError):
    """An entry has fewer readers than its list names, and none is added."""


@dataclass(frozen=True)
class Closed:
    """Recipients who are not added to an entry.

    Attributes:
        lines: as its list names them.
        error: why, and what helps.
    """

    lines: frozenset[str]
    error: ClosedError


def is_odd(directory: str) -> bool:
    """Return whether a server's directory is not the canonical one."""
    return layout.canonical(directory) != directory


class Limits:
    """The lists that servers have of their own, by the registry that they mean.

    Args:
        paths: of the lists, in the store; those that are not in a canonical directory count for nothing.
        read: gives the lines of one; None where it is not there, none where it cannot be used.
    """

    def __init__(self, paths: Iterable[str], read: Callable[[str], Collection[str] | None]) -> None:
        self._read = read
        self._classes: dict[object, list[tuple[str, str]]] = {}
        for path in dict.fromkeys(paths):
            directory = os.path.basename(os.path.dirname(path))
            server = layout.decode_server(directory)
            place = normalize(server) if server is not None and not is_odd(directory) else None
            if server is not None and place is not None:
                self._classes.setdefault(place, []).append((server, path))

    def others(self, server: str) -> list[tuple[str, str]]:
        """List the other names of a server's registry, each with the path of its list."""
        if not self._classes:
            return []
        return [one for one in self._classes.get(normalize(server), ()) if one[0] != server]

    def closed(self, server: str, directory: str, wanted: Sequence[str], absent: Sequence[str]) -> Closed | None:
        """Find the recipients for whom an entry is not to be encrypted anew.

        Args:
            server: the entry's.
            directory: where it lies.
            wanted: its recipients, as the list names them.
            absent: those of them of whom the entry does not say that they read it.
        """
        # No id in a message makes a reader: whoever can push writes what ids he likes before a ciphertext.
        strict = [
            (other, path, lines) for other, path in self.others(server) if (lines := self._read(path)) is not None
        ]
        strange = {path: [line for line in wanted if line not in lines] for _, path, lines in strict}
        lines = list(dict.fromkeys(line for several in strange.values() for line in several))
        if is_odd(directory) and (absent or lines):
            return Closed(
                frozenset([*absent, *lines]),
                ClosedError(
                    "its directory does not have its usual name, so nobody is added to its readers",
                    "run: passhelper doctor --fix, then passhelper sync or passhelper reencrypt",
                ),
            )
        if not lines:
            return None
        other, path = next((other, path) for other, path, _ in strict if strange[path])
        is_all = not any(all(line in allowed for _, _, allowed in strict) for line in wanted)
        return Closed(
            frozenset(lines),
            ClosedError(
                f"{path} limits who reads {printable(other)}, which is the same registry, so it gets no reader whom "
                "that does not name",
                neighbours.remedy(server, lines, is_all=is_all),
            ),
        )
