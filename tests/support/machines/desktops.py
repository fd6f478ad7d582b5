"""Desktops without a screen: a bus of their own, gnome-keyring or KeePassXC on it, and ways to lock and unlock."""

from __future__ import annotations

import base64
import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jeepney import DBusAddress, HeaderFields, MessageType, new_method_call
from jeepney.io.blocking import DBusConnection, open_dbus_connection

from support import require, require_account

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSWORD = "of the keyring"
NAME = "org.freedesktop.secrets"
ROOT = "/org/freedesktop/secrets"
GO_HELPER = "/usr/bin/docker-credential-secretservice"
_CONFIG = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:{listen}</listen>
  <auth>EXTERNAL</auth>
  {services}
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/>
  </policy>
</busconfig>
"""
_KEEPASS = """\
<?xml version="1.0" encoding="UTF-8"?>
<KeePassFile>
  <Meta>
    <DatabaseName>Team</DatabaseName>
    <CustomData>
      <Item><Key>FDO_SECRETS_EXPOSED_GROUP</Key><Value>{{{group}}}</Value></Item>
    </CustomData>
  </Meta>
  <Root><Group><UUID>{encoded}</UUID><Name>Root</Name></Group></Root>
</KeePassFile>
"""


class Desktop:
    """A session bus; :meth:`keyring` or :meth:`keepassxc` puts a Secret Service on it."""

    def __init__(self, home: Path, *, listen: str = "", activatable: str = "") -> None:
        require("dbus-daemon", "gdbus")
        require_account()
        self.home = home
        self._children: list[subprocess.Popen[bytes]] = []
        self.runtime = home / "run"
        self.runtime.mkdir(mode=0o700)
        self.environ = {
            "HOME": str(home),
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LC_ALL": "C.UTF-8",
            "XDG_RUNTIME_DIR": str(self.runtime),
            "XDG_DATA_HOME": str(home / "data"),
            "XDG_CONFIG_HOME": str(home / "config"),
            "PASSHELPER_NONINTERACTIVE": "1",
        }
        services = ""
        if activatable:
            folder = home / "services"
            folder.mkdir()
            (folder / "secrets.service").write_text(f"[D-BUS Service]\nName={NAME}\nExec={activatable}\n")
            services = f"<servicedir>{folder}</servicedir>"
        config = home / "bus.conf"
        config.write_text(_CONFIG.format(listen=listen or f"path={self.runtime}/bus", services=services))
        bus = self.start(["dbus-daemon", f"--config-file={config}", "--nofork", "--print-address=1"])
        assert bus.stdout is not None
        self.environ["DBUS_SESSION_BUS_ADDRESS"] = bus.stdout.readline().decode().strip()

    def start(self, command: list[str], stdin: bytes = b"", **environ: str) -> subprocess.Popen[bytes]:
        with open(self.home / "stderr", "ab") as said:
            child = subprocess.Popen(
                command, env={**self.environ, **environ}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=said, start_new_session=True,
            )  # fmt: skip
        assert child.stdin is not None
        child.stdin.write(stdin)
        child.stdin.close()
        self._children.append(child)
        return child

    def keyring(self, *, password: str | None = PASSWORD) -> subprocess.Popen[bytes]:
        """Start gnome-keyring; with a password its login keyring is open, and made if there is none."""
        require("gnome-keyring-daemon")
        command = ["gnome-keyring-daemon", "--foreground", "--components=secrets"]
        if password is not None:
            command.append("--unlock")
        child = self.start(command, (password or "").encode())
        self._wait()
        return child

    def keepassxc(self, *, confirm: bool = False, exposed: bool = True) -> subprocess.Popen[bytes]:
        """Start KeePassXC with a database that it offers as the default collection."""
        require("keepassxc", "keepassxc-cli")
        group = uuid.uuid4()
        encoded = base64.b64encode(group.bytes).decode()
        (self.home / "db.xml").write_text(
            _KEEPASS.format(group=group if exposed else uuid.UUID(int=0), encoded=encoded)
        )
        database = self.home / "team.kdbx"
        subprocess.run(
            ["keepassxc-cli", "import", "-p", str(self.home / "db.xml"), str(database)],
            env={**self.environ, "QT_QPA_PLATFORM": "offscreen"}, check=True, capture_output=True,
            input=f"{PASSWORD}\n{PASSWORD}\n".encode(),
        )  # fmt: skip
        config = self.home / "keepassxc.ini"
        asks = str(confirm).lower()
        config.write_text(
            "[General]\nUpdateCheckMessageShown=true\nAutoSaveAfterEveryChange=false\n[GUI]\nCheckForUpdates=false\n"
            f"[FdoSecrets]\nEnabled=true\nConfirmDeleteItem={asks}\nConfirmAccessItem=false\n"
        )
        local = ["--localconfig", str(self.home / "local.ini")]
        child = self.start(
            ["keepassxc", "--config", str(config), *local, "--pw-stdin", str(database)],
            f"{PASSWORD}\n".encode(), QT_QPA_PLATFORM="offscreen", TMPDIR=str(self.home),
        )  # fmt: skip
        self._wait()
        if exposed:
            self._until_open()
        return child

    def check(self) -> None:
        """See that nothing has ended by itself: what a test then meets is no fault of what it tests."""
        ended = [(child.args, child.returncode) for child in self._children if child.poll() is not None]
        assert not ended, (ended, (self.home / "stderr").read_text(errors="replace")[-4000:])

    def stop(self) -> None:
        for child in reversed(self._children):
            child.send_signal(signal.SIGCONT)
            child.terminate()
            try:
                child.wait(5)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            if child.stdout is not None:
                child.stdout.close()

    def _wait(self) -> None:
        """Wait until something offers the Secret Service."""
        subprocess.run(
            ["gdbus", "wait", "--session", "--timeout", "20", NAME], env=self.environ, check=True, capture_output=True
        )

    def _until_open(self) -> None:
        """Wait until the default collection is there and unlocked."""
        with self.connection() as bus:
            is_locked = True
            while is_locked:
                (path,) = bus.service("ReadAlias", "s", ("default",))
                with suppress(NotThereError):  # KeePassXC names it a moment before it shows it
                    is_locked = path == "/" or bus.get(path, "org.freedesktop.Secret.Collection", "Locked")

    @contextmanager
    def connection(self) -> Iterator[Bus]:
        with open_dbus_connection(self.environ["DBUS_SESSION_BUS_ADDRESS"]) as connection:
            bus = Bus(connection)
            bus.service("ReadAlias", "s", ("none",))  # gnome-keyring is ready for a client after its first call
            yield bus

    def lock(self) -> None:
        """Lock the default collection."""
        with self.connection() as bus:
            bus.lock()

    def unlock(self) -> None:
        """Unlock gnome-keyring's default collection."""
        with self.connection() as bus:
            (collection,) = bus.service("ReadAlias", "s", ("default",))
            bus.master("UnlockWithMasterPassword", "o(oayays)", collection)

    def items(self) -> list[dict[str, Any]]:
        """Every item of the default collection, as it is on the bus, with its secret."""
        with self.connection() as bus:
            (collection,) = bus.service("ReadAlias", "s", ("default",))
            return [bus.item(path) for path in bus.get(collection, "org.freedesktop.Secret.Collection", "Items")]


