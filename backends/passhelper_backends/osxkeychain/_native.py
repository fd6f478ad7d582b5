"""Security and CoreFoundation through ctypes: objects in, plain Python values out, every object released.

No policy here. Items are named by persistent references, because a query that leaves out port or path
matches every port and path of the host, and ``SecItemDelete`` then takes the first one that it meets.
Of the references only ``kSecMatchItemList`` is documented to name one item for macOS' file keychain.
"""

import ctypes
import sys

from passhelper.errors import KeychainUnavailableError
from passhelper_backends._system import NativeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

ONLY_HERE = "the macOS keychain is only on macOS"

NOT_FOUND = -25300  # errSecItemNotFound
DUPLICATE = -25299  # errSecDuplicateItem
NO_MEMORY = -108  # errSecAllocate

_FRAMEWORK = "/System/Library/Frameworks/{0}.framework/{0}"
_UTF8 = 0x08000100  # kCFStringEncodingUTF8
_SINT32 = 3  # kCFNumberSInt32Type

_REFERENCE = ctypes.c_void_p
_INDEX = ctypes.c_long
_BOOLEAN = ctypes.c_ubyte


class _Range(ctypes.Structure):
    _fields_ = (("location", _INDEX), ("length", _INDEX))


_FOUNDATION = {
    "CFArrayCreate": (_REFERENCE, _REFERENCE, _REFERENCE, _INDEX, _REFERENCE),
    "CFArrayGetCount": (_INDEX, _REFERENCE),
    "CFArrayGetTypeID": (ctypes.c_ulong,),
    "CFArrayGetValueAtIndex": (_REFERENCE, _REFERENCE, _INDEX),
    "CFDataCreate": (_REFERENCE, _REFERENCE, ctypes.c_char_p, _INDEX),
    "CFDataGetBytePtr": (_REFERENCE, _REFERENCE),
    "CFDataGetLength": (_INDEX, _REFERENCE),
    "CFDataGetTypeID": (ctypes.c_ulong,),
    "CFDictionaryCreate": (_REFERENCE, _REFERENCE, _REFERENCE, _REFERENCE, _INDEX, _REFERENCE, _REFERENCE),
    "CFDictionaryGetTypeID": (ctypes.c_ulong,),
    "CFDictionaryGetValue": (_REFERENCE, _REFERENCE, _REFERENCE),
    "CFGetTypeID": (ctypes.c_ulong, _REFERENCE),
    "CFNumberCreate": (_REFERENCE, _REFERENCE, _INDEX, _REFERENCE),
    "CFNumberGetTypeID": (ctypes.c_ulong,),
    "CFNumberGetValue": (_BOOLEAN, _REFERENCE, _INDEX, _REFERENCE),
    "CFRelease": (None, _REFERENCE),
    "CFStringCreateWithBytes": (_REFERENCE, _REFERENCE, ctypes.c_char_p, _INDEX, ctypes.c_uint32, _BOOLEAN),
    "CFStringGetBytes": (
        _INDEX, _REFERENCE, _Range, ctypes.c_uint32, _BOOLEAN, _BOOLEAN, _REFERENCE, _INDEX, _REFERENCE,
    ),
    "CFStringGetLength": (_INDEX, _REFERENCE),
    "CFStringGetMaximumSizeForEncoding": (_INDEX, _INDEX, ctypes.c_uint32),
    "CFStringGetTypeID": (ctypes.c_ulong,),
}  # fmt: skip
_SECURITY = {
    "SecItemAdd": (ctypes.c_int32, _REFERENCE, _REFERENCE),
    "SecItemCopyMatching": (ctypes.c_int32, _REFERENCE, _REFERENCE),
    "SecItemDelete": (ctypes.c_int32, _REFERENCE),
    "SecItemUpdate": (ctypes.c_int32, _REFERENCE, _REFERENCE),
    "SecKeychainSetUserInteractionAllowed": (ctypes.c_int32, _BOOLEAN),
}


class Constant(str):
    """The name of a constant of the Security framework, where text would be a value."""

    __slots__ = ()


_CLASS = {"kSecClass": Constant("kSecClassInternetPassword")}


class Item:
    """The attributes of an internet password; empty or 0 where it has none."""

    __slots__ = ("account", "authentication", "host", "label", "path", "port", "protocol", "reference")

    account: str
    authentication: str
    host: str
    label: str
    path: str
    port: int
    protocol: str
    reference: bytes


