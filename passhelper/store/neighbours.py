"""The lists of recipients of a registry's other names, which limit who may read what is stored under this one.

``host``, ``https://host`` and ``host:443`` are one registry, and each may have its own ``.gpg-id``. A key that one of
these lists leaves out could read the same password under another name. So nothing is stored for a key that is not on
all of them, in the same words: a file alone does not say which key an address means.
"""

import os

from passhelper.errors import StoreError, printable
from passhelper.store import keynames, layout, recipients

TYPE_CHECKING = False
if TYPE_CHECKING:
    from passhelper.store.recipients import Recipients
    from passhelper.store.store import PassStore
    from passhelper.store.trust import Pins


class Neighbours:
    """The lists of the other names of one registry.

    Args:
        store: where.
        server: the name that is written to.
        pins: what this machine has accepted; such a list limits although its file is gone.

    Raises:
        StoreError: one of them cannot be used.
    """

    def __init__(self, store: "PassStore", server: str, pins: "Pins") -> None:
        self._store = store
        self._server = server
        self._stamp = self._look()
        more = [path.split(os.sep)[1] for path in pins if path.count(os.sep) > 1]
        others = store.equivalents(server, more)
        found = [(other, recipients.own(name)) for other in others for name in layout.spellings(other)]
        self._texts = {path: recipients.read_file(store.root, path) for _, path in found}
        self._limits: list[tuple[str, str, set[str]]] = []
        for other, path in found:
            text = self._texts[path]
            if text is not None:
                keys = map(keynames.normalize, recipients.parse(text, os.path.join(store.root, path)))
                self._limits.append((other, path, {*keys}))
            if path in pins:
                self._limits.append((other, path, {*pins[path]}))

    def refuse(self, found: "Recipients") -> None:
        """Refuse recipients whom one of the lists does not name; ``PASSWORD_STORE_KEY`` is the user's own word.

        Raises:
            StoreError: there is one.
        """
        if not found.path:
            return
        keys = [keynames.normalize(key) for key in found.keys]
        for other, path, allowed in self._limits:
            strange = [key for key in keys if key not in allowed]
            if strange:
                raise StoreError(
                    f"{printable(self._server)} would be read by {', '.join(strange)}, but {path} limits who reads "
                    f"{printable(other)}, which is the same registry",
                    remedy(self._server, strange, is_all=len(strange) == len(keys)),
                )

    def have_changed(self) -> bool:
        """Return whether one of the lists has come, gone or changed since."""
        root = self._store.root
        return self._look() != self._stamp or any(
            recipients.read_file(root, path) != text for path, text in self._texts.items()
        )

    def _look(self) -> int:
        try:
            return os.stat(self._store.folder).st_mtime_ns
        except FileNotFoundError:
            return 0


def remedy(server: str, strange: "list[str]", *, is_all: bool) -> str:
    """Say how a server's own list leaves out whom another name's list does not name."""
    if is_all:
        return "run: passhelper recipients list, and let both lists name the same keys"
    from shlex import quote  # only on failure

    return f"run: passhelper recipients remove --path {quote(printable(server))} {' '.join(map(quote, strange))}"
