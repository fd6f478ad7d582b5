"""The Secret Service API, version 0.2, as far as a credential helper uses it.

Sessions are plain: the secret crosses the user's own session bus as it is. Whoever may watch that bus may as
well call ``GetSecret``, so an encrypted session (which would cost a library) would keep nothing from him.
"""

from passhelper_backends.secretservice._bus import BUS, BUS_PATH, Bus, BusError, CallError, SilentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

_NAME = "org.freedesktop.secrets"
_ROOT = "/org/freedesktop/secrets"
_SERVICE = "org.freedesktop.Secret.Service"
_COLLECTION = "org.freedesktop.Secret.Collection"
_ITEM = "org.freedesktop.Secret.Item"
_PROMPT = "org.freedesktop.Secret.Prompt"
_PROPERTIES = "org.freedesktop.DBus.Properties"
_NONE = "/"  # the object path that means "no object"
_BATCH = 64  # calls under way at once: a bus allows a connection 128 unanswered ones at least

# What a bus says when nothing offers the service, and nothing could be started that does.
_ABSENT = (
    "org.freedesktop.DBus.Error.ServiceUnknown",
    "org.freedesktop.DBus.Error.NameHasNoOwner",
    "org.freedesktop.DBus.Error.TimedOut",
)
_SPAWN = "org.freedesktop.DBus.Error.Spawn."  # the beginning of what it says when a start failed

_GONE = (
    "org.freedesktop.DBus.Error.UnknownMethod",  # gnome-keyring
    "org.freedesktop.DBus.Error.UnknownObject",  # KeePassXC
    "org.freedesktop.Secret.Error.NoSuchObject",  # the specification
)


class LockedError(BusError):
    """A collection is locked, and nobody unlocked it."""


class DismissedError(BusError):
    """The person who was asked refused, or did not answer."""


class GoneError(CallError):
    """The item is not there any more."""


class NoServiceError(BusError):
    """No program on the bus offers the Secret Service, and none could be started."""


