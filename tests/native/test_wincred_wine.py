"""The wincred backend inside a real Windows Python, on Wine's Credential Manager."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from support import NOT_FOUND, Answer, run
from support.machines import wine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support import Once

pytestmark = pytest.mark.timeout(900)  # the first test waits for the prefix, and each step there has its own limit

LIMIT = 2560
DOCKER = {"label": "Docker Credentials"}

# Windows' own types and nothing of ours, so that it shows what another program sees.
DUMP = r"""
import ctypes, json, sys
from ctypes import wintypes as w
class Attribute(ctypes.Structure):
    _fields_ = [("Keyword", w.LPWSTR), ("Flags", w.DWORD), ("ValueSize", w.DWORD), ("Value", ctypes.POINTER(w.BYTE))]
class Credential(ctypes.Structure):
    _fields_ = [("Flags", w.DWORD), ("Type", w.DWORD), ("TargetName", w.LPWSTR), ("Comment", w.LPWSTR),
        ("LastWritten", w.FILETIME), ("CredentialBlobSize", w.DWORD), ("CredentialBlob", ctypes.POINTER(w.BYTE)),
        ("Persist", w.DWORD), ("AttributeCount", w.DWORD), ("Attributes", ctypes.POINTER(Attribute)),
        ("TargetAlias", w.LPWSTR), ("UserName", w.LPWSTR)]
count, found = w.DWORD(), ctypes.POINTER(ctypes.POINTER(Credential))()
api = ctypes.WinDLL("advapi32", use_last_error=True)
items = []
if api.CredEnumerateW(None, 0, ctypes.byref(count), ctypes.byref(found)):
    for index in range(count.value):
        c = found[index].contents
        items.append({
            "Flags": c.Flags, "Type": c.Type, "TargetName": c.TargetName, "Comment": c.Comment, "Persist": c.Persist,
            "CredentialBlob": bytes(v & 255 for v in c.CredentialBlob[:c.CredentialBlobSize]).hex(),
            "Attributes": [[a.Keyword, a.Flags, bytes(v & 255 for v in a.Value[:a.ValueSize]).decode("ascii")]
                for a in c.Attributes[:c.AttributeCount]],
            "TargetAlias": c.TargetAlias, "UserName": c.UserName})
elif ctypes.get_last_error() != 1168:
    sys.exit("error %d" % ctypes.get_last_error())
print(json.dumps(items))
"""


@pytest.fixture(scope="module")
def windows(made_once: Once) -> Iterator[wine.Windows]:
    wine.requirements()
    yield from wine.users(made_once("wine", wine.make))


@pytest.fixture
def server(windows: wine.Windows, request: pytest.FixtureRequest) -> Iterator[str]:
    """A server of this test's own: all workers share one Credential Manager."""
    name = f"https://{re.sub('[^a-z0-9]+', '-', request.node.name).strip('-')}.example/v1/"
    yield name
    assert windows.helper("erase", name.encode()).code == 0
    assert dump(windows, name) == []


def dump(windows: wine.Windows, server: str) -> list[dict[str, Any]]:
    answer = windows("-c", DUMP)
    assert answer.code == 0, answer.err
    return [item for item in answer.json if item["TargetName"].endswith(server)]


def store(windows: wine.Windows, server: str, username: str, secret: str) -> None:
    request = {"ServerURL": server, "Username": username, "Secret": secret}
    answer = windows.helper("store", json.dumps(request, ensure_ascii=False).encode())
    assert (answer.code, answer.out, answer.err) == (0, b"", b"")


def test_the_contract_holds(windows: wine.Windows) -> None:
    suite = str(wine.REPOSITORY / "tests" / "platforms" / "credential_manager.py").replace("/", "\\")
    answer = windows("-m", "pytest", "-q", "--color=no", f"Z:{suite}")
    assert answer.code == 0, answer.text
    assert re.search(r"^\d+ passed in ", answer.text, re.MULTILINE), answer.text  # and none was skipped


def test_the_python_is_windows(windows: wine.Windows) -> None:
    code = "import ctypes, os, sys; print(sys.platform, os.name, sys.version_info[:3], ctypes.sizeof(ctypes.c_wchar))"
    assert windows("-c", code).out.split() == b"win32 nt (3, 11, 9) 2".split()


def test_an_item_has_the_fields_that_dockers_helper_writes(windows: wine.Windows, server: str) -> None:
    store(windows, server, "ünï \U0001f600", "pä\r\nss ☃\x1a end")
    assert dump(windows, server) == [
        {
            "Flags": 0,
            "Type": 1,
            "TargetName": server,
            "Comment": "",
            "Persist": 2,
            "CredentialBlob": "pä\r\nss ☃\x1a end".encode().hex(),
            "Attributes": [["label", 0, "Docker Credentials"]],
            "TargetAlias": "",
            "UserName": "ünï \U0001f600",
        }
    ]


