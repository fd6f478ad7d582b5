"""``passhelper setup`` for real: keys, store, git, launcher, Docker's configuration, and the proof."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
from pathlib import Path

import pytest
from support import FOLDER, GO_HELPER, PASSPHRASE, KeyRing, Program, require, tree
from support.machines.jobs import git
from support.machines.new import Machine
from support.people.terminals import Person

GENERATE = ("setup", "--generate-key", "--no-passphrase", "--name", "Ann", "--email", "ann@example.test")


def test_from_nothing_to_a_working_helper(machine: Machine) -> None:
    answer = machine(*GENERATE, "--git")
    assert (answer.code, answer.err) == (0, b"")
    (key,) = machine.secret_keys()
    assert answer.text.splitlines() == [
        f"key: made {key} Ann <ann@example.test>",
        (
            f"backup: without this key nobody can read the store; keep a copy elsewhere: "
            f"gpg --export-secret-keys --armor {key} > passhelper-key.asc"
        ),
        f"recipients: wrote {machine.store}/.gpg-id for {key} Ann <ann@example.test>",
        f"git: made {machine.store} a git repository, pinned its recipients, committed 1 file",
        f"launcher: wrote {machine.launcher}",
        f"docker: set credsStore to pass in {machine.config}",
        f"proved: {machine.launcher} stores, gets and erases with the keys of this store",
    ]
    assert (machine.store / ".gpg-id").read_text() == f"# Ann <ann@example.test>\n{key}\n"
    assert machine.helper("store", '{"ServerURL":"a.example","Username":"u","Secret":"s"}').code == 0
    assert machine.helper("get", "a.example").json["Secret"] == "s"


def test_second_run_changes_nothing(machine: Machine) -> None:
    machine(*GENERATE, "--git")
    before = tree(machine.home), machine.secret_keys()
    answer = machine(*GENERATE, "--git")
    assert (answer.code, answer.err) == (0, b"")
    (key,) = machine.secret_keys()
    owner = f"{key} Ann <ann@example.test>"
    assert answer.text.splitlines() == [
        f"recipients: kept {machine.store}/.gpg-id, this machine reads with {owner}",
        f"git: {machine.store} is a repository",
        f"launcher: found {machine.launcher}",
        f"docker: {machine.config} names pass",
        f"proved: {machine.launcher} stores, gets and erases with the keys of this store",
        "nothing had to be changed",
    ]
    assert (tree(machine.home), machine.secret_keys()) == before


def test_everything_is_private(machine: Machine) -> None:
    machine(*GENERATE, "--git")
    private = [machine.store, machine.store / ".gpg-id", machine.store / ".git", machine.config, machine.config.parent]
    assert [path for path in private if stat.S_IMODE(path.stat().st_mode) & 0o077] == []
    assert stat.S_IMODE(machine.ring.home.stat().st_mode) == 0o700


def test_the_new_key_is_ecc_and_does_not_expire(machine: Machine) -> None:
    machine(*GENERATE)
    listing = machine.ring.gpg("--with-colons", "--list-keys").stdout.decode().splitlines()
    keys = [line.split(":") for line in listing if line.startswith(("pub", "sub"))]
    assert [(key[16], key[6]) for key in keys] == [("ed25519", ""), ("cv25519", "")]
    assert "e" in keys[1][11]


def test_expire_sets_a_date(machine: Machine) -> None:
    assert machine(*GENERATE, "--expire", "2y").code == 0
    assert machine("recipients").text.splitlines()[1].split()[-1] != "never"


def test_an_interrupted_run_does_not_make_a_second_key(machine: Machine) -> None:
    machine(*GENERATE)
    (machine.store / ".gpg-id").unlink()
    answer = machine(*GENERATE)
    assert answer.code == 0
    assert answer.text.startswith("key: found ")
    assert len(machine.secret_keys()) == 1


def test_default_owner_comes_from_git(machine: Machine) -> None:
    (machine.home / ".gitconfig").write_text("[user]\n\tname = Grace H\n\temail = grace@example.test\n")
    answer = machine("setup", "--generate-key", "--no-passphrase")
    assert "Grace H <grace@example.test>" in answer.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--name", "a<b", "--email", "a@b"), "--name cannot be used in a key: 'a<b'"),
        (("--name", "Ann", "--email", "nobody"), "--email is not an address: 'nobody'"),
        (("--name", "A\nB", "--email", "a@b"), "--name cannot be used in a key: 'A?B'"),
        (("--name", "Ann", "--email", "a@b", "--expire", "soon"), "gpg could not make a key: "),
    ],
)
def test_unusable_owner(machine: Machine, options: tuple[str, ...], message: str) -> None:
    answer = machine("setup", "--generate-key", "--no-passphrase", *options)
    assert answer.code == 1
    assert answer.err.decode().startswith(f"error: {message}")
    assert not machine.store.exists()


# Passphrases


def test_passphrase_from_a_file(machine: Machine, tmp_path: Path) -> None:
    machine.protect_quickly()
    file = tmp_path / "passphrase"
    file.write_text(f"{PASSPHRASE} é\n")
    file.chmod(0o600)
    answer = machine("setup", "--generate-key", PASSHELPER_PASSPHRASE_FILE=str(file))
    assert (answer.code, answer.err) == (0, b"")
    machine.ring.stop_agent()
    child = machine("unlock")
    assert child.code == 1
    assert b"no terminal to ask for the passphrase" in child.err
    assert machine("unlock", PASSHELPER_PASSPHRASE_FILE=str(file)).code == 0


def test_passphrase_from_the_environment_proves_it_without_showing_it(machine: Machine) -> None:
    machine.protect_quickly()
    answer = machine("setup", "--generate-key", PASSHELPER_PASSPHRASE=PASSPHRASE)
    assert (answer.code, answer.err) == (0, b"")
    machine.ring.stop_agent()
    assert machine("setup", PASSHELPER_PASSPHRASE=PASSPHRASE).code == 0


def test_passphrase_from_a_descriptor_serves_every_step(machine: Machine, tmp_path: Path) -> None:
    machine.protect_quickly()
    file = tmp_path / "passphrase"
    file.write_text(PASSPHRASE)
    with file.open() as source:
        answer = subprocess.run(
            [machine.passhelper, "setup", "--generate-key"], check=False, capture_output=True,
            env={**machine.environ, "PASSHELPER_PASSPHRASE_FD": str(source.fileno())}, pass_fds=[source.fileno()],
        )  # fmt: skip
    assert (answer.returncode, answer.stderr) == (0, b"")


def test_no_terminal_and_no_passphrase(machine: Machine) -> None:
    answer = machine("setup", "--generate-key")
    assert answer.code == 1
    assert answer.err.decode() == (
        "error: no terminal to ask for the passphrase for the new key\n"
        "hint: set PASSHELPER_PASSPHRASE_FILE, or give --no-passphrase\n"
    )
    assert machine.secret_keys() == [] if machine.ring.home.exists() else True


def test_passphrase_typed_twice(machine: Machine) -> None:
    machine.protect_quickly()
    person = Person((b"new key: ", b"horse staple\n"), (b"again: ", b"horse staple\n"))
    answer = person.run(
        [machine.passhelper, "setup", "--generate-key"], {**machine.environ, "PASSHELPER_NONINTERACTIVE": "0"}, b""
    )
    assert answer.code == 0, person.screen
    assert b"horse" not in person.screen
    assert b"proved: " in answer.out


def test_passphrase_typed_differently(machine: Machine) -> None:
    person = Person((b"new key: ", b"one\n"), (b"again: ", b"two\n"))
    answer = person.run(
        [machine.passhelper, "setup", "--generate-key"], {**machine.environ, "PASSHELPER_NONINTERACTIVE": "0"}, b""
    )
    assert answer.code == 1
    assert b"error: the two entries differ" in re.sub(rb"\x1b\[\d*m", b"", person.screen)


@pytest.mark.parametrize("passphrase", [" outer space", "tab\tinside"])
def test_passphrase_that_gpg_would_change(machine: Machine, passphrase: str) -> None:
    answer = machine("setup", "--generate-key", PASSHELPER_PASSPHRASE=passphrase)
    assert answer.code == 1
    assert answer.err.startswith(b"error: the passphrase ")
    assert b"hint: choose another one" in answer.err


# Which key


def test_takes_the_only_usable_key(machine: Machine, keys: KeyRing) -> None:
    machine.adopt(keys, "alice", "signer", "expired")
    answer = machine("setup")
    assert answer.code == 0
    assert (machine.store / ".gpg-id").read_text() == f"# alice <alice@example.test>\n{keys['alice']}\n"


def test_several_keys_are_named(machine: Machine, keys: KeyRing) -> None:
    machine.adopt(keys, "alice", "bob")
    answer = machine("setup")
    assert answer.code == 1
    text = answer.err.decode()
    assert text.startswith("error: this keyring has 2 usable secret keys: ")
    assert f"{keys['alice']} alice <alice@example.test>" in text
    assert f"{keys['bob']} bob <bob@example.test>" in text
    assert "\nhint: choose: passhelper setup --key " in text
    assert not machine.store.exists()


def test_no_key(machine: Machine) -> None:
    answer = machine("setup")
    assert (answer.code, answer.err.decode()) == (
        1,
        (
            "error: this keyring has no secret key to use\n"
            "hint: run: passhelper setup --generate-key, or import yours: gpg --import FILE\n"
        ),
    )


def test_unusable_keys_are_explained(machine: Machine, keys: KeyRing) -> None:
    machine.adopt(keys, "signer", "expired")
    text = machine("setup").err.decode()
    assert f"{keys['signer']} signer <signer@example.test> has no encryption subkey" in text
    assert f"{keys['expired']} expired <expired@example.test> expired on 2020-01-03" in text


def test_key_by_address_and_by_file(machine: Machine, keys: KeyRing, tmp_path: Path) -> None:
    machine.adopt(keys, "alice", "bob")
    file = tmp_path / "stranger.asc"
    file.write_bytes(keys.gpg("--armor", "--export", keys["stranger"]).stdout)
    answer = machine("setup", "--key", "ALICE@example.test", "--key", str(file))
    assert (answer.code, answer.err) == (0, b"")
    assert (machine.store / ".gpg-id").read_text() == (
        f"# alice <alice@example.test>\n{keys['alice']}\n# stranger <stranger@example.test>\n{keys['stranger']}\n"
    )


def test_key_by_fingerprint_in_groups(machine: Machine, keys: KeyRing) -> None:
    machine.adopt(keys, "alice", "bob")
    grouped = " ".join(re.findall("....", keys["bob"].lower()))
    assert machine("setup", "--key", grouped).code == 0
    assert machine("setup", "--key", keys["bob"]).text.endswith("nothing had to be changed\n")


def test_bad_keys(machine: Machine, keys: KeyRing, tmp_path: Path) -> None:
    machine.adopt(keys, "alice", "expired")
    machine.adopt(keys, "stranger", secret=False)
    machine.ring.gpg("--passphrase", "", "--quick-gen-key", "alice two <alice@example.test>", "future-default")
    both, empty = tmp_path / "both.asc", tmp_path / "empty.asc"
    both.write_bytes(keys.gpg("--export", keys["alice"], keys["bob"]).stdout)
    empty.write_bytes(b"nothing\n")
    cases = {
        "alice": "not the name of a key: alice",
        keys["alice"][-8:]: f"not the name of a key: {keys['alice'][-8:]}",
        "nobody@example.test": "no key for nobody@example.test in this keyring",
        keys["missing"]: f"no key for {keys['missing']} in this keyring",
        "alice@example.test": "2 keys for alice@example.test: ",
        str(both): f"{both} holds 2 keys, not one",
        str(empty): f"{empty} holds no keys, not one",
        keys["expired"]: f"cannot encrypt for every key: key {keys['expired']} ",
        keys["stranger"]: f"this machine has no secret key for any of: {keys['stranger']} ",
    }
    for name, message in cases.items():
        answer = machine("setup", "--key", name)
        assert answer.code == 1
        assert answer.err.decode().startswith(f"error: {message}"), answer.err
        assert b"\nhint: " in answer.err
    assert not machine.store.exists()


# Scope


def test_a_store_with_other_entries_keeps_its_root(machine: Machine, keys: KeyRing) -> None:
    machine.adopt(keys, "alice", "bob")
    machine.store.mkdir(mode=0o700)
    (machine.store / ".gpg-id").write_text(f"{keys['bob']}\n")
    (machine.store / "mail.gpg").write_bytes(keys.encrypt(b"x", "bob"))
    assert machine("setup").text.startswith(f"recipients: kept {machine.store}/.gpg-id, ")
    answer = machine("setup", "--key", keys["alice"])
    assert answer.code == 0
    assert answer.text.startswith(f"recipients: wrote {machine.store}/{FOLDER}/.gpg-id for {keys['alice']}")
    assert (machine.store / ".gpg-id").read_text() == f"{keys['bob']}\n"
    machine.helper("store", '{"ServerURL":"a.example","Username":"u","Secret":"s"}')
    (entry,) = (machine.store / FOLDER).glob("*/u.gpg")
    assert b"NO_SECKEY" not in keys.gpg("--status-fd", "1", "--list-only", "--decrypt", str(entry)).stdout


def test_a_store_with_other_entries_and_no_recipients(machine: Machine, keys: KeyRing) -> None:
    machine.adopt(keys, "alice")
    (machine.store / "sub").mkdir(parents=True)
    (machine.store / "sub" / "mail.gpg").write_bytes(b"\x85")
    assert machine("setup").code == 0
    assert (machine.store / FOLDER / ".gpg-id").exists()
    assert not (machine.store / ".gpg-id").exists()


def test_a_store_that_is_set_up_for_others(machine: Machine, keys: KeyRing) -> None:
    machine.adopt(keys, "alice")
    machine.adopt(keys, "stranger", secret=False)
    machine.store.mkdir()
    (machine.store / ".gpg-id").write_text(f"{keys['stranger']}\n")
    for options in ((), ("--generate-key", "--no-passphrase")):
        answer = machine("setup", *options)
        assert answer.code == 1
        assert answer.err.decode().startswith(
            f"error: this machine has no secret key for any recipient in {machine.store}/.gpg-id\nhint: ask a member"
        )
    assert machine.secret_keys() == [keys["alice"]]
    answer = machine("setup", "--key", keys["alice"])
    assert answer.err.decode() == (
        f"error: the store is set up already, and {machine.store}/.gpg-id does not name "
        f"{keys['alice']} alice <alice@example.test>\nhint: run: passhelper recipients add {keys['alice']}\n"
    )


def test_a_damaged_gpg_id_is_left_alone(machine: Machine, keys: KeyRing) -> None:
    machine.adopt(keys, "alice")
    machine.store.mkdir()
    (machine.store / ".gpg-id").write_text("# nobody\n")
    answer = machine("setup")
    assert answer.err.startswith(f"error: {machine.store}/.gpg-id names no key\n".encode())
    assert (machine.store / ".gpg-id").read_text() == "# nobody\n"


# git


def test_git_refuses_a_store_with_other_entries(machine: Machine, keys: KeyRing) -> None:
    machine.adopt(keys, "alice")
    machine.store.mkdir()
    (machine.store / "mail.gpg").write_bytes(b"\x85")
    answer = machine("setup", "--git")
    assert answer.code == 1
    assert answer.err.decode() == (
        f"error: {machine.store} also holds 1 other entry, which git would keep too\n"
        "hint: set PASSWORD_STORE_DIR to a store of its own, or run: pass git init\n"
    )
    assert not (machine.store / ".git").exists()


def test_git_commits_what_is_there_and_pins_it(machine: Machine, keys: KeyRing) -> None:
    machine.adopt(keys, "alice")
    machine("setup")
    machine.helper("store", '{"ServerURL":"a.example","Username":"u","Secret":"s"}')
    (machine.store / FOLDER / "notes.txt").write_text("not ours")
    assert "committed 2 files" in machine("setup", "--git").text
    status = ["git", "-C", str(machine.store), "status", "--porcelain"]
    assert subprocess.run(status, capture_output=True, check=True).stdout == f"?? {FOLDER}/notes.txt\n".encode()
    pins = json.loads((machine.store / ".git" / "passhelper" / "trust.json").read_text())
    assert pins == {"version": 1, "recipients": {".gpg-id": [keys["alice"]]}}
    assert (machine.store / ".git" / "info" / "attributes").exists()


def test_a_repository_that_takes_no_commit(machine: Machine, keys: KeyRing) -> None:
    machine.adopt(keys, "alice")
    git(machine.home, "init", "-q", "-b", "main", str(machine.store))
    lock = machine.store / ".git" / "refs" / "heads" / "main.lock"
    lock.touch()
    answer = machine("setup", "--no-docker", "--git")
    assert answer.code == 1
    assert "committed" not in answer.text
    assert answer.err.decode().startswith("error: the store's changes cannot be committed: ")
    lock.unlink()
    assert "committed" in machine("setup", "--no-docker", "--git").text
    assert git(machine.store, "status", "--porcelain") == ""


def test_git_runs_no_hook_of_a_template(machine: Machine, keys: KeyRing, tmp_path: Path) -> None:
    machine.adopt(keys, "alice")
    hooks = tmp_path / "template" / "hooks"
    hooks.mkdir(parents=True)
    for name in ("pre-commit", "post-commit", "reference-transaction"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
        (hooks / name).chmod(0o755)
    settings = f"[init]\n\ttemplateDir = {hooks.parent}\n[core]\n\thooksPath = {hooks}\n"
    (machine.home / ".gitconfig").write_text(settings)
    assert machine("setup", "--git").code == 0
    assert not (tmp_path / "ran").exists()
    assert not (machine.store / ".git" / "hooks").exists()


def test_git_is_asked_for_only_with_git(machine: Machine, keys: KeyRing, tmp_path: Path) -> None:
    machine.adopt(keys, "alice")
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("gpg", "gpgconf", "gpg-agent", "gpg-connect-agent", "sh"):
        (programs / name).symlink_to(f"/usr/bin/{name}")
    path = f"{machine.bin}:{programs}"
    assert machine("setup", PATH=path).code == 0
    answer = machine("setup", "--git", PATH=path)
    assert (answer.code, answer.err) == (1, b"error: git not found in PATH\nhint: install git\n")


def test_setup_in_a_pinned_repository_accepts_what_the_user_names(machine: Machine, keys: KeyRing) -> None:
    machine.adopt(keys, "alice", "bob")
    machine("setup", "--git", "--key", keys["bob"])
    (machine.store / ".gpg-id").unlink()
    assert machine("setup", "--key", keys["alice"]).code == 0
    assert machine.helper("store", '{"ServerURL":"a.example","Username":"u","Secret":"s"}').code == 0


def test_changed_recipients_are_reported(machine: Machine, keys: KeyRing) -> None:
    machine.adopt(keys, "alice", "bob")
    machine("setup", "--git", "--key", keys["alice"])
    with (machine.store / ".gpg-id").open("a") as file:
        file.write(f"{keys['bob']}\n")
    answer = machine("setup")
    assert answer.code == 4
    assert answer.err.decode() == (
        f"error: recipients changed: +{keys['bob']} bob <bob@example.test> (.gpg-id)\n"
        "hint: run: passhelper recipients accept\n"
    )


# The launcher


def test_launcher_starts_python_isolated(machine: Machine, keys: KeyRing, installed: Program) -> None:
    machine.adopt(keys, "alice")
    machine("setup")
    lines = machine.launcher.read_text().splitlines()
    assert lines[0] == f"#!{installed.python} -ISXutf8"
    assert stat.S_IMODE(machine.launcher.stat().st_mode) == 0o755


def test_launcher_goes_where_path_leads(machine: Machine, keys: KeyRing) -> None:
    machine.adopt(keys, "alice")
    folder = machine.home / "bin"
    folder.mkdir()
    answer = machine("setup", PATH=f"relative:{folder}:/usr/bin:/bin")
    assert answer.code == 0
    assert f"launcher: wrote {folder}/docker-credential-pass\n" in answer.text


def test_launcher_that_is_not_on_path(machine: Machine, keys: KeyRing, tmp_path: Path) -> None:
    machine.adopt(keys, "alice")
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("gpg", "gpg-agent", "gpgconf"):
        (programs / name).symlink_to(f"/usr/bin/{name}")
    answer = machine("setup", PATH=str(programs))
    assert answer.code == 1
    assert answer.err.decode() == (
        "error: docker-credential-pass is not on PATH, so Docker cannot run it\n"
        f'hint: add to your shell profile, and start a new shell: export PATH="{machine.bin}:$PATH"\n'
    )
    assert machine.launcher.exists()


def test_path_leads_to_the_go_helper(machine: Machine, keys: KeyRing) -> None:
    require("docker-credential-pass")
    machine.adopt(keys, "alice")
    answer = machine("setup", PATH="/usr/bin:/bin")
    assert answer.code == 1
    assert answer.err.decode().startswith(f"error: PATH leads Docker to another program: {GO_HELPER}\nhint: ")


def test_bin_dir_that_another_program_has(machine: Machine, keys: KeyRing, tmp_path: Path) -> None:
    machine.adopt(keys, "alice")
    other = tmp_path / "tools" / "docker-credential-pass"
    other.parent.mkdir()
    other.write_text("#!/bin/sh\necho something else\n")
    other.chmod(0o755)
    answer = machine("setup", "--bin-dir", str(other.parent))
    assert answer.code == 1
    assert answer.err.decode() == (
        f"error: {other} is another program, so it is left as it is\n"
        "hint: remove it, or name a directory that comes before it on PATH: passhelper setup --bin-dir DIR\n"
    )
    assert other.read_text() == "#!/bin/sh\necho something else\n"


def test_no_launcher_beside_the_wheels_own(machine: Machine, keys: KeyRing, installed: Program) -> None:
    machine.adopt(keys, "alice")
    venv = Path(installed.helper).parent
    path = f"{venv}:{machine.environ['PATH']}"
    assert f"launcher: found {installed.helper}\n" in machine("setup", PATH=path).text
    text = machine("setup", PATH=path, VIRTUAL_ENV=str(venv.parent)).text
    assert f"launcher: found {installed.helper} (on PATH only while its virtual environment is active, " in text
    assert not machine.launcher.exists()
    assert machine("setup", "--bin-dir", str(machine.bin), PATH=path).code == 0
    assert machine.launcher.exists()


def test_launcher_of_a_removed_installation_is_replaced(machine: Machine, keys: KeyRing) -> None:
    machine.adopt(keys, "alice")
    machine("setup")
    good = machine.launcher.read_text()
    machine.launcher.write_text(good.replace("#!/", "#!/gone/"))
    assert f"launcher: wrote {machine.launcher}\n" in machine("setup").text
    assert machine.launcher.read_text() == good
    machine.launcher.write_text(good + "# of an installation that still works\n")
    assert machine("setup").code == 0
    assert machine.launcher.read_text() == good


# Docker and podman


def test_registry_leaves_the_rest_to_other_helpers(machine: Machine, keys: KeyRing) -> None:
    machine.adopt(keys, "alice")
    machine.config.parent.mkdir()
    machine.config.write_text('{\n\t"credsStore": "desktop"\n}')
    answer = machine("setup", "--registry", "https://quay.io/", "--registry", "docker.io")
    assert "docker: set credHelpers for quay.io, credHelpers for https://index.docker.io/v1/ to pass in " in answer.text
    assert json.loads(machine.config.read_text()) == {
        "credsStore": "desktop",
        "credHelpers": {"quay.io": "pass", "https://index.docker.io/v1/": "pass"},
    }


def test_no_docker(machine: Machine, keys: KeyRing) -> None:
    machine.adopt(keys, "alice")
    assert machine("setup", "--no-docker").code == 0
    assert not machine.config.exists()


def test_damaged_docker_config(machine: Machine, keys: KeyRing) -> None:
    machine.adopt(keys, "alice")
    machine.config.parent.mkdir()
    machine.config.write_text('{"auths": {"a": {"auth": "c2VjcmV0"}}')
    answer = machine("setup")
    assert answer.code == 1
    assert answer.err.decode().startswith(f"error: {machine.config} is damaged, so it is left as it is: ")
    assert b"c2VjcmV0" not in answer.err
    assert machine.config.read_text() == '{"auths": {"a": {"auth": "c2VjcmV0"}}'


def test_containers(machine: Machine, keys: KeyRing) -> None:
    machine.adopt(keys, "alice")
    file = machine.home / ".config" / "containers" / "registries.conf.d" / "50-passhelper.conf"
    assert f"containers: wrote {file}\n" in machine("setup", "--containers").text
    assert 'credential-helpers = ["pass", "containers-auth.json"]' in file.read_text().splitlines()
    assert machine("setup", "--containers").text.endswith("nothing had to be changed\n")


# The proof, and reports


def test_a_locked_key_fails_the_proof_headless(machine: Machine, own_keys: KeyRing) -> None:
    answer = machine("setup", "--key", own_keys["locked"], GNUPGHOME=str(own_keys.home))
    assert answer.code == 1
    assert b"is locked\nhint: run: passhelper unlock, or set PASSHELPER_PASSPHRASE_FILE\n" in answer.err


def test_the_proof_does_not_touch_the_store(machine: Machine, keys: KeyRing) -> None:
    machine.adopt(keys, "alice")
    machine("setup")
    before = tree(machine.store)
    assert machine("setup", PASSHELPER_IGNORE_WRITES="1").code == 0
    assert tree(machine.store) == before


def test_a_helper_that_fails_is_reported(machine: Machine, keys: KeyRing) -> None:
    machine.adopt(keys, "alice")
    machine("setup")
    version = "[ $1 = version ] && echo 'docker-credential-pass (passhelper) 9' && exit"
    program = f"#!/bin/sh\n{version}\necho no luck; exit 1\n"
    machine.launcher.write_text(program)
    answer = machine("setup")
    assert (answer.code, answer.err.decode()) == (1, f"error: {machine.launcher} store failed: no luck\n")


def test_json(machine: Machine, keys: KeyRing) -> None:
    machine.adopt(keys, "alice")
    document = machine("setup", "--git", "--containers", "--json").json
    assert {key: document[key] for key in ("version", "command")} == {"version": 1, "command": "setup"}
    assert [step["step"] for step in document["data"]["steps"]] == [
        "recipients", "git", "launcher", "docker", "containers", "proof",
    ]  # fmt: skip
    assert set(document["data"]["steps"][0]) == {"step", "changed", "text"}
    assert (document["data"]["changed"], document["data"]["proved"]) == (True, True)
    failed = machine("setup", "--json", PATH="/usr/bin:/bin")
    assert (failed.code, failed.json["data"]["proved"]) == (1, False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--key", "a", "--generate-key"), "--key and --generate-key exclude each other"),
        (("--registry", "a", "--no-docker"), "--registry and --no-docker exclude each other"),
        (("--git", "--depth", "1"), "--depth needs --git URL"),
        (("--git", "--whole-store"), "--whole-store needs --git URL"),
    ],
)
def test_usage(machine: Machine, options: tuple[str, ...], message: str) -> None:
    answer = machine("setup", *options)
    assert (answer.code, answer.err.decode()) == (2, f"error: {message}\nhint: run: passhelper setup --help\n")
    assert not machine.store.exists()


def test_a_gnupghome_that_is_too_long(machine: Machine, tmp_path: Path) -> None:
    home = tmp_path / ("long" * 25)
    answer = machine(*GENERATE, GNUPGHOME=str(home))
    assert answer.code == 1
    assert answer.err.startswith(b"error: GNUPGHOME path too long")
    assert not machine.store.exists()


def test_no_gpg(machine: Machine) -> None:
    answer = machine("setup", PATH="/nowhere")
    assert (answer.code, answer.err.splitlines()[0]) == (1, b"error: gpg not found in PATH")


def test_store_that_is_a_file(machine: Machine, keys: KeyRing) -> None:
    machine.adopt(keys, "alice")
    machine.store.write_text("")
    assert machine("setup").err.startswith(f"error: password store {machine.store} is not a directory\n".encode())


def test_unwritable_bin_dir(machine: Machine, keys: KeyRing, tmp_path: Path) -> None:
    machine.adopt(keys, "alice")
    (tmp_path / "file").write_text("")
    answer = machine("setup", "--bin-dir", str(tmp_path / "file" / "bin"))
    assert answer.code == 1
    assert answer.err.decode().startswith(f"error: cannot write {tmp_path}/file/bin/docker-credential-pass: ")
    assert os.listdir(tmp_path / "home" / ".password-store")
