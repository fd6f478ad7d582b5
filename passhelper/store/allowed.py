"""Whom the user, or whoever has set up a machine, lets read without being asked.

``--accept-recipients`` and ``PASSHELPER_ACCEPT_RECIPIENTS`` hold words of two kinds: fingerprints, separated by commas,
which are the complete set of those who may read the store; and the same behind ``SERVER=``, the complete set for that
server alone. The set of the whole store lets nobody into a server that has a list of its own: whoever could not read
that server before is let in by its own set only.
"""

from passhelper.registry import normalize
from passhelper.store import keynames, layout, recipients

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

VARIABLE = "PASSHELPER_ACCEPT_RECIPIENTS"


class Allowed:
    """Whom a few words allow.

    Args:
        words: see above.
    """

    def __init__(self, words: "Iterable[str]") -> None:
        self._everywhere: set[str] = set()
        self._servers: dict[str, set[str]] = {}
        for word in words:
            server, mark, keys = word.rpartition("=")
            names = self._servers.setdefault(server, set()) if mark else self._everywhere
            names.update(keynames.normalize(key) for key in keys.split(",") if key)

    def __bool__(self) -> bool:
        """Return whether anybody is named."""
        return bool(self._everywhere or self._servers)

    def covers(self, path: str, keys: "Collection[str]", before: "Collection[str] | None") -> bool:
        """Return whether a list may become what it is; one that names nobody is allowed by nothing.

        Args:
            path: of the ``.gpg-id`` in the store; of the one that is gone, where another takes its place.
            keys: who reads what it is about then.
            before: who read that by what was accepted; None if nothing ever was.
        """
        directory = recipients.directory_of(path)
        server = layout.decode_server(directory) if directory else None
        named = None if server is None else self._of(server)
        if named is None:
            named = self._everywhere
            if server is not None and before is not None:
                named = named.intersection(before)
        return bool(keys) and named.issuperset(keys)

    def _of(self, server: str) -> "set[str] | None":
        for name, keys in self._servers.items():
            if name == server or (normalize(name) is not None and normalize(name) == normalize(server)):
                return keys
        return None


def by_environment(environ: "Mapping[str, str]") -> Allowed:
    """Read what the environment allows."""
    return Allowed(environ.get(VARIABLE, "").split())
