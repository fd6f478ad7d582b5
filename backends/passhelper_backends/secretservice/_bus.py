"""A connection to the D-Bus session bus, on nothing but a socket.

Why not a library: ``docker-credential-secretservice get`` is started for every registry that Docker touches.
Measured beside Docker's own program (Go, libsecret) in one run, the whole of it takes 1.1 to 1.3 times as long; to
import jeepney alone takes twice as long. So this package imports nothing but the core and three built-in modules.

Every wait has an end: a bus that accepts a connection and then says nothing would otherwise hold ``docker`` for ever.
"""

import os
import sys
import time
from _socket import SOCK_STREAM, socket

from passhelper_backends.secretservice._wire import decode, encode, pad

if sys.platform != "win32":
    from _socket import AF_UNIX
    from os import geteuid as _user

    def _unix_socket() -> socket:
        return socket(AF_UNIX, SOCK_STREAM)

else:

    def _user() -> int:
        return -1

    def _unix_socket() -> socket:
        raise NoBusError("there is no D-Bus session bus on Windows")


TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

SECONDS = 5.0  # for one answer of a program, its start by the bus included
MAX_MESSAGE = 1 << 27  # bytes: the specification's own limit
_CHUNK = 1 << 16  # bytes per read
_LINE = 4096  # bytes: more than any answer while authenticating
_CALL, _RETURN, _ERROR, _SIGNAL = 1, 2, 3, 4
# Header fields.
_PATH, _INTERFACE, _MEMBER, _ERROR_NAME, _REPLY_SERIAL, _DESTINATION, _SENDER, _SIGNATURE = range(1, 9)
BUS = "org.freedesktop.DBus"
BUS_PATH = "/org/freedesktop/DBus"


class BusError(Exception):
    """The bus cannot be used; the text says why."""


class NoBusError(BusError):
    """Nothing says where a bus is."""


class SilentError(BusError):
    """No answer came in time."""


class ClosedError(BusError):
    """The bus has ended the connection."""


class CallError(BusError):
    """A program answered with an error.

    Attributes:
        name: the error's name, such as ``org.freedesktop.DBus.Error.ServiceUnknown``.
    """

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}" if text else name)
        self.name = name