class SecretService:
    """A connection to whatever offers the Secret Service: gnome-keyring, KeePassXC, KWallet.

    Args:
        environ: names the bus.
        patience: tells how many seconds a person has to answer a prompt; 0 when nobody can be asked.
        seconds: how long a program may take for one answer.

    Raises:
        BusError: there is no bus. The methods raise it too, CallError when the service says no.
    """

    def __init__(self, environ: "Mapping[str, str]", patience: "Callable[[], float]", seconds: float) -> None:
        self._bus = Bus(environ, seconds)
        self._patience = patience
        self._session = ""

    def __enter__(self) -> "SecretService":
        return self

    def __exit__(self, *_: object) -> None:
        self._bus.close()

    def is_running(self) -> bool:
        """Return whether a program offers the service now; none is started."""
        (is_owned,) = self._bus.call(BUS, BUS_PATH, BUS, "NameHasOwner", "s", _NAME)
        return bool(is_owned)

    def wake(self, *, ask: bool) -> None:
        """Make sure that a search finds what is there. Call this before anything else.

        A locked KeePassXC shows no item at all, and answers a search only after it has asked for its password;
        gnome-keyring finds locked items, and is left as it is.

        Args:
            ask: whether a person may be asked.

        Raises:
            LockedError: the service hides everything, and stays locked.
        """
        # A method comes first. gnome-keyring takes note of a new client after it has begun to answer, and aborts
        # when that answer is a property (Debian bug 1147303); a method is answered, at worst as if there were no alias.
        collection = self.default_collection()
        if not collection:
            return
        (is_locked,) = self._call(collection, _PROPERTIES, "Get", "ss", _COLLECTION, "Locked")
        if not is_locked:
            return
        (paths,) = self._call(_ROOT, _PROPERTIES, "Get", "ss", _SERVICE, "Collections")
        for path in paths:
            (facts,) = self._call(path, _PROPERTIES, "GetAll", "s", _COLLECTION)
            if not facts.get("Locked") or facts.get("Items"):
                return
        if not ask:
            raise LockedError("it shows what it holds only when it is unlocked")
        self.unlock(paths)

    def search(self, attributes: "dict[str, str]") -> "tuple[list[str], list[str]]":
        """Find items that have all these attributes; give the unlocked ones and the locked ones."""
        unlocked, locked = self._call(_ROOT, _SERVICE, "SearchItems", "a{ss}", attributes)
        return unlocked, locked

    def properties(self, items: "list[str]") -> "list[dict[str, Any]]":
        """Read the properties of items; of one that has gone, none."""
        found: list[dict[str, Any]] = []
        for begin in range(0, len(items), _BATCH):
            batch = items[begin : begin + _BATCH]
            calls = [self._bus.send(_NAME, item, _PROPERTIES, "GetAll", "s", _ITEM) for item in batch]
            for call in calls:
                try:
                    found.append(self._answer(call)[1][0])
                except CallError:
                    found.append({})
        return found

    def collections(self) -> "dict[str, str]":
        """Name the collections: object path to label."""
        (paths,) = self._call(_ROOT, _PROPERTIES, "Get", "ss", _SERVICE, "Collections")
        return {path: self._call(path, _PROPERTIES, "Get", "ss", _COLLECTION, "Label")[0] for path in paths}

    def default_collection(self) -> str:
        """Give the collection for new items; empty when there is none."""
        (path,) = self._call(_ROOT, _SERVICE, "ReadAlias", "s", "default")
        return "" if path == _NONE else path

    def unlock(self, paths: "list[str]") -> None:
        """Unlock collections, or those that hold the items.

        Raises:
            LockedError: nobody can be asked, or they said no.
        """
        sender, (_, prompt) = self._ask(_ROOT, _SERVICE, "Unlock", "ao", paths)
        if prompt == _NONE:
            return
        seconds = self._patience()
        if not seconds:
            raise LockedError("nobody can be asked for its password")
        try:
            self._prompt(sender, prompt, seconds)
        except DismissedError as error:
            raise LockedError(str(error)) from None

    def secret(self, item: str) -> bytes:
        """Read the secret of an unlocked item.

        Raises:
            GoneError: somebody has removed it since it was found.
        """
        value: bytes
        session = self._open_session()
        ((_, _, value, _),) = self._of_item(item, "GetSecret", "o", session)[1]
        return value

    def create(self, collection: str, label: str, attributes: "dict[str, str]", secret: bytes) -> str:
        """Add an item; give its path. One with the very same attributes is for :meth:`change`.

        Raises:
            DismissedError: somebody was asked.
        """
        properties = {f"{_ITEM}.Label": ("s", label), f"{_ITEM}.Attributes": ("a{ss}", attributes)}
        value = (self._open_session(), b"", secret, "text/plain")
        replace = True
        signature = "a{sv}(oayays)b"
        sender, body = self._ask(collection, _COLLECTION, "CreateItem", signature, properties, value, replace)
        item: str
        item, prompt = body
        if prompt == _NONE:
            return item
        made = self._prompt(sender, prompt, self._patience() or self._bus.seconds)
        return made if isinstance(made, str) else item

    def change(self, item: str, label: str, secret: bytes) -> None:
        """Give an unlocked item another secret and its label.

        Raises:
            GoneError: somebody has removed it since it was found.
        """
        value = (self._open_session(), b"", secret, "text/plain")
        self._of_item(item, "SetSecret", "(oayays)", value)
        self._call(item, _PROPERTIES, "Set", "ssv", _ITEM, "Label", ("s", label))

    def delete(self, item: str) -> None:
        """Remove an item.

        Raises:
            DismissedError: somebody was asked.
            GoneError: somebody has removed it since it was found.
        """
        sender, (prompt,) = self._of_item(item, "Delete", "")
        if prompt != _NONE:
            self._prompt(sender, prompt, self._patience() or self._bus.seconds)

    def _of_item(self, item: str, member: str, signature: str, *body: "Any") -> "tuple[str, list[Any]]":
        try:
            return self._ask(item, _ITEM, member, signature, *body)
        except CallError as error:
            if error.name in _GONE:
                raise GoneError(error.name, "") from error
            raise

    def _call(self, path: str, interface: str, member: str, signature: str, *body: "Any") -> "list[Any]":
        return self._ask(path, interface, member, signature, *body)[1]

    def _ask(self, path: str, interface: str, member: str, signature: str, *body: "Any") -> "tuple[str, list[Any]]":
        """Call a method; give who answered, and what."""
        return self._answer(self._bus.send(_NAME, path, interface, member, signature, *body))

    def _answer(self, call: int) -> "tuple[str, list[Any]]":
        try:
            return self._bus.answer(call)
        except SilentError:
            raise SilentError("the Secret Service does not answer") from None
        except CallError as error:
            if error.name in _ABSENT or error.name.startswith(_SPAWN):
                raise NoServiceError(str(error)) from error
            raise

    def _open_session(self) -> str:
        if not self._session:
            self._session = self._call(_ROOT, _SERVICE, "OpenSession", "sv", "plain", ("s", ""))[1]
        return self._session

    def _prompt(self, sender: str, prompt: str, seconds: float) -> "Any":
        """Let the service ask a person, or do what it does behind a prompt without asking (KeePassXC); give the result.

        Nobody but the sender, which is the service's unique name, can complete the prompt. May raise DismissedError.
        """
        rule = f"type='signal',sender='{sender}',interface='{_PROMPT}',path='{prompt}'"
        self._bus.call(BUS, BUS_PATH, BUS, "AddMatch", "s", rule)
        shown = self._bus.send(_NAME, prompt, _PROMPT, "Prompt", "s", "")
        try:
            self._bus.answer(shown, seconds)
            dismissed, result = self._bus.signal(sender, prompt, "Completed", seconds)
        except SilentError:
            self._bus.send(_NAME, prompt, _PROMPT, "Dismiss")  # its window would stay
            raise DismissedError(f"nobody answered its prompt within {seconds:g} s") from None
        if dismissed:
            raise DismissedError("its prompt was dismissed")
        return result