def test_standard_streams_are_binary(windows: wine.Windows, server: str) -> None:
    secret = "pä\r\nss\n☃\r\x1a end"  # text mode would end at the control-Z and change every line end
    store(windows, server, "ünï", secret)
    answer = windows.helper("get", server.encode() + b"\r\n")
    assert answer.code == 0
    assert answer.out.count(b"\n") == 1
    assert b"\r" not in answer.out
    assert answer.json == {"ServerURL": server, "Username": "ünï", "Secret": secret}
    listed = windows.helper("list")
    assert listed.json[server] == "ünï"
    assert not set(b"\r") & set(listed.out)
    assert windows.helper("version").out.endswith(b"\n")
    assert b"\r" not in windows.helper("version").out
    assert windows.helper("get", b"https://nowhere.example").out == NOT_FOUND


@pytest.mark.parametrize(("size", "count"), [(LIMIT, 1), (LIMIT + 1, 2), (20_000, 8)])
def test_secrets_of_any_size(windows: wine.Windows, server: str, size: int, count: int) -> None:
    secret = "".join(chr(33 + index % 90) for index in range(size))
    store(windows, server, "bob", secret)
    assert windows.helper("get", server.encode()).json["Secret"] == secret
    items = dump(windows, server)
    assert len(items) == count
    assert max(len(item["CredentialBlob"]) // 2 for item in items) == LIMIT
    assert [item["Attributes"] for item in items].count([["label", 0, "Docker Credentials"]]) == (count == 1)
    assert [name for name in windows.helper("list").json if name.endswith(server)] == [server]


def test_a_short_secret_over_a_long_one_leaves_no_parts(windows: wine.Windows, server: str) -> None:
    for size in (20_000, 1):
        store(windows, server, "bob", "x" * size)
    (item,) = dump(windows, server)
    assert (item["CredentialBlob"], item["Attributes"]) == ("78", [["label", 0, "Docker Credentials"]])


def test_the_library_has_the_limit_of_windows(windows: wine.Windows) -> None:
    code = (
        "from passhelper_backends.wincred._native import *\n"
        "manager = CredentialManager.of_system()\n"
        "for size in (2560, 2561):\n"
        "    try: manager.write(Credential('limit.example', 'u', b'x' * size, {'label': b'v' * 256})); print('kept')\n"
        "    except NativeError as error: print(error)\n"
        "try: manager.write(Credential('limit.example', 'u', b'x', {'label': b'v' * 257}))\n"
        "except NativeError as error: print(error)\n"
        "manager.delete('limit.example'); manager.delete('limit.example'); print(manager.read('limit.example'))\n"
    )
    answer = windows("-c", code)
    failed = b"CredWriteW failed with error 1783"
    assert answer.out.splitlines() == [b"kept", failed, failed, b"None"], answer.err


LINK = """
import os, sys
from passhelper.errors import ConfigurationError
from passhelper.setup import link
for step in (link.link, link.link, link.unlink, link.link):
    path, changed = step("wincred", os.environ, sys.argv[1])
    print(os.path.basename(path), changed)
open(os.path.join(sys.argv[1], "docker-credential-memory.exe"), "wb").write(b"MZ")
for step in (link.link, link.unlink):
    try: step("memory", os.environ, sys.argv[1])
    except ConfigurationError as error: print(error.cause.partition(" is ")[2])
"""


def test_link_writes_a_program_that_windows_starts(windows: wine.Windows, server: str, tmp_path: Path) -> None:
    folder = tmp_path / "linked programs"
    answer = windows("-c", LINK, f"Z:{folder}".replace("/", "\\"))
    program = "docker-credential-wincred.exe"
    written = [f"{program} {changed}" for changed in (True, False, True, True)]
    refused = ["another program, so it is left as it is"] * 2
    assert answer.text.splitlines() == [*written, *refused], answer.err

    def helper(verb: str, stdin: bytes = b"") -> Answer:
        return run([wine.WINE, str(folder / program), verb], windows.environ, stdin)

    request = {"ServerURL": server, "Username": "ünï", "Secret": "pä\r\n\x1a end"}
    stored = helper("store", json.dumps(request, ensure_ascii=False).encode())
    assert (stored.code, stored.out, stored.err) == (0, b"", b"")
    assert helper("get", server.encode()).json == request
    assert helper("list").json[server] == "ünï"
    missed = helper("get", b"nowhere.example")
    assert (missed.code, missed.out) == (1, NOT_FOUND)
    assert helper("version").out.startswith(b"docker-credential-wincred (passhelper) ")
