"""A store to which people come and from which they go, and what ``rotation`` says that they know."""

from __future__ import annotations

from typing import TYPE_CHECKING

from passhelper.team.entries import rotation
from passhelper.team.entries.reencrypt import Rekey
from passhelper.team.recipients.members import Members
from support.people.clones import Clone

if TYPE_CHECKING:
    from passhelper.store.store import PassStore
    from support import KeyRing

A, B, C, D = (f"https://{letter}.example" for letter in "abcd")


class Leavers(Clone):
    """A store of alice's that bob comes to and leaves."""

    def __init__(self, environ: dict[str, str], keys: KeyRing) -> None:
        who = {f"GIT_{role}_{what}": "t@example.test" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        super().__init__({**environ, **who})
        self.keys = keys

    @property
    def pass_store(self) -> PassStore:
        return self.helper.pass_store

    def let_in(self, name: str, server: str = "") -> None:
        Members(Rekey(self.pass_store)).add((self.keys[name],), server)

    def let_go(self, name: str, server: str = "") -> None:
        Members(Rekey(self.pass_store)).remove((self.keys[name],), server)

    def states(self, name: str = "bob") -> dict[str, str]:
        return {item.server: item.state for item in rotation.find(self.pass_store, self.keys[name])}

    def left(self, name: str = "bob") -> list[str]:
        return [item.server for item in rotation.open_for(self.pass_store, self.keys[name])]
