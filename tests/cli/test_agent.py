"""``passhelper unlock`` and ``lock`` with a real agent."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import PASSPHRASE, Answer, KeyRing, Program, require, require_account, run
from support.people.terminals import Person


class Desk:
    """A store for a key with a passphrase, and an agent that does not know it."""

    def __init__(self, installed: Program, environ: dict[str, str], keys: KeyRing) -> None:
        self.keys = keys
        self.program = installed.passhelper
        self.python = installed.python
        self.environ = {**environ, "GNUPGHOME": str(keys.home)}
        Path(environ["PASSWORD_STORE_DIR"]).mkdir()
        self.write("locked", "stranger")

    def write(self, *names: str) -> None:
        lines = "".join(f"{self.keys[name]}\n" for name in names)
        (Path(self.environ["PASSWORD_STORE_DIR"]) / ".gpg-id").write_text(lines)

    def __call__(self, command: str, *options: str, **environ: str) -> Answer:
        # The program itself takes no module from PYTHONPATH, and some of these tests bring a keyring of their own.
        program = [self.python, "-m", "passhelper"] if "PYTHONPATH" in environ else [self.program]
        return run([*program, command, *options], {**self.environ, **environ})

    def opens(self, name: str) -> bool:
        message = self.keys.encrypt(b"x", name)
        done = self.keys.gpg("--pinentry-mode", "error", "--decrypt", stdin=message, check=False)
        return done.returncode == 0

    @property
    def owner(self) -> str:
        return f"{self.keys['locked']} locked <locked@example.test>"


@pytest.fixture
def desk(installed: Program, environ: dict[str, str], own_keys: KeyRing) -> Desk:
    return Desk(installed, environ, own_keys)


def test_unlock_and_lock(desk: Desk) -> None:
    assert not desk.opens("locked")
    answer = desk("unlock", PASSHELPER_PASSPHRASE=PASSPHRASE)
    assert (answer.code, answer.err) == (0, b"")
    assert answer.text == (
        f"unlocked: {desk.owner}\ngpg-agent forgets it 10 minutes after its last use, 2 hours from now at the latest\n"
    )
    assert desk.opens("locked")
    assert desk("unlock").text.startswith(f"already unlocked: {desk.owner}\n")
    assert desk("lock").text == f"locked: {desk.owner}\n"
    assert not desk.opens("locked")
    assert desk("lock").code == 0


def test_cache_times_that_are_set(desk: Desk) -> None:
    settings = "default-cache-ttl 45\nmax-cache-ttl 86400\n"
    (desk.keys.home / "gpg-agent.conf").write_text(settings)
    text = desk("unlock", PASSHELPER_PASSPHRASE=PASSPHRASE).text
    assert text.endswith("gpg-agent forgets it 45 seconds after its last use, 1 day from now at the latest\n")


# The system's keyring

BACKEND = """\
import json, os, time
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked

FILE = os.path.join(os.path.dirname(__file__), "secrets.json")

class Files(KeyringBackend):
    priority = 1
    def get_password(self, service, username):
        with open(FILE) as file:
            return json.load(file).get(f"{service} {username}")
    def set_password(self, service, username, password):
        with open(FILE, "w") as file:
            json.dump({f"{service} {username}": password}, file)

class Empty(Files):
    def get_password(self, service, username):
        return None

class Locked(Files):
    def get_password(self, service, username):
        raise KeyringLocked("Failed to unlock the collection!")

class Broken(Files):
    def get_password(self, service, username):
        raise RuntimeError("canary")

class Silent(Files):
    def get_password(self, service, username):
        time.sleep(600)
"""


def backend(desk: Desk, tmp_path: Path, name: str) -> dict[str, str]:
    """The settings with which the keyring library takes one of these backends."""
    (tmp_path / "lib").mkdir(exist_ok=True)
    (tmp_path / "lib" / "rings.py").write_text(BACKEND)
    return {"PYTHON_KEYRING_BACKEND": name, "PYTHONPATH": str(tmp_path / "lib")}


def test_from_the_keyring(desk: Desk, tmp_path: Path) -> None:
    """What the library's own program has put there, as the help says; a variable does not count then."""
    ring = backend(desk, tmp_path, "rings.Files")
    put = [desk.python, "-m", "keyring", "set", "passhelper", desk.keys["locked"]]
    assert run(put, {**desk.environ, **ring}, PASSPHRASE.encode()).code == 0
    answer = desk("unlock", "--from-keyring", PASSHELPER_PASSPHRASE="wrong", **ring)
    assert (answer.code, answer.err) == (0, b"")
    assert answer.text.startswith(f"unlocked: {desk.owner}\n")
    assert desk.opens("locked")


def test_from_a_secret_service(desk: Desk, tmp_path: Path) -> None:
    """The keyring of a Linux desktop, in a session of its own."""
    require("dbus-run-session", "gnome-keyring-daemon")
    require_account()
    (tmp_path / "run").mkdir(mode=0o700)
    environ = {**desk.environ, "XDG_RUNTIME_DIR": str(tmp_path / "run"), "SECRET": PASSPHRASE}
    script = f"""
    set -eu
    trap 'kill $GNOME_PID' EXIT
    eval "$(printf desktop | gnome-keyring-daemon --unlock --components=secrets)"
    GNOME_PID=$(pgrep -n -f "gnome-keyring-daemon --unlock")
    printf %s "$SECRET" | {desk.python} -m keyring set passhelper {desk.keys["locked"]}
    {desk.program} unlock --from-keyring
    """
    answer = run(["dbus-run-session", "--", "sh", "-c", script], environ, timeout=60)
    assert answer.code == 0, answer.err
    assert answer.text.startswith(f"unlocked: {desk.owner}\n")
    assert desk.opens("locked")


