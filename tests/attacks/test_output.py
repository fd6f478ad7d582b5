"""Names that are commands: for a terminal, for a reader's eyes, for the runner of a CI system that prints our output.

Every command runs in a world in which everything that others choose is hostile: servers, user names, owners of keys,
authors of commits, the remote's words, files, Docker's configuration.
"""

from __future__ import annotations

import base64
import io
import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import FOLDER, KeyRing, Program, require, run
from support.machines.jobs import git
from support.project.commands import COMMANDS, calls

from passhelper import conformance
from passhelper.cli import output
from passhelper.doctor import metrics
from passhelper.errors import one_line, printable
from passhelper.jsontext import inert

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMANDS_OF_RUNNERS = ("::stop-commands::x", "##vso[task.setvariable variable=a]b", "##[error]x", "section_start:1:x",
                       "##teamcity[buildStop]", "travis_fold:start:x", " ::set-output name=a::b")  # fmt: skip
HOSTILE = (*COMMANDS_OF_RUNNERS, "https://a\u202eb.example", "a\u2028::error::b", "a\u2066b", "a\x1b[2Jb", "a\nb",
           "\u200b::x", "###vso[a]b", "a\r::error::b", "a\x85::error::b")  # fmt: skip
HIM = "::stop-commands::x ##vso[a]b \u202e"
# What is left of hostile words when they are escaped, and is in no path here.
PARTS = ("stop-commands::x", "task.setvariable", "teamcity[buildStop]", "set-output name")
# Commands that have nothing to print that others choose, those that end in this world before they print it, and one
# that prints but one server: for these the walk says only that their errors are not commands.
SILENT = frozenset({
    "backends", "link", "teardown", "unlink",
    "docker disable", "docker enable", "export", "recipients remove", "recipients sign", "reencrypt", "rename",
    "rotation list", "runner create", "runner list", "runner remove", "status", "sync",
})  # fmt: skip
BEGINS = ("::", "section_start:", "section_end:", "travis_")
ANYWHERE = ("##[", "##vso[", "##teamcity[")


def faults(text: str) -> list[str]:
    """The lines that a terminal, an eye or a runner would take for something else than text."""
    return [
        line
        for line in text.split("\n")
        if not line.lstrip("\t").isprintable()
        or line.lstrip().startswith(BEGINS)
        or any(command in line for command in ANYWHERE)
    ]


@pytest.fixture(scope="module")
def hostile_ring(keys: KeyRing, short_tmp: Path) -> Iterator[KeyRing]:
    """The keys and one more, whose owner has such a name."""
    ring = keys.copy(Path(tempfile.mkdtemp(prefix="o", dir=short_tmp)))
    ring.gpg("--passphrase", "", "--quick-gen-key", f"{HIM} <::x@example.test>", "rsa2048", "encr", "never")
    listing = ring.gpg("--with-colons", "--list-keys", "=" + f"{HIM} <::x@example.test>").stdout.decode()
    ring.fingerprints["him"] = next(line.split(":")[9] for line in listing.splitlines() if line.startswith("fpr"))
    yield ring
    ring.stop_agent()


@pytest.fixture
def world(hostile_ring: KeyRing, environ: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """A store, and a remote with a change of recipients and a hook that refuses everything, with such words."""
    require("git")
    place = tmp_path / "##vso[a]b" / "::x"
    store, remote = place / "store", place / "remote.git"
    (store / FOLDER).mkdir(parents=True, mode=0o700)
    git(tmp_path, "init", "-q", "-b", "main", str(store))
    lines = [hostile_ring["alice"], hostile_ring["him"]]
    (store / ".gpg-id").write_text("".join(f"# {HIM}\n{line}\n" for line in lines))
    entries = [hostile_ring.encrypt(b"secret", *people) for people in (("alice", "him"), ("alice",), ("bob",))]
    for number, name in enumerate(HOSTILE):
        folder = store / FOLDER / base64.urlsafe_b64encode(name.encode()).decode()
        folder.mkdir()
        (folder / f"{HOSTILE[-number - 1].replace('/', '%2F')}.gpg").write_bytes(entries[number % 3])
        (folder / "::other.gpg").write_bytes(entries[0])
        (store / f"{name.replace('/', '')}").write_text("x")
    author = ("-c", f"user.name={HIM}", "-c", "user.email=::x@example.test")
    git(store, "add", "--all")
    git(store, *author, "commit", "-q", "-m", "::error::begin")
    git(tmp_path, "clone", "-q", "--bare", str(store), str(remote))
    git(store, "remote", "add", "origin", str(remote))
    git(store, "fetch", "-q", "origin")
    git(store, "branch", "-q", "-u", "origin/main")
    hook = remote / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\nprintf '::error::x\\n##vso[a]b\\n\\033[2J\\n' >&2\nexit 1\n")
    hook.chmod(0o755)
    docker = tmp_path / "::docker"
    docker.mkdir()
    auths = {name: {"auth": base64.b64encode(b"u:p").decode()} for name in HOSTILE}
    helpers = dict.fromkeys(HOSTILE, "##vso[a]b")
    (docker / "config.json").write_text(json.dumps({"auths": auths, "credHelpers": helpers, "credsStore": "::x"}))
    environ.update(PASSWORD_STORE_DIR=str(store), DOCKER_CONFIG=str(docker), GNUPGHOME=str(hostile_ring.home),
                   DOCKER_AUTH_CONFIG=json.dumps({"auths": auths}))  # fmt: skip
    return environ


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in ("completion", "conformance")])
def test_no_output_is_a_command(installed: Program, world: dict[str, str], name: str, tmp_path: Path) -> None:
    """Each command alone, with each of its switches, and for each hostile server."""
    sources = {name: Path(world[name]).parent if name != "DOCKER_CONFIG" else Path(world[name])
               for name in ("PASSWORD_STORE_DIR", "DOCKER_CONFIG")}  # fmt: skip
    kept = {variable: tmp_path / f"kept-{variable}" for variable in sources}
    for variable, source in sources.items():
        shutil.copytree(source, kept[variable], symlinks=True)
    server = HOSTILE[0]
    printed = ""
    for words in calls(COMMANDS[name], world, server):
        if any("=" in word and word.startswith("--") and "KEY" not in word for word in words) and name != "login":
            continue  # a value of the caller's own
        answer = run([installed.passhelper, *name.split(), *words], world, timeout=30)
        for said in (answer.out, answer.err):
            assert faults(said.decode()) == [], (words, said)
            assert b"internal error" not in said, (words, said)
            printed += said.decode()
        for variable, source in sources.items():
            shutil.rmtree(source)
            shutil.copytree(kept[variable], source, symlinks=True)
    # A command that ends before it prints anything foreign would pass whatever it would have printed.
    assert any(part in printed for part in PARTS) == (name not in SILENT), printed