class _Pool:
    """Releases, at the end of a call, the objects that were made for it."""

    __slots__ = ("_kept", "_release")

    def __init__(self, foundation: ctypes.CDLL) -> None:
        self._kept: list[int] = []
        self._release = foundation.CFRelease

    def __enter__(self) -> "_Pool":
        return self

    def __exit__(self, *_: object) -> None:
        for reference in self._kept:
            self._release(reference)

    def keep(self, call: str, reference: "int | None") -> int:
        """Take over an object that a call made."""
        if not reference:
            raise NativeError(call, NO_MEMORY)
        self._kept.append(reference)
        return reference


class Keychain:
    """The internet passwords of this user's keychains.

    Args:
        foundation: CoreFoundation, or a stand-in.
        security: the Security framework, or a stand-in.
    """

    def __init__(self, foundation: ctypes.CDLL, security: ctypes.CDLL) -> None:
        for library, functions in ((foundation, _FOUNDATION), (security, _SECURITY)):
            for name, (result, *arguments) in functions.items():
                function = getattr(library, name)
                function.restype = result
                function.argtypes = arguments
        self._foundation = foundation
        self._security = security
        self._callbacks = [
            ctypes.addressof(ctypes.c_char.in_dll(foundation, name))
            for name in ("kCFTypeDictionaryKeyCallBacks", "kCFTypeDictionaryValueCallBacks", "kCFTypeArrayCallBacks")
        ]
        self._true = _REFERENCE.in_dll(foundation, "kCFBooleanTrue").value

    @classmethod
    def of_system(cls) -> "Keychain":
        """Open the running system's own.

        Raises:
            KeychainUnavailableError: this is not macOS.
        """
        if sys.platform != "darwin":
            raise KeychainUnavailableError(ONLY_HERE, "use another backend: passhelper link NAME")
        return cls(ctypes.CDLL(_FRAMEWORK.format("CoreFoundation")), ctypes.CDLL(_FRAMEWORK.format("Security")))

    def forbid_questions(self) -> None:
        """Let a locked keychain fail instead of asking for its password, in this process."""
        self._security.SecKeychainSetUserInteractionAllowed(0)

    def find(self, attributes: "Mapping[str, object]") -> "list[Item]":
        """Find all internet passwords that have these attributes."""
        wanted = {
            "kSecMatchLimit": Constant("kSecMatchLimitAll"),
            "kSecReturnAttributes": True,
            "kSecReturnPersistentRef": True,
        }
        with _Pool(self._foundation) as pool:
            found = self._matching(pool, {**_CLASS, **attributes, **wanted})
            if found is None:
                return []
            get = self._foundation.CFArrayGetValueAtIndex
            return [self._item(get(found, index)) for index in range(self._foundation.CFArrayGetCount(found))]

    def data(self, item: Item) -> "bytes | None":
        """Read the secret of one item; None if the item is gone."""
        with _Pool(self._foundation) as pool:
            found = self._matching(pool, {**_only(item), "kSecReturnData": True})
            return None if found is None else self._bytes(found)

    def add(self, attributes: "Mapping[str, object]", data: bytes) -> None:
        """Add an internet password."""
        with _Pool(self._foundation) as pool:
            item = self._dictionary(pool, {**_CLASS, **attributes, "kSecValueData": data})
            _check("SecItemAdd", self._security.SecItemAdd(item, None))

    def update(self, item: Item, data: bytes) -> None:
        """Replace the secret of one item."""
        with _Pool(self._foundation) as pool:
            query, change = self._dictionary(pool, _only(item)), self._dictionary(pool, {"kSecValueData": data})
            _check("SecItemUpdate", self._security.SecItemUpdate(query, change))

    def delete(self, item: Item) -> None:
        """Delete one item; nothing happens if it is gone."""
        with _Pool(self._foundation) as pool:
            status = self._security.SecItemDelete(self._dictionary(pool, _only(item)))
        if status != NOT_FOUND:
            _check("SecItemDelete", status)

    def _matching(self, pool: "_Pool", pairs: "Mapping[str, object]") -> "int | None":
        """Run a query; give its result, or None if nothing matches."""
        found = _REFERENCE()
        status = self._security.SecItemCopyMatching(self._dictionary(pool, pairs), ctypes.byref(found))
        if status == NOT_FOUND:
            return None
        _check("SecItemCopyMatching", status)
        return pool.keep("SecItemCopyMatching", found.value)

    def _dictionary(self, pool: "_Pool", pairs: "Mapping[str, object]") -> int:
        """Make a CFDictionary; its keys are names of constants."""
        keys = (_REFERENCE * len(pairs))(*[self._constant(name) for name in pairs])
        values = (_REFERENCE * len(pairs))(*[self._value(pool, value) for value in pairs.values()])
        made = self._foundation.CFDictionaryCreate(None, keys, values, len(pairs), *self._callbacks[:2])
        return pool.keep("CFDictionaryCreate", made)

    def _value(self, pool: "_Pool", value: object) -> "int | None":
        """Give the object for a value."""
        if value is True:
            return self._true
        if isinstance(value, Constant):
            return self._constant(value)
        foundation = self._foundation
        if isinstance(value, str):
            text = value.encode()
            made = foundation.CFStringCreateWithBytes(None, text, len(text), _UTF8, 0)
        elif isinstance(value, bytes):
            made = foundation.CFDataCreate(None, value, len(value))
        elif isinstance(value, int):
            made = foundation.CFNumberCreate(None, _SINT32, ctypes.byref(ctypes.c_int32(value)))
        elif isinstance(value, list):
            elements = (_REFERENCE * len(value))(*[self._value(pool, element) for element in value])
            made = foundation.CFArrayCreate(None, elements, len(value), self._callbacks[2])
        else:
            raise TypeError(type(value).__name__)
        return pool.keep("making a value", made)

    def _constant(self, name: str) -> "int | None":
        return _REFERENCE.in_dll(self._security, name).value

    def _item(self, found: int) -> Item:
        item = Item()
        item.account = self._text(found, "kSecAttrAccount")
        item.authentication = self._text(found, "kSecAttrAuthenticationType")
        item.host = self._text(found, "kSecAttrServer")
        item.label = self._text(found, "kSecAttrLabel")
        item.path = self._text(found, "kSecAttrPath")
        item.port = self._number(found, "kSecAttrPort")
        item.protocol = self._text(found, "kSecAttrProtocol")
        item.reference = self._bytes(self._attribute(found, "kSecValuePersistentRef", "CFData"))
        return item

    def _attribute(self, found: int, name: str, kind: str) -> "int | None":
        """Look an attribute up; None unless it is there and of this kind. It belongs to the dictionary."""
        foundation = self._foundation
        reference: int | None = foundation.CFDictionaryGetValue(found, self._constant(name))
        if not reference or foundation.CFGetTypeID(reference) != getattr(foundation, f"{kind}GetTypeID")():
            return None
        return reference

    def _text(self, found: int, name: str) -> str:
        text = self._attribute(found, name, "CFString")
        if text is None:
            return ""
        foundation = self._foundation
        length = foundation.CFStringGetLength(text)
        size = foundation.CFStringGetMaximumSizeForEncoding(length, _UTF8)
        buffer, used = ctypes.create_string_buffer(size), _INDEX()
        # Not CFStringGetCString, which gives nothing for some texts that are not ASCII.
        foundation.CFStringGetBytes(text, _Range(0, length), _UTF8, 0, 0, buffer, size, ctypes.byref(used))
        return buffer.raw[: used.value].decode(errors="replace")

    def _number(self, found: int, name: str) -> int:
        number, value = self._attribute(found, name, "CFNumber"), ctypes.c_int32()
        if number is not None:
            self._foundation.CFNumberGetValue(number, _SINT32, ctypes.byref(value))
        return value.value

    def _bytes(self, data: "int | None") -> bytes:
        length = self._foundation.CFDataGetLength(data) if data else 0
        return ctypes.string_at(self._foundation.CFDataGetBytePtr(data), length) if length else b""


def _only(item: Item) -> "dict[str, object]":
    """Make the query that matches one item. The reference does; the attributes spare a look at all others."""
    attributes = {"kSecAttrAccount": item.account, "kSecAttrProtocol": item.protocol, "kSecAttrServer": item.host}
    return {**_CLASS, **attributes, "kSecMatchItemList": [item.reference]}


def _check(call: str, status: int) -> None:
    if status:
        raise NativeError(call, status)