class NotThereError(LookupError):
    """The service has no object of that path."""


class Bus:
    """Calls through jeepney, which shares no code with what is tested."""

    def __init__(self, connection: DBusConnection) -> None:
        self.connection = connection
        self._session = ""

    def call(self, path: str, interface: str, member: str, signature: str = "", body: tuple[Any, ...] = ()) -> Any:
        address = DBusAddress(path, NAME, interface)
        reply = self.connection.send_and_get_reply(new_method_call(address, member, signature, body), timeout=20)
        if reply.header.fields.get(HeaderFields.error_name) == "org.freedesktop.DBus.Error.UnknownObject":
            raise NotThereError(path)
        assert reply.header.message_type is not MessageType.error, (member, reply.header.fields, reply.body)
        return reply.body

    def service(self, member: str, signature: str = "", body: tuple[Any, ...] = ()) -> Any:
        return self.call(ROOT, "org.freedesktop.Secret.Service", member, signature, body)

    def get(self, path: str, interface: str, name: str) -> Any:
        ((_, value),) = self.call(path, "org.freedesktop.DBus.Properties", "Get", "ss", (interface, name))
        return value

    def session(self) -> str:
        if not self._session:
            self._session = self.service("OpenSession", "sv", ("plain", ("s", "")))[1]
        return self._session

    def item(self, path: str) -> dict[str, Any]:
        interface = "org.freedesktop.Secret.Item"
        ((_, parameters, secret, kind),) = self.call(path, interface, "GetSecret", "o", (self.session(),))
        return {
            "Label": self.get(path, interface, "Label"),
            "Attributes": self.get(path, interface, "Attributes"),
            "Parameters": bytes(parameters),
            "Secret": bytes(secret),
            "Type": kind,
        }

    def create(self, label: str, attributes: dict[str, str], secret: bytes = b"s", collection: str = "") -> None:
        """Add an item, whatever its attributes are."""
        if not collection:
            (collection,) = self.service("ReadAlias", "s", ("default",))
        properties = {
            "org.freedesktop.Secret.Item.Label": ("s", label),
            "org.freedesktop.Secret.Item.Attributes": ("a{ss}", attributes),
        }
        value = (self.session(), b"", secret, "text/plain")
        interface = "org.freedesktop.Secret.Collection"
        self.call(collection, interface, "CreateItem", "a{sv}(oayays)b", (properties, value, False))

    def master(self, member: str, signature: str, first: Any) -> Any:
        """Do what gnome-keyring does after a prompt, without one."""
        interface = "org.gnome.keyring.InternalUnsupportedGuiltRiddenInterface"
        value = (self.session(), b"", PASSWORD.encode(), "text/plain")
        return self.call(ROOT, interface, member, signature, (first, value))

    def make_collection(self, label: str) -> str:
        properties = {"org.freedesktop.Secret.Collection.Label": ("s", label)}
        (path,) = self.master("CreateWithMasterPassword", "a{sv}(oayays)", properties)
        assert isinstance(path, str)
        return path

    def lock(self) -> None:
        (collection,) = self.service("ReadAlias", "s", ("default",))
        _, prompt = self.service("Lock", "ao", ([collection],))
        if prompt != "/":
            self.call(prompt, "org.freedesktop.Secret.Prompt", "Prompt", "s", ("",))
        while not self.get(collection, "org.freedesktop.Secret.Collection", "Locked"):
            pass


@contextmanager
def desktop(**options: Any) -> Iterator[Desktop]:
    """Make a desktop in a directory with a short path, since unix sockets have 107 bytes; end it afterwards."""
    home = Path(tempfile.mkdtemp(prefix="phd-", dir="/tmp"))
    os.chmod(home, 0o700)
    made = None
    try:
        made = Desktop(home, **options)
        yield made
    finally:
        if made is not None:
            made.stop()
        shutil.rmtree(home, ignore_errors=True)
