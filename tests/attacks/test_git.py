"""Git settings and files that would run code or change bytes when a credential is committed.

Some come with a clone (attributes, a pushed ``.gpg-id``), some from the user's own global settings, some from
whoever could write to ``.git``. Each trap is shown to work with plain git first.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from support import FOLDER, Helper, KeyRing, run

if TYPE_CHECKING:
    from collections.abc import Callable

SERVER = "https://registry.example"


class Trap(NamedTuple):
    """A store with a trap in it, and the sign that the trap leaves when it snaps."""

    store: Path
    environ: dict[str, str]
    sign: Path

    def script(self, path: Path, text: str = "cat") -> str:
        """Make a program that leaves the sign and then does something; return its path."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n: > {self.sign}\n{text}\n")
        path.chmod(0o755)
        return str(path)

    def git(self, *arguments: str) -> str:
        answer = run(["git", "-C", str(self.store), *arguments], self.environ)
        assert answer.code == 0, answer
        return answer.text

    def set_globally(self, name: str, value: str) -> None:
        self.git("config", "--global", name, value)


def _attributes_filter(trap: Trap) -> None:
    """A filter that the tree's attributes name; its program stands in the user's settings."""
    program = trap.script(trap.store.parent / "filter", "tr a-z A-Z")
    for kind in ("clean", "smudge"):
        trap.set_globally(f"filter.evil.{kind}", program)
    trap.set_globally("filter.evil.required", "true")
    (trap.store / ".gitattributes").write_text("*.gpg filter=evil\n")
    (trap.store / FOLDER).mkdir()
    (trap.store / FOLDER / ".gitattributes").write_text("* filter=evil\n")


def _attributes_process(trap: Trap) -> None:
    trap.set_globally("filter.evil.process", trap.script(trap.store.parent / "filter", "exit 1"))
    (trap.store / ".gitattributes").write_text("* filter=evil\n")


def _attributes_text(trap: Trap) -> None:
    """Line-end conversion, ident expansion, an encoding: each changes the bytes of a ciphertext."""
    trap.set_globally("core.autocrlf", "input")
    trap.set_globally("core.safecrlf", "false")
    trap.sign.touch()  # nothing runs here; the bytes are what is looked at
    (trap.store / ".gitattributes").write_text("*.gpg text eol=lf ident\n")


def _attributes_encoding(trap: Trap) -> None:
    trap.sign.touch()
    (trap.store / ".gitattributes").write_text("*.gpg text working-tree-encoding=UTF-16\n")


def _global_attributes(trap: Trap) -> None:
    trap.set_globally("filter.lfs.clean", trap.script(trap.store.parent / "lfs", "echo pointer"))
    trap.set_globally("filter.lfs.smudge", trap.script(trap.store.parent / "lfs", "echo pointer"))
    trap.set_globally("filter.lfs.required", "true")
    attributes = trap.store.parent / "attributes"
    attributes.write_text("*.gpg filter=lfs diff=lfs merge=lfs -text\n")
    trap.set_globally("core.attributesFile", str(attributes))


def _info_attributes(trap: Trap) -> None:
    trap.set_globally("filter.evil.clean", trap.script(trap.store.parent / "filter", "tr a-z A-Z"))
    (trap.store / ".git" / "info").mkdir(exist_ok=True)
    (trap.store / ".git" / "info" / "attributes").write_text("*.gpg filter=evil")  # without a line end


def _macro_attributes(trap: Trap) -> None:
    """A macro in the tree cannot bring back what the last line turned off."""
    trap.set_globally("filter.evil.clean", trap.script(trap.store.parent / "filter", "tr a-z A-Z"))
    (trap.store / ".gitattributes").write_text(
        "[attr]binary filter=evil text\n[attr]evil filter=evil text\n*.gpg evil binary\n"
    )


_HOOKS = ("pre-commit", "prepare-commit-msg", "commit-msg", "post-commit", "reference-transaction",
          "post-index-change", "fsmonitor-watchman", "pre-auto-gc")  # fmt: skip


def _global_hooks(trap: Trap) -> None:
    for name in _HOOKS:
        trap.script(trap.store.parent / "hooks" / name, "exit 0")
    trap.set_globally("core.hooksPath", str(trap.store.parent / "hooks"))


def _repository_hooks(trap: Trap) -> None:
    for name in _HOOKS:
        trap.script(trap.store / ".git" / "hooks" / name, "exit 0")


def _hooks_path_in_the_tree(trap: Trap) -> None:
    for name in _HOOKS:
        trap.script(trap.store / "hooks" / name, "exit 1")
    trap.git("config", "core.hooksPath", "hooks")


def _fsmonitor(trap: Trap) -> None:
    trap.git("config", "core.fsmonitor", trap.script(trap.store / ".git" / "monitor", "exit 1"))


def _global_fsmonitor(trap: Trap) -> None:
    trap.set_globally("core.fsmonitor", trap.script(trap.store.parent / "monitor", "exit 1"))


