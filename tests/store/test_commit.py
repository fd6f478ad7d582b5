"""The git commit after a change: nothing is lost when it fails."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import KeyRing
from support.programs import script
from support.worlds.vault import SERVER, Vault

from passhelper.store import commit
from passhelper.store.packets import key_ids

NAME = "docker-credential-helpers/aHR0cHM6Ly9hLmV4YW1wbGU=/bob.gpg"
UNCOMMITTED = "changed but not committed, the next change will commit it: "


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait a second for git where a user's machine waits ten."""
    monkeypatch.setattr(commit, "TIMEOUT", 1.0)


@pytest.fixture
def index_lock(git_vault: Vault) -> Path:
    """The lock of another git that is at work."""
    path = git_vault.path / ".git" / "index.lock"
    path.write_bytes(b"")
    return path


@pytest.fixture
def without_git(git_vault: Vault) -> Iterator[Vault]:
    """A machine that has gpg and no git."""
    path = git_vault.environ["PATH"]
    git_vault.environ.update(PATH="/nonexistent", PASSHELPER_GPG="/usr/bin/gpg")
    yield git_vault
    git_vault.environ["PATH"] = path


def add_git(vault: Vault) -> None:
    vault.environ["PATH"] = "/usr/bin:/bin"


# Commits


def test_each_change_is_one_commit_of_its_own_paths(git_vault: Vault) -> None:
    git_vault.store()
    assert git_vault.git("show", "--format=", "--name-status").splitlines() == [f"A\t{NAME}"]
    git_vault.store(username="zoe")
    changes = git_vault.git("show", "--format=", "--name-status", "--no-renames").splitlines()
    assert changes == [f"D\t{NAME}", f"A\t{NAME.replace('bob', 'zoe')}"]
    git_vault.erase()
    assert git_vault.subjects == [
        f"Erase credential for {SERVER}",
        f"Store credential for {SERVER} (zoe)",
        f"Store credential for {SERVER} (bob)",
        "Begin",
    ]
    assert (git_vault.status, git_vault.warnings, git_vault.pending) == ("", [], [])


def test_the_first_commit_of_a_repository(vault: Vault) -> None:
    vault.git("init", "-q", "-b", "main")
    vault.store()
    vault.store("https://b.example")
    assert vault.subjects == ["Store credential for https://b.example (bob)", f"Store credential for {SERVER} (bob)"]
    assert vault.status == "?? .gpg-id\n"
    assert vault.warnings == []


def test_odd_names_are_committed(git_vault: Vault) -> None:
    names = [
        "-rf",
        "*",
        ":(top)x",
        "a b",
        "ünï\U0001f600",
        '"quoted"',
        "back\\slash",
        "<token>",
        "../../x",
        ".gitignore",
    ]
    for number, username in enumerate(names):
        git_vault.store(f"https://{number}.example", username)
    for server in git_vault.list():
        git_vault.erase(server)
    assert (git_vault.status, git_vault.warnings) == ("", [])
    assert len(git_vault.subjects) == 1 + 2 * len(names)


def test_an_ignored_entry_is_committed(git_vault: Vault) -> None:
    (git_vault.path / ".gitignore").write_text("*.gpg\n")
    git_vault.store()
    assert git_vault.git("ls-files", "--", NAME).strip() == NAME


def test_what_others_staged_stays_staged(git_vault: Vault) -> None:
    (git_vault.path / "other.gpg").write_bytes(b"x")
    git_vault.git("add", "other.gpg")
    (git_vault.path / ".gpg-id").write_text((git_vault.path / ".gpg-id").read_text() + "# changed\n")
    git_vault.store()
    git_vault.store(secret="new")
    git_vault.erase()
    assert git_vault.status == " M .gpg-id\nA  other.gpg\n"
    assert len(git_vault.subjects) == 4


def test_a_commit_that_names_nobody(git_vault: Vault) -> None:
    git_vault.git("config", "passhelper.neutralCommits", "true")
    git_vault.store()
    git_vault.erase()
    assert git_vault.subjects == ["Update credential", "Update credential", "Begin"]


