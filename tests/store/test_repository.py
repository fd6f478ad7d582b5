"""Where a store's repository is, and how git is run in it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from support import FOLDER, KeyRing
from vault import SERVER, Vault, script

from passhelper.errors import GitError, StoreError
from passhelper.store import repository
from passhelper.store.files import Files
from passhelper.store.repository import ATTRIBUTES, find

DIRECTORY = f"{FOLDER}/YQ=="


def git(path: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.test"]
    command = ["git", "-C", str(path), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True).stdout.decode()


def test_no_repository(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", ".")
    store = tmp_path / "store"
    store.mkdir()
    assert find(str(store), DIRECTORY) is None  # the one above the store is not ours
    assert find(str(tmp_path / "nowhere"), DIRECTORY) is None


def test_the_innermost_repository_counts(tmp_path: Path) -> None:
    (tmp_path / DIRECTORY).mkdir(parents=True)
    for level, inner in (("", DIRECTORY), (FOLDER, DIRECTORY), (DIRECTORY, DIRECTORY)):
        git(tmp_path / level, "init", "-q", ".")
        found = find(str(tmp_path), inner)
        assert found
        assert Path(found.root) == tmp_path / level
        assert Path(found.git_dir) == tmp_path / level / ".git"
        assert Path(found.state) == tmp_path / level / ".git" / "passhelper"


def test_a_pointer_to_a_git_directory_is_followed(tmp_path: Path) -> None:
    for text in ("gitdir: ../elsewhere/x\n", f"gitdir: {tmp_path}/elsewhere/x\r\n"):
        (tmp_path / "store").mkdir(exist_ok=True)
        (tmp_path / "store" / ".git").write_text(text)
        found = find(str(tmp_path / "store"), DIRECTORY)
        assert found
        assert found.git_dir == f"{tmp_path}/elsewhere/x"


def test_another_file_called_git_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".git").write_text("hello")
    with pytest.raises(StoreError) as caught:
        find(str(tmp_path), DIRECTORY)
    assert str(caught.value) == f"{tmp_path}/.git is neither a git directory nor a pointer to one"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, ATTRIBUTES + "\n"),
        ("", ATTRIBUTES + "\n"),
        (ATTRIBUTES, ATTRIBUTES),
        ("*.txt text\n", "*.txt text\n" + ATTRIBUTES + "\n"),
        ("*.txt text", "*.txt text\n" + ATTRIBUTES + "\n"),
        (ATTRIBUTES + "\n*.gpg filter=x\n", ATTRIBUTES + "\n*.gpg filter=x\n" + ATTRIBUTES + "\n"),
        ("caf\udce9 text\n", "caf\udce9 text\n" + ATTRIBUTES + "\n"),
    ],
)
def test_our_attributes_have_the_last_word(tmp_path: Path, before: str | None, after: str) -> None:
    git(tmp_path, "init", "-q", ".")
    path = tmp_path / ".git" / "info" / "attributes"
    path.unlink(missing_ok=True)
    if before is not None:
        path.write_text(before, errors="surrogateescape")
    found = find(str(tmp_path), DIRECTORY)
    assert found
    for _ in range(2):
        found.prepare(Files({}))
        assert path.read_text(errors="surrogateescape") == after


def test_git_is_found_in_absolute_directories_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script(tmp_path / "git", "exit 0")
    monkeypatch.chdir(tmp_path)
    for path in (".", "", "/nonexistent"):
        with pytest.raises(GitError) as caught:
            repository.program({"PATH": path})
        assert str(caught.value) == "git not found in PATH; install git"
    assert repository.program({"PATH": f".:{tmp_path}"}) == f"{tmp_path}/git"


def test_the_environment_of_git(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", ".")
    found = find(str(tmp_path), DIRECTORY)
    assert found
    local = git(tmp_path, "rev-parse", "--local-env-vars").split()
    kept = {
        "GIT_SSH_COMMAND": "ssh -i x", "GIT_ASKPASS": "/a", "GIT_SSL_CAINFO": "/c", "GIT_AUTHOR_NAME": "n",
        "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "k", "GIT_CONFIG_VALUE_0": "v", "HOME": "/h",
    }  # fmt: skip
    environ = {**dict.fromkeys([*local, "GIT_NAMESPACE", "PASSHELPER_PASSPHRASE"], "/elsewhere"), **kept}
    cleaned = repository.environment(found, environ)
    assert {name: cleaned[name] for name in kept} == kept
    assert not {*local, "GIT_NAMESPACE", "PASSHELPER_PASSPHRASE"} & {*cleaned} - {"GIT_CONFIG_COUNT"}
    assert cleaned["GIT_CEILING_DIRECTORIES"] == str(tmp_path.parent)
    assert cleaned["GIT_TERMINAL_PROMPT"] == "0"


def test_settings_are_named_as_git_names_them(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", ".")
    for name, value in (("Remote.GitHub.URL", "x"), ("Branch.Main.Remote", "GitHub"), ("PassHelper.Sync", "push")):
        git(tmp_path, "config", name, value)
    with (tmp_path / ".git" / "config").open("a") as file:
        file.write('[ReMote "GitHub"]\n\tPrune\n\turl = y\n')
    settings = repository.parse_settings(git(tmp_path, "config", "--null", "--list", "--local"))
    expected = {"remote.GitHub.url": "y", "remote.GitHub.prune": "true", "branch.Main.remote": "GitHub",
                "passhelper.sync": "push"}  # fmt: skip
    assert {name: settings.get(name) for name in expected} == expected


# In use


@pytest.mark.parametrize(
    "variable", ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE"]
)
def test_a_repository_named_by_the_caller_is_left_alone(git_vault: Vault, tmp_path: Path, variable: str) -> None:
    """As in a git hook or a CI step."""
    other = tmp_path / "other"
    git(tmp_path, "init", "-q", "other")
    targets = {"GIT_DIR": other / ".git", "GIT_INDEX_FILE": other / ".git" / "index", "GIT_WORK_TREE": other,
               "GIT_OBJECT_DIRECTORY": other / ".git" / "objects", "GIT_NAMESPACE": "x"}  # fmt: skip
    before = sorted(other.rglob("*"))
    git_vault.environ[variable] = str(targets[variable])
    git_vault.store()
    git_vault.environ.pop(variable)
    assert sorted(other.rglob("*")) == before
    assert git_vault.status == ""
    assert git_vault.subjects == [f"Store credential for {SERVER} (bob)", "Begin"]


def test_a_repository_above_the_store_gets_no_commit(vault: Vault) -> None:
    above = vault.path.parent
    git(above, "init", "-q", ".")
    git(above, "commit", "-q", "--allow-empty", "-m", "Above")
    vault.store()
    assert git(above, "log", "--format=%s") == "Above\n"
    assert not (above / ".git" / "passhelper").exists()


def test_a_nested_repository_gets_the_commit(git_vault: Vault) -> None:
    inner = git_vault.path / FOLDER
    inner.mkdir()
    git(inner, "init", "-q", ".")
    git_vault.store()
    git_vault.erase()
    assert git(inner, "log", "--format=%s") == f"Erase credential for {SERVER}\nStore credential for {SERVER} (bob)\n"
    assert git_vault.subjects == ["Begin"]
    assert git_vault.warnings == []
    assert git_vault.list() == {}


def test_a_linked_work_tree(git_vault: Vault, environ: dict[str, str], tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    git_vault.git("worktree", "add", "-q", str(linked))
    vault = Vault({**environ, "PASSWORD_STORE_DIR": str(linked)})
    vault.store()
    vault.store(secret="new")
    assert vault.get() == ("bob", "new")
    assert vault.warnings == []
    assert vault.git("status", "--porcelain") == ""
    assert vault.subjects == [f"Store credential for {SERVER} (bob)"] * 2 + ["Begin"]
    state = git_vault.path / ".git" / "worktrees" / "linked" / "passhelper"
    assert sorted(path.name for path in state.iterdir()) == ["trust.json"]
    assert ATTRIBUTES in (git_vault.path / ".git" / "info" / "attributes").read_text()
    assert git_vault.list() == {}


def test_attributes_and_filters_of_the_store_change_no_byte(git_vault: Vault, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    (git_vault.path / ".gitattributes").write_text("*.gpg text eol=crlf filter=evil ident\n* diff=evil\n")
    git_vault.git("config", "filter.evil.clean", f"touch {marks}; cat")
    git_vault.git("config", "filter.evil.required", "true")
    git_vault.git("config", "core.autocrlf", "true")
    git_vault.git("config", "core.fsmonitor", script(tmp_path / "monitor", f"touch {marks}"))
    git_vault.store(secret="a\r\nb\n$Id$\n")
    assert not marks.exists()
    assert git_vault.warnings == []
    name = git_vault.entry().relative_to(git_vault.path)
    command = ["git", "-C", str(git_vault.path), "cat-file", "blob", f"HEAD:{name}"]
    assert subprocess.run(command, check=True, capture_output=True).stdout == git_vault.entry().read_bytes()


@pytest.mark.parametrize("place", ["store", "global"])
def test_hooks_run_only_on_request(git_vault: Vault, tmp_path: Path, place: str) -> None:
    marks = tmp_path / "marks"
    folder = git_vault.path / ".git" / "hooks" if place == "store" else tmp_path / "hooks"
    folder.mkdir(exist_ok=True)
    for name in (
        "pre-commit",
        "post-commit",
        "commit-msg",
        "prepare-commit-msg",
        "post-index-change",
        "reference-transaction",
    ):
        script(folder / name, f"echo {name} >> {marks}")
    if place == "global":
        git_vault.git("config", "--global", "core.hooksPath", str(folder))
    git_vault.store()
    assert not marks.exists()
    git_vault.git("config", "passhelper.hooks", "true")
    git_vault.store(secret="new")
    assert {"pre-commit", "post-commit", "commit-msg"} <= {*marks.read_text().split()}
    assert git_vault.warnings == []


def test_passphrases_never_reach_git(git_vault: Vault, keys: KeyRing, tmp_path: Path) -> None:
    log = tmp_path / "log"
    (tmp_path / "bin").mkdir()
    script(tmp_path / "bin" / "git", f'env >> {log}; echo "$@" >> {log}; exec /usr/bin/git "$@"')
    git_vault.environ["PATH"] = f"{tmp_path}/bin:/usr/bin:/bin"
    git_vault.environ["PASSHELPER_PASSPHRASE"] = "c4n4ry"
    git_vault.store(secret="c4n4ry")
    text = log.read_text()
    assert "commit" in text
    assert "c4n4ry" not in text