def _environment(trap: Trap) -> None:
    """The same settings as environment variables, which CI systems use for credentials and so stay."""
    program = trap.script(trap.store.parent / "monitor", "exit 1")
    for name in _HOOKS:
        trap.script(trap.store.parent / "hooks" / name, "exit 1")
    settings = {"core.fsmonitor": program, "core.hooksPath": str(trap.store.parent / "hooks"),
                "filter.evil.clean": program}  # fmt: skip
    (trap.store / ".gitattributes").write_text("*.gpg filter=evil\n")
    trap.environ["GIT_CONFIG_COUNT"] = str(len(settings))
    for number, (name, value) in enumerate(settings.items()):
        trap.environ.update({f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value})


def _editor(trap: Trap) -> None:
    trap.set_globally("core.editor", trap.script(trap.store.parent / "editor", "exit 1"))
    trap.set_globally("commit.verbose", "true")
    trap.set_globally("commit.template", str(trap.store / ".gpg-id"))
    trap.set_globally("commit.status", "true")
    trap.environ["GIT_EDITOR"] = str(trap.store.parent / "editor")


def _pager_and_diff(trap: Trap) -> None:
    program = trap.script(trap.store.parent / "diff", "exit 0")
    trap.set_globally("core.pager", program)
    trap.set_globally("diff.external", program)
    trap.set_globally("diff.evil.textconv", program)
    (trap.store / ".gitattributes").write_text("*.gpg diff=evil\n")
    trap.environ["GIT_EXTERNAL_DIFF"] = program


# Trap: how it is set, and whether plain git snaps it by an ordinary commit.
TRAPS: dict[str, tuple[Callable[[Trap], None], bool]] = {
    "attributes of the tree with a filter": (_attributes_filter, True),
    "attributes of the tree with a process filter": (_attributes_process, True),
    "attributes of the tree that change line ends": (_attributes_text, True),
    "attributes of the tree with an encoding": (_attributes_encoding, True),
    "global attributes with lfs": (_global_attributes, True),
    "attributes of the repository": (_info_attributes, True),
    "attributes of the tree with a macro": (_macro_attributes, True),
    "global hooks": (_global_hooks, True),
    "hooks of the repository": (_repository_hooks, True),
    "hooks in the tree": (_hooks_path_in_the_tree, True),
    "file-system monitor of the repository": (_fsmonitor, True),
    "global file-system monitor": (_global_fsmonitor, True),
    "settings in the environment": (_environment, True),
    "editor": (_editor, False),
    "pager and diff programs": (_pager_and_diff, False),
}


@pytest.fixture
def trap(request: pytest.FixtureRequest, git_store: Path, environ: dict[str, str], tmp_path: Path) -> Trap:
    made = Trap(git_store, environ, tmp_path / "sign")
    made.set_globally("user.name", "t")
    made.set_globally("user.email", "t@example.test")
    made.git("config", "core.untrackedCache", "true")
    return made


@pytest.mark.parametrize("name", TRAPS)
def test_nothing_runs_and_no_byte_changes(helper: Helper, trap: Trap, name: str) -> None:
    set_trap, snaps = TRAPS[name]
    set_trap(trap)
    if snaps:
        show_that_it_snaps(trap)
    trap.sign.unlink(missing_ok=True)
    for user in ("alice", "bob", "bob"):
        answer = helper.store(SERVER, user, "secret of " + user)
        assert (answer.code, answer.err) == (0, b"")
        assert_exact(trap, f"{user}.gpg")
    assert helper.store("https://other.example", "carol", "s").code == 0
    assert helper.get(SERVER).json["Secret"] == "secret of bob"
    assert helper.erase(SERVER).code == 0
    assert not trap.sign.exists()
    assert run(["git", "-C", str(trap.store), "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false",
                "status", "--porcelain", "--", FOLDER + "/*.gpg"], trap.environ).out == b""  # fmt: skip


def show_that_it_snaps(trap: Trap) -> None:
    """Add and commit a file with plain git, then take it back."""
    data = b"$Id$ binary\r\nlines\r\n" * 40
    path = trap.store / "plain.gpg"
    path.write_bytes(data)
    git = ["git", "-C", str(trap.store)]
    run([*git, "add", "plain.gpg"], trap.environ)
    run([*git, "commit", "-q", "-m", "x", "plain.gpg"], trap.environ)
    shown = run([*git, "cat-file", "blob", ":plain.gpg"], trap.environ)
    assert trap.sign.exists()
    ran = trap.sign.stat().st_size == 0
    assert ran or shown.out != data
    run([*git, "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "rm", "-q", "-f", "--cached",
         "plain.gpg"], trap.environ)  # fmt: skip
    path.unlink()


def assert_exact(trap: Trap, name: str) -> None:
    """The commit holds the file's very bytes."""
    files = list((trap.store / FOLDER).rglob(name))
    assert len(files) == 1
    path = os.path.relpath(files[0], trap.store)
    blob = run(["git", "-C", str(trap.store), "cat-file", "blob", f"HEAD:{path}"], trap.environ)
    assert blob.code == 0, blob
    assert blob.out == files[0].read_bytes()


