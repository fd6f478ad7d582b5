"""Commands that messages advise work when they are typed, in a store whose path has spaces and quotes."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from support import KeyRing, Program, run

from passhelper import shellwords
from passhelper.docker import export
from passhelper.errors import PasshelperError
from passhelper.machine.privatefile import PrivateFile
from passhelper.store import gpghome, owners, passphrase, unfinished
from passhelper.store.gpg import Gpg
from passhelper.store.repository import Repository


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    path = tmp_path / "it's a store"
    path.mkdir()
    return path


def test_the_command_for_a_group(odd: Path) -> None:
    file = odd / "file"
    file.touch(0o600)
    for uid in (None, os.geteuid()):
        odd.chmod(0o700)
        subprocess.run(["sh", "-c", owners.group_command(str(odd), os.getegid(), uid)], check=True)
        assert odd.stat().st_mode & 0o7777 == 0o2770
        assert file.stat().st_mode & 0o7777 == 0o660


def test_the_command_for_what_is_unfinished(odd: Path, environ: dict[str, str]) -> None:
    subprocess.run(["git", "init", "-q", str(odd)], env=environ, check=True)
    place = Repository(str(odd), str(odd / ".git"))
    (odd / ".git" / "MERGE_HEAD").write_text("x")
    command = unfinished.remedy(place).removeprefix("run: ").partition(", and")[0]
    subprocess.run(["sh", "-c", command], env=environ, check=True)


def test_the_command_for_a_lock(odd: Path, environ: dict[str, str]) -> None:
    lock = odd / "pubring.db.lock"
    lock.write_text("         7\nelsewhere\n")
    environ["GNUPGHOME"] = str(odd)
    found = gpghome.lock_error(Gpg(environ), b"gpg: waiting for lock (held by 7) ...\n")
    assert found is not None
    subprocess.run(["sh", "-c", found.remedy.partition("run: ")[2]], check=True)
    assert not lock.exists()


def typed(remedy: str) -> str:
    """Type the first command that a remedy advises, as it stands; return what it printed."""
    command = remedy.partition(": ")[2].removeprefix("passhelper doctor --fix, or ").partition(", ")[0]
    return subprocess.run(["sh", "-c", command], check=True, capture_output=True, text=True).stdout


def read_passphrase(path: Path) -> None:
    passphrase.refuse_foreign_writers("F", str(path), path.stat())


def export_over(path: Path) -> None:
    with PrivateFile(str(path)) as file:
        export.check_file(file)


def test_the_commands_for_files_that_others_can_reach(odd: Path) -> None:
    file = odd / "a file"
    for refuse in (read_passphrase, export_over):
        file.touch()
        file.chmod(0o666)
        with pytest.raises(PasshelperError) as caught:
            refuse(file)
        typed(caught.value.remedy)
        assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("quote", ["'", '"', "$(false)`;&", "[a]*?~"])
def test_every_word_reaches_a_program_as_it_is(quote: str) -> None:
    for text in (quote, f"a {quote} b", f"{quote}\n"):
        for quoted in (shellwords.word(text), shellwords.quoted(text)):
            assert subprocess.check_output(["sh", "-c", f"printf %s {quoted}"], text=True) == text


def test_the_commands_of_doctor(installed: Program, environ: dict[str, str], odd: Path, keys: KeyRing) -> None:
    """A store, a gpg home, a passphrase and a helper, each in a directory that a shell would tear apart."""
    store, home, secret, tools = (odd / name for name in ("the store", "h", "pass phrase", "tools"))
    for folder in (store, home, tools):
        folder.mkdir(mode=0o755)
    subprocess.run(["git", "init", "-q", "-b", "main", str(store)], env=environ, check=True)
    (store / ".gpg-id").write_text(keys["alice"] + "\n")
    (store / "docker-credential-helpers").mkdir()
    subprocess.run(["git", "-C", str(store), "remote", "add", "a'b", str(odd / "nowhere")], env=environ, check=True)
    secret.write_text("x")
    secret.chmod(0o644)
    (tools / "docker-credential-shut").write_text("#!/bin/sh\n")
    (odd / "config.json").write_text('{"credsStore": "shut"}')
    environ |= {
        "PASSWORD_STORE_DIR": str(store), "GNUPGHOME": str(home), "PASSHELPER_PASSPHRASE_FILE": str(secret),
        "PATH": f"{tools}:{environ['PATH']}", "DOCKER_CONFIG": str(odd),
    }  # fmt: skip
    answer = run([installed.passhelper, "doctor", "--json"], environ)
    found = {
        (check["id"], one["remedy"])
        for check in json.loads(answer.out)["data"]["checks"] for one in check["findings"]
        if str(odd) in one["remedy"].replace("'\\''", "'")
    }  # fmt: skip
    assert {name for name, _ in found} == {
        "store.modes", "gpg.home", "gpg.passphrase", "git.changes", "git.remote", "docker.helpers",
    }  # fmt: skip
    for name, remedy in found:
        if name == "git.remote":  # there is nothing to fetch from; git says so of this remote
            assert remedy.endswith("fetch 'a'\\''b'")
        else:
            typed(remedy)
    assert [path.stat().st_mode & 0o777 for path in (store, home, secret)] == [0o700, 0o700, 0o600]
    assert os.access(tools / "docker-credential-shut", os.X_OK)
