"""How to sync, and what a sync did."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from passhelper.team.sync.erased import Erased
    from passhelper.team.sync.merge import Conflict


@dataclass(frozen=True)
class Options:
    """How to sync.

    Attributes:
        remote: which remote; empty for the branch's own.
        push: whether a runner's clone pushes; any other does.
        dry_run: only say what would happen; no file, branch or setting of the store changes.
        accepted: who may read the store, in the words of :mod:`passhelper.store.allowed`; empty to compare with what
            was accepted before.
        own: keys of this machine that may become readers of any list, beside those who read it already.
        gone: what to do about files that are gone and that no command of ours has removed: ``restore`` or ``commit``;
            empty to stop.
    """

    remote: str = ""
    push: bool = False
    dry_run: bool = False
    accepted: frozenset[str] = frozenset()
    own: frozenset[str] = frozenset()
    gone: str = ""


@dataclass
class Report:
    """What a sync did, or in a dry run would do.

    Attributes:
        remote: with which remote.
        branch: the branch there.
        committed: how many local changes were committed first.
        restored: how many files were brought back first that were gone.
        fetched: how many commits of others came in.
        pushed: how many commits of ours went out.
        kept: how many stay here, in a runner's clone.
        conflicts: what both sides had changed.
        accepted: the lists that came in changed and were accepted without a question, by path: the keys that came, and
            those that went.
        erased: what others have erased.
        imported: the keys that came in from ``.public-keys``.
        renewed: this machine's own keys whose file there was renewed.
        removed: servers that a key can no longer read after drift was repaired.
        added: servers that a recipient can read again.
        drift: what was not repaired, and why.
        unknown: what a dry run cannot tell, and why.
        dry_run: whether it is one.
    """

    remote: str
    branch: str
    committed: int = 0
    restored: int = 0
    fetched: int = 0
    pushed: int = 0
    kept: int = 0
    conflicts: list[Conflict] = field(default_factory=list)
    accepted: dict[str, tuple[list[str], list[str]]] = field(default_factory=dict)
    erased: list[Erased] = field(default_factory=list)
    imported: list[str] = field(default_factory=list)
    renewed: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    drift: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    dry_run: bool = False