def test_hooks_run_where_the_user_wants_them(helper: Helper, trap: Trap) -> None:
    _repository_hooks(trap)
    trap.git("config", "passhelper.hooks", "true")
    assert helper.store(SERVER, "alice", "s").code == 0
    assert trap.sign.exists()


def test_line_ends_inside_a_ciphertext(helper: Helper, trap: Trap) -> None:
    """A megabyte of random bytes holds some sixteen CR LF, each of which a conversion would shorten."""
    _attributes_text(trap)
    assert helper.store(SERVER, "alice", "x" * 1_000_000).code == 0
    assert b"\r\n" in next((trap.store / FOLDER).rglob("alice.gpg")).read_bytes()
    assert_exact(trap, "alice.gpg")


# Where the commit goes


@pytest.mark.parametrize(
    "name", ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE"]
)
def test_variables_of_another_repository(
    helper: Helper, git_store: Path, environ: dict[str, str], tmp_path: Path, name: str
) -> None:
    """Called from a hook of another repository: that one stays as it is."""
    other = tmp_path / "other"
    assert run(["git", "init", "-q", str(other)], environ).code == 0
    value = {"GIT_DIR": f"{other}/.git", "GIT_WORK_TREE": str(other), "GIT_INDEX_FILE": f"{other}/.git/index",
             "GIT_OBJECT_DIRECTORY": f"{other}/.git/objects", "GIT_NAMESPACE": "other"}[name]  # fmt: skip
    before = sorted(str(path) for path in other.rglob("*"))
    answer = helper.store(SERVER, "alice", "s", **{name: value})
    assert (answer.code, answer.err) == (0, b"")
    assert sorted(str(path) for path in other.rglob("*")) == before
    assert run(["git", "-C", str(git_store), "status", "--porcelain"], environ).out == b""
    assert run(["git", "-C", str(git_store), "rev-list", "--count", "HEAD"], environ).out == b"2\n"


def test_store_inside_another_repository(helper: Helper, store: Path, environ: dict[str, str]) -> None:
    """A store below somebody's dot-files repository is not committed there."""
    home = store.parent
    assert run(["git", "init", "-q", str(home)], environ).code == 0
    assert helper.store(SERVER, "alice", "s").code == 0
    assert run(["git", "-C", str(home), "rev-list", "--all"], environ).out == b""
    assert run(["git", "-C", str(home), "ls-files"], environ).out == b""


def test_what_others_have_staged_stays_staged(helper: Helper, git_store: Path, environ: dict[str, str]) -> None:
    (git_store / "bank.gpg").write_bytes(b"x")
    git = ["git", "-C", str(git_store)]
    assert run([*git, "add", "bank.gpg"], environ).code == 0
    assert helper.store(SERVER, "alice", "s").code == 0
    assert run([*git, "status", "--porcelain"], environ).out == b"A  bank.gpg\n"
    assert len(run([*git, "show", "--name-only", "--format=", "HEAD"], environ).text.split()) == 1


@pytest.mark.parametrize("server", ["https://x.example/:(glob)**", "-h.example", "--all", "https://x/\N{SNOWMAN}"])
@pytest.mark.parametrize("user", [":(exclude)*", "*", "--amend", "a\\b", '"quoted"', ":/"])
def test_names_that_git_could_misread(
    helper: Helper, git_store: Path, environ: dict[str, str], server: str, user: str
) -> None:
    assert helper.store(server, user, "s").code == 0
    assert helper.get(server).json == {"ServerURL": server, "Username": user, "Secret": "s"}
    assert helper.erase(server).code == 0
    git = ["git", "-C", str(git_store)]
    assert run([*git, "status", "--porcelain"], environ).out == b""
    assert run([*git, "rev-list", "--count", "HEAD"], environ).out == b"3\n"


# Recipients that somebody pushed


def test_pushed_recipient_is_refused(helper: Helper, git_store: Path, keys: KeyRing) -> None:
    """A key added to ``.gpg-id``, or a nearer ``.gpg-id``, gets no secret until it is accepted here."""
    assert helper.store(SERVER, "alice", "s").code == 0
    entry = next((git_store / FOLDER).rglob("*.gpg"))
    before = entry.read_bytes()
    for path in (git_store / ".gpg-id", git_store / FOLDER / ".gpg-id", entry.parent / ".gpg-id"):
        kept = path.read_bytes() if path.exists() else None
        path.write_text(f"{keys['alice']}\n{keys['bob']}\n")
        answer = helper.store(SERVER, "alice", "new")
        assert answer.code == 1
        assert answer.text.startswith("recipients changed: +")
        assert keys["bob"] in answer.text
        assert answer.text.endswith("; run: passhelper recipients accept\n")
        assert entry.read_bytes() == before
        assert helper.get(SERVER).json["Secret"] == "s"
        path.unlink() if kept is None else path.write_bytes(kept)
    assert helper.store(SERVER, "alice", "new").code == 0