class Bus:
    """A connection, ready for calls.

    Args:
        environ: names the bus.
        seconds: how long one answer may take.

    Raises:
        BusError: there is none, or it does not want us.
    """

    def __init__(self, environ: "Mapping[str, str]", seconds: float = SECONDS) -> None:
        self.seconds = seconds
        self._serial = 0
        self._buffer = bytearray()
        self._replies: dict[int, tuple[str, list[Any]] | CallError] = {}
        self._signals: list[tuple[tuple[str, str, str], list[Any]]] = []  # sender, object and name; arguments
        self._socket, self.address = _connect(environ, seconds)
        try:
            self._authenticate()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def call(
        self, destination: str, path: str, interface: str, member: str, signature: str = "", *body: "Any"
    ) -> "list[Any]":
        """Call a method and wait for its answer.

        Raises:
            BusError: it failed, or no answer came.
        """
        return self.answer(self.send(destination, path, interface, member, signature, *body))[1]

    def send(self, destination: str, path: str, interface: str, member: str, signature: str = "", *body: "Any") -> int:
        """Call a method; give the number by which :meth:`answer` knows the call."""
        message = self._message(destination, path, interface, member, signature, body)
        self._write(message, time.monotonic() + self.seconds)
        return self._serial

    def answer(self, serial: int, seconds: float = 0.0) -> "tuple[str, list[Any]]":
        """Wait for the answer to a call.

        Args:
            serial: the number that :meth:`send` gave.
            seconds: how long; as long as for any answer when 0.

        Returns:
            who answered, as its unique name, and the values.

        Raises:
            BusError: it failed, or no answer came in time.
        """
        end = time.monotonic() + (seconds or self.seconds)
        while serial not in self._replies:
            self._receive(end)
        reply = self._replies.pop(serial)
        if isinstance(reply, CallError):
            raise reply
        return reply

    def signal(self, sender: str, path: str, member: str, seconds: float) -> "list[Any]":
        """Wait for a signal; give its arguments.

        Raises:
            SilentError: it did not come in time.
        """
        end = time.monotonic() + seconds
        while True:
            for signal, body in self._signals:
                # Any program on the bus can send any signal to us, so it counts from whom it comes.
                if signal == (sender, path, member):
                    return body
            self._signals.clear()
            self._receive(end)

    def _authenticate(self) -> None:
        """Say who we are; the bus learns the user from the kernel and compares."""
        end = time.monotonic() + self.seconds
        user = _user()
        identity = str(user).encode().hex().encode()
        hello = self._message(BUS, BUS_PATH, BUS, "Hello", "", ())
        # All at once: a server that refuses says so instead of reading on.
        self._write(b"\0AUTH EXTERNAL " + identity + b"\r\nBEGIN\r\n" + hello, end)
        while (line_end := self._buffer.find(b"\r\n")) < 0:
            if len(self._buffer) > _LINE:
                raise BusError(f"what listens at {self.address} is not a D-Bus server")
            self._fill(end)
        line = bytes(self._buffer[:line_end])
        del self._buffer[: line_end + 2]
        refused = BusError(f"the session bus at {self.address} refuses uid {user}")
        if line.startswith(b"REJECTED"):
            raise refused
        if not line.startswith(b"OK"):
            raise BusError(f"what listens at {self.address} is not a D-Bus server")
        try:
            self.answer(self._serial)
        except ClosedError:
            raise refused from None  # so does dbus-daemon: it believes who we are, and hangs up

    def _message(  # noqa: PLR0913, PLR0917 - what a method call consists of
        self, destination: str, path: str, interface: str, member: str, signature: str, body: "tuple[Any, ...]"
    ) -> bytearray:
        self._serial += 1
        content = encode(signature, body)
        fields = [(_PATH, ("o", path)), (_INTERFACE, ("s", interface)), (_MEMBER, ("s", member))]
        fields += [(_DESTINATION, ("s", destination))]
        if signature:
            fields.append((_SIGNATURE, ("g", signature)))
        fixed = bytes((ord("l"), _CALL, 0, 1))  # little-endian, no flags, protocol 1
        message = encode("uua(yv)", (len(content), self._serial, fields), fixed)
        pad(message, 8)
        return message + content

    def _write(self, data: "bytes | bytearray", end: float) -> None:
        try:
            self._socket.settimeout(max(end - time.monotonic(), 0.001))
            self._socket.sendall(data)
        except TimeoutError:
            raise self._silent() from None
        except OSError as error:
            raise self._closed() from error

    def _fill(self, end: float) -> None:
        left = end - time.monotonic()
        try:
            self._socket.settimeout(max(left, 0.001))
            chunk = self._socket.recv(_CHUNK)
        except TimeoutError:
            raise self._silent() from None
        except OSError as error:
            raise self._closed() from error
        if not chunk:
            raise self._closed()
        self._buffer += chunk

    def _closed(self) -> ClosedError:
        return ClosedError(f"the session bus at {self.address} has closed the connection")

    def _silent(self) -> SilentError:
        return SilentError(f"the session bus at {self.address} does not answer")

    def _receive(self, end: float) -> None:
        """Read one message and keep what may be of use."""
        while len(self._buffer) < 16:
            self._fill(end)
        big = self._buffer[0] == ord("B")
        try:
            kind = self._buffer[1]
            body_size, _, field_size = decode("uuu", bytes(self._buffer[4:16]), big=big)
            begin = 16 + field_size + -field_size % 8
            if begin + body_size > MAX_MESSAGE:
                raise ValueError("too large")
            while len(self._buffer) < begin + body_size:
                self._fill(end)
            message = bytes(self._buffer[: begin + body_size])
            del self._buffer[: begin + body_size]
            fields = dict(decode("a(yv)", message[:begin], big=big, offset=12)[0])
            body = decode(fields.get(_SIGNATURE, ""), message[begin:], big=big) if kind != _CALL else []
        except ValueError:
            raise BusError(f"what listens at {self.address} is not a D-Bus server") from None
        sender = fields.get(_SENDER, "")
        if kind == _RETURN:
            self._replies[fields.get(_REPLY_SERIAL, 0)] = (sender, body)
        elif kind == _ERROR:
            text = body[0] if body and isinstance(body[0], str) else ""
            self._replies[fields.get(_REPLY_SERIAL, 0)] = CallError(fields.get(_ERROR_NAME, ""), text)
        elif kind == _SIGNAL:
            self._signals.append(((sender, fields.get(_PATH, ""), fields.get(_MEMBER, "")), body))


def _connect(environ: "Mapping[str, str]", seconds: float) -> "tuple[socket, str]":
    """Connect to the first of the bus's addresses that works; give the socket and its name for messages."""
    failure: BusError | None = None
    for path in _paths(environ):
        shown = "@" + path[1:] if path.startswith("\0") else path
        connection = _unix_socket()
        try:
            connection.settimeout(seconds)
            connection.connect(os.fsencode(path))
        except TimeoutError:
            connection.close()
            failure = SilentError(f"the session bus at {shown} does not answer")
        except OSError as error:
            connection.close()
            failure = BusError(f"cannot connect to the session bus at {shown}: {error.strerror or error}")
        else:
            return connection, shown
    raise failure or NoBusError("there is no D-Bus session bus")


def _paths(environ: "Mapping[str, str]") -> "list[str]":
    """List the sockets where the bus may listen; an abstract one begins with NUL. BusError if it listens elsewhere."""
    addresses = environ.get("DBUS_SESSION_BUS_ADDRESS", "")
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    if not addresses:
        # As libdbus and sd-bus do, but not as they go on: X11 is never asked and no bus is started.
        path = os.path.join(runtime, "bus")
        return [path] if os.path.isabs(runtime) and os.path.exists(path) else []
    found = []
    for address in addresses.split(";"):
        transport, _, rest = address.partition(":")
        options = dict(option.partition("=")[::2] for option in rest.split(","))
        if transport != "unix":
            continue
        if "path" in options:
            found.append(_unescaped(options["path"]))
        elif "abstract" in options:
            found.append("\0" + _unescaped(options["abstract"]))
        elif options.get("runtime") == "yes" and runtime:
            found.append(os.path.join(runtime, "bus"))
    if not found:
        raise BusError("DBUS_SESSION_BUS_ADDRESS names no unix socket")
    return found


def _unescaped(value: str) -> str:
    """Undo the percent-encoding of an address."""
    begin, *parts = os.fsencode(value).split(b"%")
    try:
        return os.fsdecode(begin + b"".join(bytes.fromhex(part[:2].decode()) + part[2:] for part in parts))
    except ValueError:
        return value
