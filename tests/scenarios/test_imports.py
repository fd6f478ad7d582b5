"""What the helper imports, verb by verb: start-up time is the product, and each module costs some of it.

Measured on what pip 23 installs and on what the newest pip does; they write scripts differently.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from support import FOLDER, Helper, Program, run
from support.machines.jobs import git

from passhelper.store import pinning, trust
from passhelper.store.files import Files

SERVER = "https://registry.example"
REQUEST = json.dumps({"ServerURL": SERVER, "Username": "alice", "Secret": "s"})
FORBIDDEN = frozenset({
    "click", "git", "gnupg", "keyring", "rich", "httpx", "importlib.metadata", "subprocess", "pathlib", "typing",
    "dataclasses", "logging", "re", "json", "hashlib", "base64", "collections", "functools", "enum", "signal",
    "contextlib", "warnings", "traceback", "tempfile", "shutil", "threading", "socket", "ssl", "passhelper.cli",
    "passhelper.backends", "passhelper_backends",
})  # fmt: skip
_IMPORT = re.compile(r"^import time: +\d+ \| +\d+ \| +(\S+)$", re.MULTILINE)

# Verb: the program's argument, what it reads, whether it works in a git store, whether the server is there.
VERBS = {
    "version": ("version", "", False, False),
    "list": ("list", "", False, True),
    "get, a miss": ("get", SERVER, False, False),
    "get": ("get", SERVER, False, True),
    "store without git": ("store", REQUEST, False, False),
    "store in git": ("store", REQUEST, True, False),
    "erase": ("erase", SERVER, False, True),
    "store, automatic sync": ("store", REQUEST, True, False),
    "get, a miss, automatic sync": ("get", SERVER, True, False),
}


def allowed() -> dict[str, set[str]]:
    """Read the allow-list."""
    lists: dict[str, set[str]] = {}
    for line in Path(__file__).with_name("imports.txt").read_text().splitlines():
        if line.startswith("["):
            names = lists.setdefault(line.strip("[]"), set())
        elif line.strip() and not line.startswith("#"):
            names.add(line.strip())
    common = lists.pop("every verb")
    return {verb: names | common for verb, names in lists.items()}


def imported(command: list[str], environ: dict[str, str], stdin: str) -> set[str]:
    """Run Python with a report of what it imports."""
    answer = run([command[0], "-X", "importtime", *command[1:]], environ, stdin.encode())
    assert b"Traceback" not in answer.err
    return set(_IMPORT.findall(answer.err.decode()))


@pytest.fixture
def python(any_installed: Program) -> list[str]:
    """Python and the options that the installed script gives it."""
    text = Path(any_installed.helper).read_text()
    found = re.search(r'^exec "\$python" (-.*) "\$self" "\$@"$', text, re.MULTILINE)
    assert found is not None
    return [any_installed.python, *found[1].split()]


@pytest.mark.parametrize("verb", VERBS)
def test_imports(
    any_installed: Program, python: list[str], environ: dict[str, str], verb: str, request: pytest.FixtureRequest
) -> None:
    argument, stdin, in_git, present = VERBS[verb]
    request.getfixturevalue("git_store" if in_git else "store")
    if "automatic sync" in verb:
        share(Path(environ["PASSWORD_STORE_DIR"]), environ)
    helper = Helper(any_installed.helper, environ)
    if present:
        assert helper.store(SERVER, "alice", "s").code == 0
    bare = imported([any_installed.python, "-I", "-c", "pass"], environ, "")
    assert "encodings" in bare
    # It would be easy to be on the list of nothing: see that something was seen.
    loaded = imported([*python, any_installed.helper, argument], environ, stdin)
    assert "passhelper.protocol" in loaded
    assert ("passhelper.store.remote" in loaded) == ("automatic sync" in verb)
    assert ("passhelper.store.journal" in loaded) == (verb == "get, a miss, automatic sync")
    assert {name for name in loaded if name in FORBIDDEN} == set()
    extra = loaded - bare - allowed()[verb]
    assert extra == set(), f"not on the list for {verb!r}: {sorted(extra)}"


def share(store: Path, environ: dict[str, str]) -> None:
    """Give a store a remote with news, which the verb is to fetch or to push to."""
    remote = f"{store}-remote"
    subprocess.run(["git", "clone", "-q", "--bare", str(store), remote], check=True)
    environ["PASSHELPER_SYNC"] = "push,pull"
    git(store, "remote", "add", "origin", remote)
    pins = {path: sorted(keys) for path, keys in pinning.current(str(store)).items()}
    trust.save(str(store / ".git" / "passhelper"), pins, Files(environ))
    news = store / FOLDER / "bmV3cy5leGFtcGxl" / "u.gpg"
    news.parent.mkdir(parents=True)
    news.write_bytes(b"news")
    git(store, "add", "--all")
    git(store, "commit", "-q", "-m", "News")
    git(store, "push", "-q", "origin", "HEAD")
    git(store, "reset", "-q", "--hard", "HEAD~1")


def test_list_names_verbs_that_exist() -> None:
    assert set(allowed()) == set(VERBS)
    assert not FORBIDDEN & set().union(*allowed().values())