@pytest.mark.parametrize(
    ("settings", "variables", "expected"),
    [
        ({}, {}, "passhelper <passhelper@localhost> passhelper <passhelper@localhost>"),
        ({"user.name": "Ann"}, {}, "passhelper <passhelper@localhost> passhelper <passhelper@localhost>"),
        ({"user.name": "Ann", "user.email": "a@b"}, {}, "Ann <a@b> Ann <a@b>"),
        (
            {"user.name": "Ann", "user.email": "a@b"},
            {"GIT_AUTHOR_NAME": "CI", "GIT_AUTHOR_EMAIL": "ci@b"},
            "CI <ci@b> Ann <a@b>",
        ),
        ({}, {f"GIT_{who}_{what}": what.lower() for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
         "name <email> name <email>"),
    ],
)  # fmt: skip
def test_who_commits(git_vault: Vault, settings: dict[str, str], variables: dict[str, str], expected: str) -> None:
    for name, value in settings.items():
        git_vault.git("config", name, value)
    git_vault.environ.update(variables)
    git_vault.store()
    assert git_vault.git("log", "-1", "--format=%an <%ae> %cn <%ce>").strip() == expected
    assert git_vault.warnings == []


# The same again


def test_the_same_credential_again_is_no_write_and_no_commit(git_vault: Vault) -> None:
    git_vault.store()
    before = git_vault.tree
    for _ in range(2):
        git_vault.store()
    assert git_vault.tree == before
    assert len(git_vault.subjects) == 2


@pytest.mark.parametrize("change", ["secret", "line-end", "username", "recipients", "always", "unbound", "foreign-key"])
def test_anything_else_is_written(git_vault: Vault, keys: KeyRing, change: str) -> None:
    if change == "unbound":
        git_vault.put(keys.encrypt(b"s3cret", "alice"))
    elif change == "foreign-key":  # an entry that the keys of today cannot open
        git_vault.put(keys.encrypt(b"s3cret", "stranger"))
    else:
        git_vault.store()
    before = git_vault.tree
    commits = len(git_vault.subjects)
    if change == "recipients":
        (git_vault.path / ".gpg-id").write_text(f"{keys['alice']}\n{keys['bob']}\n")
        git_vault.environ["PASSHELPER_ACCEPT_RECIPIENTS"] = f"{keys['alice']} {keys['bob']}"
    elif change == "always":
        git_vault.environ["PASSHELPER_ALWAYS_WRITE"] = "1"
    git_vault.store(
        username="zoe" if change == "username" else "bob",
        secret={"secret": "new", "line-end": "s3cret\n"}.get(change, "s3cret"),
    )
    assert git_vault.tree != before
    assert len(git_vault.subjects) == commits + 1
    assert len(key_ids(next(git_vault.directory().glob("*.gpg")).read_bytes())) == 1 + (change == "recipients")


def test_a_locked_key_means_write_and_asks_nobody(git_vault: Vault, own_keys: KeyRing) -> None:
    git_vault.environ["GNUPGHOME"] = str(own_keys.home)
    (git_vault.path / ".gpg-id").write_text(own_keys["locked"])
    git_vault.store()
    git_vault.store()
    assert len(git_vault.subjects) == 3
    assert git_vault.warnings == []


def test_a_damaged_entry_is_written_anew(git_vault: Vault) -> None:
    git_vault.store()
    git_vault.entry().write_bytes(b"")
    git_vault.store()
    assert git_vault.get() == ("bob", "s3cret")


# What keeps git from committing


def test_without_git_the_credential_is_stored_and_waits(without_git: Vault) -> None:
    without_git.store()
    assert without_git.get() == ("bob", "s3cret")
    assert without_git.warnings == [UNCOMMITTED + "git not found in PATH; install git"]
    assert without_git.pending == [NAME]
    add_git(without_git)
    without_git.store("https://b.example")
    assert (without_git.status, without_git.pending) == ("", [])
    assert len(without_git.warnings) == 1
    assert len(without_git.git("show", "--format=", "--name-only").splitlines()) == 2


@pytest.mark.parametrize("then", ["same", "erase", "replace", "erase-then-store", "committed-by-hand"])
def test_what_waits_is_committed_by_whatever_comes_next(without_git: Vault, then: str) -> None:
    without_git.store()
    add_git(without_git)
    if then == "same":
        without_git.store()
    elif then == "replace":
        without_git.store(username="zoe")
    elif then == "committed-by-hand":
        without_git.git("add", "-A")
        without_git.git("-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "By hand")
        without_git.store()
    else:
        without_git.erase()
    if then == "erase-then-store":
        without_git.store("https://b.example")
    assert (without_git.status, without_git.pending, len(without_git.warnings)) == ("", [], 1)


def test_an_erasure_waits_too(git_vault: Vault) -> None:
    git_vault.store()
    git_vault.environ["PATH"] = "/nonexistent"
    git_vault.erase()
    assert git_vault.list() == {}
    assert git_vault.pending == [NAME]
    add_git(git_vault)
    git_vault.environ["PASSHELPER_GPG"] = "/usr/bin/gpg"
    git_vault.store("https://b.example")
    assert (git_vault.status, git_vault.pending) == ("", [])


def test_an_entry_that_git_never_knew_is_erased_without_complaint(git_vault: Vault, keys: KeyRing) -> None:
    """As the Go helper leaves them when its commit fails."""
    git_vault.put(keys.encrypt(b"x", "alice"))
    git_vault.erase()
    git_vault.store("https://b.example")
    assert (git_vault.status, git_vault.pending, git_vault.warnings) == ("", [], [])


def test_damaged_notes_aim_nowhere_else(git_vault: Vault, tmp_path: Path) -> None:
    state = git_vault.path / ".git" / "passhelper"
    state.mkdir()
    (tmp_path / "outside").write_text("x")
    (git_vault.path / "inside").write_text("x")
    (state / "pending").write_bytes(
        f"{tmp_path}/outside\0../outside\0inside\0a/../../outside\0\0\xff\0".encode("latin-1")
    )
    git_vault.store()
    assert (git_vault.warnings, git_vault.pending) == ([], [])
    assert git_vault.git("show", "--format=", "--name-only").splitlines() == [NAME, "inside"]


def test_a_lock_of_another_git_is_waited_for(git_vault: Vault, index_lock: Path) -> None:
    timer = threading.Timer(0.3, index_lock.unlink)
    timer.start()
    git_vault.store()
    timer.join()
    assert (git_vault.status, git_vault.warnings, git_vault.pending) == ("", [], [])


@pytest.mark.usefixtures("hasty")
def test_a_lock_that_stays_makes_the_commit_wait(git_vault: Vault, index_lock: Path) -> None:
    git_vault.store()
    assert git_vault.get() == ("bob", "s3cret")
    assert git_vault.warnings == [
        f"{UNCOMMITTED}another git is at work in {git_vault.path}; run: passhelper doctor, should {index_lock} stay"
    ]
    assert index_lock.exists()
    assert git_vault.pending == [NAME]
    index_lock.unlink()
    git_vault.erase()
    assert (git_vault.status, git_vault.pending, len(git_vault.warnings)) == ("", [], 1)


def test_an_old_lock_is_not_waited_for_long_and_stays(git_vault: Vault, index_lock: Path) -> None:
    os.utime(index_lock, (1, 1))
    git_vault.store()
    assert index_lock.exists()
    assert "another git is at work" in git_vault.warnings[0]


def test_an_index_that_somebody_puts_back_in_between(git_vault: Vault, tmp_path: Path) -> None:
    """As a rebase does that begins between our two gits: a file that is not in it is not committed, and so waits."""
    (tmp_path / "bin").mkdir()
    done = tmp_path / "done"
    text = f'case "$*" in *" commit "*) [ -e {done} ] || git -C {git_vault.path} reset -q; touch {done};; esac'
    script(tmp_path / "bin" / "git", f'PATH=/usr/bin:/bin; {text}; exec git "$@"')
    git_vault.store()
    done.unlink(missing_ok=True)
    git_vault.environ["PATH"] = f"{tmp_path}/bin:/usr/bin:/bin"
    git_vault.store("https://b.example")
    done.unlink(missing_ok=True)
    git_vault.store("https://c.example")
    git_vault.environ["PATH"] = "/usr/bin:/bin"
    git_vault.store("https://d.example")
    assert (git_vault.status, git_vault.pending) == ("", [])


@pytest.mark.usefixtures("hasty")
def test_a_git_that_hangs_is_ended(git_vault: Vault, tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    script(folder / "git", 'case "$*" in *commit*) exec sleep 600;; esac; exec /usr/bin/git "$@"')
    git_vault.environ["PATH"] = f"{folder}:/usr/bin:/bin"
    git_vault.store()
    assert git_vault.warnings == [f"{UNCOMMITTED}git did not finish within 1 s in {git_vault.path}"]


def test_a_repository_that_is_none(git_vault: Vault) -> None:
    (git_vault.path / ".git" / "HEAD").unlink()
    git_vault.store()
    (warning,) = git_vault.warnings
    assert warning == f"{UNCOMMITTED}{git_vault.path} is not a repository that git can read"
    assert git_vault.get() == ("bob", "s3cret")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_repository_of_another_owner_has_an_error_of_its_own(git_vault: Vault) -> None:
    for path in git_vault.path.rglob("*"):  # the store is ours: see scenarios/test_owners.py for root in another's
        os.chown(path, 12345, 12345)
    git_vault.store()
    (warning,) = git_vault.warnings
    assert warning == (
        f"{UNCOMMITTED}git refuses the store: it belongs to uid 12345; "
        f"run: git config --global --add safe.directory {git_vault.path}"
    )
    assert git_vault.get() == ("bob", "s3cret")
    git_vault.git("config", "--global", "--add", "safe.directory", str(git_vault.path))
    git_vault.store("https://b.example")
    assert (git_vault.status, git_vault.pending) == ("", [])


# Signatures


@pytest.mark.parametrize("setting", ["pass.signcommits", "commit.gpgsign"])
def test_commits_are_signed_where_the_settings_say_so(git_vault: Vault, keys: KeyRing, setting: str) -> None:
    git_vault.git("config", "user.signingkey", keys["alice"])
    git_vault.git("config", setting, "true")
    git_vault.store()
    assert git_vault.warnings == []
    assert git_vault.git("log", "-1", "--format=%G? %GF").split() == ["G", keys["alice"]]


@pytest.mark.parametrize("setting", ["pass.signcommits", "commit.gpgsign"])
def test_a_locked_signing_key_makes_the_commit_wait_and_nobody_is_asked(
    git_vault: Vault, own_keys: KeyRing, setting: str
) -> None:
    git_vault.environ["GNUPGHOME"] = str(own_keys.home)
    git_vault.git("config", "user.signingkey", own_keys["locked"])
    git_vault.git("config", setting, "true")
    git_vault.store()
    assert git_vault.warnings == [
        f"{UNCOMMITTED}git could not sign the commit in {git_vault.path}; run: passhelper unlock"
    ]
    assert git_vault.pending == [NAME]
    assert git_vault.subjects == ["Begin"]
    git_vault.git("config", "user.signingkey", own_keys["alice"])
    git_vault.erase()
    git_vault.store("https://b.example")
    assert (git_vault.status, git_vault.pending, len(git_vault.warnings)) == ("", [], 1)
    assert git_vault.git("log", "-1", "--format=%G?").strip() == "G"


def test_a_signing_program_of_the_users_own_is_asked_not_to_prompt(
    git_vault: Vault, keys: KeyRing, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    program = script(tmp_path / "it's my gpg", f'echo "$@" >> "{log}"; exec gpg "$@"')
    git_vault.git("config", "gpg.program", program)
    git_vault.git("config", "user.signingkey", keys["alice"])
    git_vault.git("config", "commit.gpgsign", "true")
    git_vault.store()
    assert git_vault.warnings == []
    assert all(line.startswith("--pinentry-mode error ") for line in log.read_text().splitlines())
    assert git_vault.git("log", "-1", "--format=%G?", check=False).strip() == "G"


def test_unsigned_where_nothing_says_otherwise(git_vault: Vault) -> None:
    git_vault.git("config", "pass.signcommits", "false")
    git_vault.store()
    assert git_vault.git("log", "-1", "--format=%G?").strip() == "N"


def test_settings_are_read_as_git_reads_them(git_vault: Vault, keys: KeyRing) -> None:
    """The last value counts; a name alone means true; names have no case."""
    lines = [
        "[user]",
        f"signingkey = {keys['alice']}",
        "[PASS]",
        "signcommits = false",
        "SignCommits",
        "[passhelper]",
        "neutralCommits = off",
    ]
    with (git_vault.path / ".git" / "config").open("a") as file:
        file.write("\n".join(lines) + "\n")
    git_vault.store()
    assert git_vault.git("log", "-1", "--format=%G? %s").strip() == f"G Store credential for {SERVER} (bob)"


def test_no_name_is_in_the_arguments_of_git(hasty: None, git_vault: Vault, tmp_path: Path) -> None:
    """Every user of the machine could read them there: a message goes through a pipe, and so do the paths."""
    front = tmp_path / "front"
    front.mkdir()
    script(front / "git", f'echo "$@" >> {tmp_path}/said\nexec /usr/bin/git "$@"')
    git_vault.environ["PATH"] = f"{front}:/usr/bin:/bin"
    git_vault.store()
    git_vault.store(username="zoe")
    index_lock = git_vault.path / ".git" / "index.lock"
    index_lock.touch()
    git_vault.store("https://b.example", "zoe")
    index_lock.unlink()
    git_vault.store("https://d.example", "dora")
    git_vault.erase()
    assert git_vault.subjects[0] == f"Erase credential for {SERVER}"
    said = (tmp_path / "said").read_text()
    assert " commit " in said
    names = ("a.example", "b.example", "d.example", "bob", "zoe", "dora", "aHR0cHM6Ly")
    assert [name for name in names if name in said] == []