REFUSALS = {
    "keyring.backends.fail.Keyring": (
        "this machine, or this session, has no keyring that can be asked", "set PASSHELPER_PASSPHRASE_FILE instead"
    ),
    "keyring.backends.null.Keyring": (
        "this machine, or this session, has no keyring that can be asked", "set PASSHELPER_PASSPHRASE_FILE instead"
    ),
    "rings.Empty": ("the keyring has no passphrase for GPG key OWNER", "run: keyring set passhelper FINGERPRINT"),
    "rings.Locked": (
        "the keyring did not give the passphrase: Failed to unlock the collection!",
        "set PASSHELPER_PASSPHRASE_FILE instead",
    ),
    "rings.Broken": (
        "the keyring did not give the passphrase: RuntimeError", "set PASSHELPER_PASSPHRASE_FILE instead"
    ),
    "rings.Silent": (
        "the keyring gave no answer within 10 seconds",
        "unlock it in its session, or set PASSHELPER_PASSPHRASE_FILE instead",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
def test_keyrings_that_do_not_help(desk: Desk, tmp_path: Path, name: str) -> None:
    answer = desk("unlock", "--from-keyring", **backend(desk, tmp_path, name))
    cause, remedy = (
        text.replace("OWNER", desk.owner).replace("FINGERPRINT", desk.keys["locked"]) for text in REFUSALS[name]
    )
    assert (answer.code, answer.out) == (1, b"")
    assert answer.err.decode() == f"error: {cause}\nhint: {remedy}\n"


def test_a_time_limit_needs_the_agent_of_a_runner(desk: Desk) -> None:
    """The user's own agent would have to forget the passphrases of all his keys."""
    before = (desk.keys.home / "gpg-agent.conf").read_bytes()
    answer = desk("unlock", "--ttl", "60", PASSHELPER_PASSPHRASE=PASSPHRASE)
    assert (answer.code, answer.out) == (1, b"")
    assert answer.err.decode() == (
        "error: --ttl works only with the gpg-agent of setup --ci: gpg 2.2 has no preset passphrase with a time limit, "
        "and the cache times of your own agent hold for all your keys\n"
        "hint: set default-cache-ttl and max-cache-ttl in gpg-agent.conf, and run: gpgconf --reload gpg-agent\n"
    )
    assert (desk.keys.home / "gpg-agent.conf").read_bytes() == before
    assert desk("unlock", "--ttl", "0").code == 2


def test_lock_forgets_no_other_key(desk: Desk) -> None:
    desk.keys.gpg("--pinentry-mode", "loopback", "--passphrase", "other", "--quick-gen-key",
                  "other <other@example.test>", "future-default", "default", "never")  # fmt: skip
    desk.keys.stop_agent()
    message = desk.keys.encrypt(b"x", "other@example.test")
    desk.keys.gpg("--pinentry-mode", "loopback", "--passphrase", "other", "--decrypt", stdin=message)
    desk("unlock", PASSHELPER_PASSPHRASE=PASSPHRASE)
    desk("lock")
    assert not desk.opens("locked")
    assert desk.opens("other@example.test")


def test_lock_without_an_agent(desk: Desk) -> None:
    desk.keys.stop_agent()
    assert desk("lock").code == 0
    assert not desk.opens("locked")


def test_wrong_passphrase(desk: Desk) -> None:
    answer = desk("unlock", PASSHELPER_PASSPHRASE="wrong")
    assert answer.code == 1
    assert answer.err.decode() == f"error: that passphrase does not unlock GPG key {desk.owner}\nhint: try again\n"


def test_no_terminal(desk: Desk) -> None:
    answer = desk("unlock")
    assert answer.code == 1
    assert answer.err.decode() == (
        f"error: no terminal to ask for the passphrase for {desk.owner}\nhint: set PASSHELPER_PASSPHRASE_FILE\n"
    )


def test_asked_on_the_terminal(desk: Desk) -> None:
    person = Person((b"Passphrase for ", PASSPHRASE.encode() + b"\n"))
    answer = person.run([desk.program, "unlock"], {**desk.environ, "PASSHELPER_NONINTERACTIVE": "0"}, b"")
    assert answer.code == 0
    assert PASSPHRASE.encode() not in person.screen
    assert desk.opens("locked")


def test_a_key_without_passphrase(desk: Desk) -> None:
    desk.write("alice")
    owner = f"{desk.keys['alice']} alice <alice@example.test>"
    assert desk("unlock").text.startswith(f"already unlocked: {owner}\n")


def test_the_key_of_a_single_server(desk: Desk) -> None:
    desk.write("alice")
    folder = Path(desk.environ["PASSWORD_STORE_DIR"]) / "docker-credential-helpers" / "YS5leGFtcGxl"
    folder.mkdir(parents=True)
    (folder / ".gpg-id").write_text(desk.keys["locked"])
    assert f"\nunlocked: {desk.owner}\n" in desk("unlock", PASSHELPER_PASSPHRASE=PASSPHRASE).text


def test_no_key_of_this_machine(desk: Desk) -> None:
    desk.write("stranger")
    for command in ("unlock", "lock"):
        answer = desk(command)
        assert answer.code == 1
        assert answer.err.decode().startswith("error: this machine has no secret key for any recipient of ")


def test_not_initialised(desk: Desk, tmp_path: Path) -> None:
    answer = desk("unlock", PASSWORD_STORE_DIR=str(tmp_path / "none"))
    assert answer.err.startswith(b"error: password store not initialised at ")
