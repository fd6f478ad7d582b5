"""Windows' ``Cred*`` functions through ctypes: structures, memory and error numbers, no policy.

``ctypes.wintypes`` is as wide as the C types of the system that it runs on, and pywin32-ctypes drops
attributes and writes UTF-16 blobs. The types here have Windows' width everywhere, so a stand-in
library on another system proves their layout. Reference: CREDENTIALW in wincred.h.
"""

import ctypes
import sys

from passhelper.errors import KeychainUnavailableError
from passhelper_backends._system import NativeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ONLY_HERE = "the Windows Credential Manager is only on Windows"

MAX_BLOB = 2560  # bytes, CRED_MAX_CREDENTIAL_BLOB_SIZE: 5 * 512
MAX_USERNAME = 513  # UTF-16 units, CRED_MAX_USERNAME_LENGTH
MAX_TARGET = 32767  # UTF-16 units, CRED_MAX_GENERIC_TARGET_NAME_LENGTH

NOT_FOUND = 1168  # ERROR_NOT_FOUND

_GENERIC = 1  # CRED_TYPE_GENERIC
_LOCAL_MACHINE = 2  # CRED_PERSIST_LOCAL_MACHINE: kept on this machine, for this user
_SYSTEM32 = 0x800  # LOAD_LIBRARY_SEARCH_SYSTEM32: no other directory can stand in for Windows' own


class _Attribute(ctypes.Structure):
    _fields_ = (
        ("keyword", ctypes.c_void_p),
        ("flags", ctypes.c_uint32),
        ("value_size", ctypes.c_uint32),
        ("value", ctypes.c_void_p),
    )


class _Credential(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint32),
        ("type", ctypes.c_uint32),
        ("target_name", ctypes.c_void_p),
        ("comment", ctypes.c_void_p),
        ("last_written", ctypes.c_uint32 * 2),
        ("blob_size", ctypes.c_uint32),
        ("blob", ctypes.c_void_p),
        ("persist", ctypes.c_uint32),
        ("attribute_count", ctypes.c_uint32),
        ("attributes", ctypes.POINTER(_Attribute)),
        ("target_alias", ctypes.c_void_p),
        ("user_name", ctypes.c_void_p),
    )


class Credential:
    """One generic credential.

    Args:
        target: its name.
        username: its user.
        blob: its secret.
        attributes: what programs noted on it.
    """

    __slots__ = ("attributes", "blob", "target", "username")

    def __init__(self, target: str, username: str, blob: bytes, attributes: "Mapping[str, bytes]") -> None:
        self.target = target
        self.username = username
        self.blob = blob
        self.attributes = attributes


