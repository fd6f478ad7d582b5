"""Where a store's repository is, and how git is run in it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from support import FOLDER, KeyRing
from support.programs import script
from support.worlds.vault import SERVER, Vault

from passhelper.errors import GitError, StoreError
from passhelper.store import repository
from passhelper.store.files import Files
from passhelper.store.repository import find

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


UNTOUCHED = "-text -filter -ident -working-tree-encoding merge=binary"
OLD = f"* {UNTOUCHED}"  # what earlier versions wrote
OURS = "".join(
    f"{pattern} {UNTOUCHED}\n" for pattern in (f"/{FOLDER}/**", "/.public-keys/**", "/.gpg-id", "/.gpg-id.sig")
)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, OURS),
        ("", OURS),
        (OURS, OURS),
        (OLD, OURS),
        ("*.txt text\n", "*.txt text\n" + OURS),
        ("*.txt text", "*.txt text\n" + OURS),
        ("# mine\n\n" + OLD + "\n*.txt text\n", "# mine\n\n*.txt text\n" + OURS),
        (OLD + "\n*.gpg filter=x\n", "*.gpg filter=x\n" + OURS),
        (OURS + "*.gpg filter=x\n", "*.gpg filter=x\n" + OURS),
        ("caf\udce9 text\n", "caf\udce9 text\n" + OURS),
        ("*.txt text\r\n", "*.txt text\r\n" + OURS),
    ],
)
def test_our_attributes_have_the_last_word(tmp_path: Path, before: str | None, after: str) -> None:
    git(tmp_path, "init", "-q", ".")
    path = tmp_path / ".git" / "info" / "attributes"
    path.unlink(missing_ok=True)
    if before is not None:
        path.write_bytes(before.encode(errors="surrogateescape"))
    found = find(str(tmp_path), DIRECTORY)
    assert found
    for _ in range(2):
        found.prepare(Files({}))
        assert path.read_bytes().decode(errors="surrogateescape") == after


def test_a_repository_among_the_credentials_is_all_ours(tmp_path: Path) -> None:
    (tmp_path / DIRECTORY).mkdir(parents=True)
    git(tmp_path / FOLDER, "init", "-q", ".")
    found = find(str(tmp_path), DIRECTORY)
    assert found
    found.prepare(Files({}))
    assert (tmp_path / FOLDER / ".git" / "info" / "attributes").read_text().splitlines()[-1] == OLD


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
    assert OURS in (git_vault.path / ".git" / "info" / "attributes").read_text()
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


@pytest.mark.parametrize("old", [False, True], ids=["new", "an earlier version was here"])
@pytest.mark.parametrize("place", ["tree", "info"])
def test_filters_of_a_stores_other_files_stay_on(git_vault: Vault, tmp_path: Path, place: str, old: bool) -> None:
    """As git-crypt's: without its filter, the next commit of the user's own would hold plain text."""
    info = git_vault.path / ".git" / "info" / "attributes"
    info.parent.mkdir(exist_ok=True)
    source = git_vault.path / ".gitattributes" if place == "tree" else info
    source.write_text("notes/** filter=crypt\n*.gpg filter=crypt\n")
    if old:
        with info.open("a") as file:
            file.write(f"{OLD}\n")
    crypt = script(tmp_path / "crypt", "printf 'crypt:'; tr a-z n-za-m")
    decrypt = script(tmp_path / "decrypt", "sed s/^crypt:// | tr n-za-m a-z")
    for name, value in (("clean", crypt), ("smudge", decrypt), ("required", "true")):
        git_vault.git("config", f"filter.crypt.{name}", value)
    git_vault.store()
    (git_vault.path / "notes").mkdir()
    (git_vault.path / "notes" / "b").write_text("secret\n")
    git_vault.git("add", "notes/b")
    git_vault.store(secret="new")
    git(git_vault.path, "commit", "-q", "-m", "A note", "notes/b")
    assert git_vault.git("cat-file", "blob", "HEAD:notes/b") == "crypt:frperg\n"
    (git_vault.path / "notes" / "b").unlink()
    git_vault.git("checkout", "--", "notes/b")
    assert (git_vault.path / "notes" / "b").read_text() == "secret\n"
    entry = git_vault.entry().relative_to(git_vault.path)
    command = ["git", "-C", str(git_vault.path), "cat-file", "blob", f"HEAD:{entry}"]
    assert subprocess.run(command, check=True, capture_output=True).stdout == git_vault.entry().read_bytes()
    assert (git_vault.get(), git_vault.warnings) == (("bob", "new"), [])


@pytest.mark.parametrize("kind", ["ICASE", "GLOB", "NOGLOB", "LITERAL"])
def test_what_paths_mean_elsewhere_means_nothing_here(git_vault: Vault, kind: str) -> None:
    """Variables that a user sets for a git of his own."""
    git_vault.environ[f"GIT_{kind}_PATHSPECS"] = "1"
    git_vault.store()
    git_vault.store(username="*")
    git_vault.erase()
    del git_vault.environ[f"GIT_{kind}_PATHSPECS"]
    assert (git_vault.warnings, git_vault.status, len(git_vault.subjects)) == ([], "", 4)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GIT_ATTR_SOURCE", "HEAD"),
        ("GIT_REFLOG_ACTION", "mine"),
        ("GIT_EXTERNAL_DIFF", "/bin/false"),
        ("GIT_INDEX_VERSION", "4"),
        ("GIT_TRACE", "1"),
        ("core.ignorecase", "true"),
        ("core.precomposeunicode", "true"),
        ("core.safecrlf", "true"),
        ("core.autocrlf", "input"),
        ("core.splitIndex", "true"),
        ("core.untrackedCache", "true"),
        ("commit.cleanup", "scissors"),
        ("commit.verbose", "true"),
        ("commit.template", "/nonexistent"),
        ("status.branch", "true"),
        ("status.showUntrackedFiles", "no"),
        ("status.relativePaths", "true"),
        ("diff.noprefix", "true"),
        ("core.quotePath", "true"),
        ("index.threads", "true"),
        ("feature.manyFiles", "true"),
    ],
)
def test_a_users_own_settings_do_not_keep_a_change_from_its_commit(git_vault: Vault, name: str, value: str) -> None:
    if name.startswith("GIT_"):
        git_vault.environ[name] = value
    else:
        git_vault.environ.update(GIT_CONFIG_COUNT="1", GIT_CONFIG_KEY_0=name, GIT_CONFIG_VALUE_0=value)
    for username in ("bob", "Bob", "B\u00f6b", "*"):
        git_vault.store(username=username)
    git_vault.erase()
    for variable in (name, "GIT_CONFIG_COUNT"):
        git_vault.environ.pop(variable, None)
    assert (git_vault.warnings, git_vault.status, git_vault.pending, len(git_vault.subjects)) == ([], "", [], 6)


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


@pytest.mark.parametrize("forbidden", [False, True])
def test_a_hook_reaches_what_git_may_reach(git_vault: Vault, tmp_path: Path, *, forbidden: bool) -> None:
    """A hook that pushes is why people switch hooks on."""
    mirror = tmp_path / "mirror"
    git_vault.git("init", "-q", "--bare", str(mirror))
    script(git_vault.path / ".git" / "hooks" / "post-commit", f"git push -q {mirror} HEAD:refs/heads/main")
    git_vault.git("config", "passhelper.hooks", "true")
    if forbidden:
        git_vault.git("config", "protocol.file.allow", "never")
    git_vault.store()
    git_vault.store(username="bob")
    pushed = git_vault.git("--git-dir", str(mirror), "for-each-ref", "--format=%(objectname)").strip()
    assert pushed == ("" if forbidden else git_vault.git("rev-parse", "HEAD").strip())
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