@pytest.mark.parametrize("server", HOSTILE)
def test_nor_an_answer_of_the_helper(installed: Program, world: dict[str, str], server: str) -> None:
    for verb in ("get", "list", "erase", "store", server):
        request = json.dumps({"ServerURL": server, "Username": "::x", "Secret": "##vso[a]b"})
        answer = run(
            [installed.helper, verb.replace("\0", "")], world, (request if verb == "store" else server).encode()
        )
        for said in (answer.out, answer.err):
            assert faults(said.decode()) == [], (verb, said)


def test_a_password_with_such_words_comes_back(installed: Program, world: dict[str, str]) -> None:
    secret = "###vso[a]b\\x23##"
    request = json.dumps({"ServerURL": "https://a.example", "Username": "##u", "Secret": secret})
    assert run([installed.helper, "store"], world, request.encode()).code == 0
    answer = run([installed.helper, "get"], world, b"https://a.example")
    assert (answer.json["Secret"], answer.json["Username"]) == (secret, "##u")
    assert run([installed.passhelper, "get", "--password", "a.example"], world).text == f"{secret}\n"
    assert run([installed.passhelper, "get", "a.example"], world).json["Secret"] == secret


@settings(deadline=None)  # no bound on time is a verdict here
@given(st.text(alphabet=st.one_of(st.characters(codec=None), st.sampled_from("#:[]\u202e\n \\"))))
def test_every_text_is_safe_to_print(text: str) -> None:
    line = one_line(text)
    assert faults(line) == []
    assert one_line(line) == line
    assert faults(f"x{printable(text)}") == []
    if "\n" not in text and text.isprintable() and "#" not in text and not text.lstrip().startswith(BEGINS):
        assert line == text  # what is harmless is shown as it is


@settings(deadline=None)  # no bound on time is a verdict here
@given(st.dictionaries(st.text(), st.text(alphabet="#[v\\")))
def test_json_means_the_same(document: dict[str, str]) -> None:
    text = inert(json.dumps(document))
    assert json.loads(text) == document
    assert faults(text) == []


@settings(deadline=None)  # no bound on time is a verdict here
@given(st.lists(st.sampled_from(HOSTILE), min_size=1, max_size=4), st.integers(3, 40))
def test_nor_is_a_line_of_a_table_that_is_folded(cells: list[str], width: int) -> None:
    """A terminal may be so narrow that any part of a name begins a line."""
    screen = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(output, "_WIDE", width)
        patch.setattr(click, "echo", lambda text: screen.write(f"{text}\n"))
        output.table(["A"] * len(cells), [cells])
    assert faults(screen.getvalue()) == []


@pytest.mark.parametrize("name", HOSTILE)
def test_reports_for_other_programs(name: str) -> None:
    law = conformance.LAWS[0]
    failed = conformance.Result(law, conformance.Outcome.FAILED, name, 0)
    skipped = conformance.Result(law, conformance.Outcome.SKIPPED, name, 0)
    text = conformance.junit(conformance.Examination([failed, skipped], [name]), name)
    assert faults(text) == []
    assert len(ET.fromstring(text)) == 1
    labels = metrics._labels("F" * 40, name + '"\\')
    assert faults(labels) == []
    assert labels.replace("\\\\", "").replace('\\"', "").count('"') == 6