class CredentialManager:
    """The credentials of this user.

    Args:
        library: has the five functions; advapi32.dll or a stand-in for it.
        last_error: gives the error number of this thread's last call.
    """

    def __init__(self, library: ctypes.CDLL, last_error: "Callable[[], int]") -> None:
        word, pointer = ctypes.c_uint32, ctypes.c_void_p
        credential = ctypes.POINTER(_Credential)
        library.CredWriteW.argtypes = (credential, word)
        library.CredReadW.argtypes = (pointer, word, word, ctypes.POINTER(credential))
        library.CredDeleteW.argtypes = (pointer, word, word)
        library.CredEnumerateW.argtypes = (
            pointer, word, ctypes.POINTER(word), ctypes.POINTER(ctypes.POINTER(credential)),
        )  # fmt: skip
        library.CredFree.argtypes = (pointer,)
        library.CredFree.restype = None
        self._library = library
        self._last_error = last_error

    @classmethod
    def of_system(cls) -> "CredentialManager":
        """Open the running system's own.

        Raises:
            KeychainUnavailableError: this is not Windows.
        """
        if sys.platform != "win32":
            raise KeychainUnavailableError(ONLY_HERE, "use another backend: passhelper link NAME")
        library = ctypes.WinDLL("advapi32.dll", use_last_error=True, winmode=_SYSTEM32)
        return cls(library, ctypes.get_last_error)

    def read(self, target: str) -> "Credential | None":
        """Read one credential; None if there is none of that name."""
        found = ctypes.POINTER(_Credential)()
        if not self._library.CredReadW(_wide(target), _GENERIC, 0, ctypes.byref(found)):
            self._refuse_all_but_absence("CredReadW")
            return None
        try:
            return _copy(found.contents)
        finally:
            self._library.CredFree(found)

    def enumerate(self) -> "list[Credential]":
        """Read all generic credentials."""
        count = ctypes.c_uint32()
        found = ctypes.POINTER(ctypes.POINTER(_Credential))()
        if not self._library.CredEnumerateW(None, 0, ctypes.byref(count), ctypes.byref(found)):
            self._refuse_all_but_absence("CredEnumerateW")
            return []
        try:
            credentials = [found[index].contents for index in range(count.value)]
            return [_copy(credential) for credential in credentials if credential.type == _GENERIC]
        finally:
            self._library.CredFree(found)

    def write(self, credential: Credential) -> None:
        """Write a credential over whatever has its name."""
        names, values = [], []
        attributes = (_Attribute * len(credential.attributes))()
        for attribute, (keyword, value) in zip(attributes, credential.attributes.items(), strict=True):
            names.append(_wide(keyword))
            values.append(ctypes.create_string_buffer(value, len(value)))
            attribute.keyword = ctypes.addressof(names[-1])
            attribute.value = ctypes.addressof(values[-1])
            attribute.value_size = len(value)
        target, username, empty = _wide(credential.target), _wide(credential.username), _wide("")
        blob = ctypes.create_string_buffer(credential.blob, len(credential.blob) + 1)
        native = _Credential(
            type=_GENERIC,
            target_name=ctypes.addressof(target),
            comment=ctypes.addressof(empty),  # as Go's library: empty, not NULL
            blob_size=len(credential.blob),
            blob=ctypes.addressof(blob) if credential.blob else None,
            persist=_LOCAL_MACHINE,
            attribute_count=len(attributes),
            attributes=attributes,
            target_alias=ctypes.addressof(empty),
            user_name=ctypes.addressof(username),
        )
        if not self._library.CredWriteW(ctypes.byref(native), 0):
            raise NativeError("CredWriteW", self._last_error())

    def delete(self, target: str) -> None:
        """Delete a credential; nothing happens if there is none of that name."""
        if not self._library.CredDeleteW(_wide(target), _GENERIC, 0):
            self._refuse_all_but_absence("CredDeleteW")

    def _refuse_all_but_absence(self, call: str) -> None:
        number = self._last_error()
        if number != NOT_FOUND:
            raise NativeError(call, number)


def _copy(native: _Credential) -> Credential:
    attributes = {}
    for index in range(native.attribute_count):
        attribute = native.attributes[index]
        attributes[_text(attribute.keyword)] = _bytes(attribute.value, attribute.value_size)
    blob = _bytes(native.blob, native.blob_size)
    return Credential(_text(native.target_name), _text(native.user_name), blob, attributes)


def _bytes(address: "int | None", size: int) -> bytes:
    return ctypes.string_at(address, size) if address and size else b""


def _wide(text: str) -> "ctypes.Array[ctypes.c_char]":
    """Make a UTF-16 string that ends with a NUL; other programs' names may hold unpaired surrogates."""
    return ctypes.create_string_buffer(text.encode("utf-16-le", "surrogatepass") + b"\0")  # and one more NUL


def _text(address: "int | None") -> str:
    """Read a UTF-16 string up to its NUL."""
    if not address:
        return ""
    units = ctypes.cast(address, ctypes.POINTER(ctypes.c_uint16))
    length = 0
    while units[length]:
        length += 1
    return ctypes.string_at(address, 2 * length).decode("utf-16-le", "surrogatepass")
