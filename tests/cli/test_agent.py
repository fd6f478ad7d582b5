"""``passhelper unlock`` and ``lock`` with a real agent."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import PASSPHRASE, Answer, KeyRing, Program, run
from terminals import Person


class Desk:
    """A store for a key with a passphrase, and an agent that does not know it."""

    def __init__(self, installed: Program, environ: dict[str, str], keys: KeyRing) -> None:
        self.keys = keys
        self.program = installed.passhelper
        self.environ = {**environ, "GNUPGHOME": str(keys.home)}
        Path(environ["PASSWORD_STORE_DIR"]).mkdir()
        self.write("locked", "stranger")

    def write(self, *names: str) -> None:
        lines = "".join(f"{self.keys[name]}\n" for name in names)
        (Path(self.environ["PASSWORD_STORE_DIR"]) / ".gpg-id").write_text(lines)

    def __call__(self, command: str, **environ: str) -> Answer:
        return run([self.program, command], {**self.environ, **environ})

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


def test_lock_forgets_no_other_key(desk: Desk) -> None:
    (desk.keys.home / "gpg-agent.conf").write_text("s2k-count 65536\n")  # a second less for each passphrase
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
