"""``.public-keys/``: the team's public keys, which travel with the store.

Whoever can push can put any key there, so a file is only an offer: it is imported after its fingerprint stands in
an accepted ``.gpg-id``, if it holds exactly that key and nothing secret, does not pretend to be another recipient's,
and without other people's signatures. A removed file removes nothing. Where lists are signed and name their store, they
also name the files by their digests: an old file, put back, could hide that the key was revoked since.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from typing import TYPE_CHECKING

from passhelper import shellwords
from passhelper.errors import GpgError, printable
from passhelper.store import keyinfo, keynames, treepolicy, trust
from passhelper.store.child import last_line
from passhelper.store.files import Files
from passhelper.store.gpg import status_lines
from passhelper.store.transaction import Transaction
from passhelper.team.keyring import keypackets, pretenders
from passhelper.team.recipients import signed
from passhelper.wording import few

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from passhelper.store import claims
    from passhelper.store.child import Child
    from passhelper.store.store import PassStore
    from passhelper.team.git.gitrepo import Git
    from passhelper.team.keyring.key import Key

_SEEN = "publickeys"  # in <git dir>/passhelper: which files were looked at, by the id of their content
_SHOWN = 5  # names in a warning
_MINIMAL = ("--export-options", "export-minimal")


def export(store: PassStore, key: Key) -> tuple[str, bytes]:
    """Export a key for the team.

    Returns:
        the file's path in the store, and its content.

    Raises:
        GpgError: there is no such key, or it is too large to travel.
    """
    child = store.gpg.ask("--armor", *_MINIMAL, "--export", key.fingerprint)
    if child.returncode != 0 or not child.stdout:
        raise GpgError(f"gpg could not export {key}: {last_line(child)}")
    if len(child.stdout) > treepolicy.MAX_KEY:
        raise GpgError(
            f"the public key {key} is larger than {treepolicy.MAX_KEY} bytes", "remove its photo or old user ids"
        )
    return os.path.join(treepolicy.KEYS, key.fingerprint), bytes(child.stdout)


def digest(data: bytes) -> str:
    """Give what a signed list says about a key's file."""
    return hashlib.sha256(data).hexdigest()


def united(store: PassStore, key: Key) -> bytes:
    """Export a key with all that its file in the store knows besides, for a list to be signed together with it.

    What somebody else has put there can only add to what this keyring knows: gpg never forgets a revocation.
    """
    path, data = export(store, key)
    full, repository = os.path.join(store.root, path), store.repository("")
    there = read(full)
    accepted = _accepted(repository.state) if repository is not None else set()
    if there is None or there == data or _import(store, there, key.fingerprint, full, accepted):
        return data
    return export(store, key)[1]


def read(path: str) -> bytes | None:
    """Read a file of the store that is none of ours to trust; None if it is not a plain one, or too large."""
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return None
        with open(path, "rb") as file:
            data = file.read(treepolicy.MAX_KEY + 1)
    except OSError:
        return None
    return data if len(data) <= treepolicy.MAX_KEY else None


def refresh(store: PassStore, git: Git) -> list[str]:
    """Import the keys of accepted recipients from the last commit, as far as they are new.

    Returns:
        the fingerprints that were imported.
    """
    accepted = _accepted(git.repository.state)
    there = _files(git)
    wanted = _wanted(store, git, accepted, there)
    seen = _load(git)
    imported = []
    void: dict[str, str] = {}
    good: set[str] = set()
    digests: dict[str, str] | None = None
    is_signed = signed.is_bound(store, git)
    for path in sorted(there):
        fingerprint = _fingerprint(path, wanted)
        if not fingerprint:
            continue
        if seen.get(path) == there[path] and _is_here(store, fingerprint):
            good.add(fingerprint)
            continue
        data, why = _blob(git, there[path])
        if not why and is_signed:
            digests = signed.digests(store, git) if digests is None else digests
            if digests.get(fingerprint) != digest(data):
                void[fingerprint] = path
                continue
        why = why or _import(store, data, fingerprint, os.path.join(git.repository.root, path), accepted)
        if why:
            store.warn(f"{printable(path)} was not imported: {why}")
            continue
        good.add(fingerprint)
        seen[path] = there[path]
        imported.append(fingerprint)
    for fingerprint, path in void.items():
        if fingerprint not in good:
            store.warn(
                f"{printable(path)} was not imported: no signed list of recipients names it as it is; on a machine "
                "with the signing key, run: passhelper recipients sign"
            )
    if imported:
        _save(store, git, {path: blob for path, blob in seen.items() if there.get(path) == blob})
    return imported


def _accepted(state: str) -> set[str]:
    """List the lines of all lists that are accepted here."""
    return {key for keys in (trust.load(state) or {}).values() for key in keys}


def of_commit(git: Git, commit: str) -> claims.Offered:
    """Read public keys from a commit, which need not be merged or trusted."""

    def read(fingerprint: str) -> bytes | None:
        found = git.objects.find(f"{commit}:{treepolicy.KEYS}/{fingerprint}")
        return None if found is None else found.data

    return read


def _files(git: Git) -> dict[str, str]:
    """List the files of the last commit: the id of each one's content by its path."""
    if git.objects.find(f"HEAD:{treepolicy.KEYS}") is None:
        return {}
    listing = git.run("ls-tree", "-z", "--full-tree", "HEAD", f"{treepolicy.KEYS}/")
    found = {}
    for line in os.fsdecode(listing).split("\0"):
        facts, _, path = line.partition("\t")
        if path and facts.split()[0] in ("100644", "100755"):
            found[path] = facts.split()[2]
    return found


def _wanted(store: PassStore, git: Git, accepted: Collection[str], there: Mapping[str, str]) -> set[str]:
    """Find the fingerprints of the keys that accepted lines name; one that is a subkey does not say whose it is.

    Anybody can call a subkey his own. So where this keyring does not know its key, exactly one file may hold it; even a
    false one could not read what is encrypted to that subkey.
    """
    wanted = {line for line in accepted if keynames.is_fingerprint(line) and not keyinfo.is_pinned(line)}
    unknown: dict[str, list[str]] = {}
    for part in {keynames.digits(line) for line in accepted if keyinfo.is_pinned(line)}:
        here = keyinfo.find_keys(store.gpg, part)
        wanted |= {key.fingerprint for key in here}
        if not here:
            unknown[part] = []
    for path, blob in there.items() if unknown else ():
        name = path.rpartition("/")[2]
        if keynames.is_fingerprint(name) and name not in wanted:
            for part in unknown.keys() & keypackets.fingerprints(_blob(git, blob)[0]):
                unknown[part].append(name)
    for part, names in unknown.items():
        if len(names) > 1:
            holders = few(sorted(names), _SHOWN)
            store.warn(
                f"several keys in {treepolicy.KEYS} call {part} a subkey of their own: {holders}; find out whose it "
                "is, then import that one: gpg --import KEYFILE"
            )
        wanted |= set(names) if len(names) == 1 else set()
    return wanted


def _fingerprint(path: str, wanted: set[str]) -> str:
    """Return which wanted key a file is named for: its fingerprint, or a long key id as gopass writes it."""
    name = keynames.normalize(path.rpartition("/")[2])
    found = {key for key in wanted if key == name or (len(name) == 16 and key.endswith(name))}
    return found.pop() if len(found) == 1 else ""


def _blob(git: Git, blob: str) -> tuple[bytes, str]:
    """Read a file of the last commit; gives its content, or why there is none."""
    found = git.objects.find(blob)
    if found is None:
        return b"", f"object {blob} is missing in {git.repository.root}"
    if found.data is None or len(found.data) > treepolicy.MAX_KEY:
        return b"", f"it is larger than {treepolicy.MAX_KEY} bytes"
    return found.data, ""


def _is_here(store: PassStore, fingerprint: str) -> bool:
    """Return whether the keyring has a key, and not just another one that calls it a part of its own."""
    return any(key.fingerprint == fingerprint for key in keyinfo.find_keys(store.gpg, fingerprint))


def _import(store: PassStore, data: bytes, fingerprint: str, file: str, accepted: Collection[str]) -> str:
    """Import the content of one file; says why not, empty if it was."""
    with tempfile.TemporaryDirectory(prefix="passhelper-") as home:
        why = _complaint(_ask(store, home, data, "show-only"), fingerprint)
        if why:
            newer = keyinfo.newer_format(store.gpg, data)
            return f"it holds {newer}" if newer else why
        # Its output is what an import would have kept. No keyring is written: with keyboxd that would want a daemon.
        minimal = _ask(store, home, data, "import-minimal,import-export")
        if not minimal.stdout and minimal.returncode != 0:
            return f"gpg cannot read it: {last_line(minimal)}"
        # What is left is all that gpg could make sense of: look again.
        left = _ask(store, home, bytes(minimal.stdout), "show-only")
        why = _complaint(left, fingerprint)
        if why:
            return why
    (key,) = keyinfo.parse_keys(left.stdout.decode(errors="replace"))
    why = pretenders.pretence(store.gpg, key, accepted)
    if why:
        full = shellwords.word(file)
        return f"{why}; if its owner says that it is right, run: gpg --import {full}"
    child = store.gpg.ask("--import", stdin=bytes(minimal.stdout))
    if any(line[0] == "IMPORT_OK" and line[2] == fingerprint for line in status_lines(child)):
        return ""
    other = keyinfo.in_the_way(store.gpg, fingerprint)
    return "gpg did not take it: " + ("; ".join(other) if other is not None else last_line(child))


def _ask(store: PassStore, home: str, data: bytes, what: str) -> Child:
    """Let gpg read keys as for an import, in a home without any key and without an agent: nothing secret is wanted."""
    options = ("--with-colons", "--import-options", what)
    return store.gpg.ask("--homedir", home, "--no-autostart", *options, "--import", stdin=data)


def _complaint(listing: Child, fingerprint: str) -> str:
    """Say what is wrong with the keys of a listing; empty if it is that one public key."""
    text = listing.stdout.decode(errors="replace")
    if any(line.startswith(("sec:", "ssb:")) for line in text.split("\n")):
        return "it holds a secret key"
    found = [key.fingerprint for key in keyinfo.parse_keys(text)]
    if not found:
        return "it holds no key"
    if len(found) > 1:
        return f"it holds {len(found)} keys"
    return "" if found == [fingerprint] else f"it holds another key, {found[0]}"


def _load(git: Git) -> dict[str, str]:
    try:
        with open(os.path.join(git.repository.state, _SEEN), encoding="utf-8", errors="surrogateescape") as file:
            fields = file.read().split("\0")
    except FileNotFoundError:
        return {}
    return dict(zip(fields[::2], fields[1::2], strict=False))


def _save(store: PassStore, git: Git, seen: dict[str, str]) -> None:
    text = "".join(f"{path}\0{blob}\0" for path, blob in seen.items())
    files = Files(store.environ)
    with Transaction(store, git.repository):
        files.make_directory(git.repository.state)
        path = os.path.join(git.repository.state, _SEEN)
        files.replace(path, text.encode(errors="surrogateescape"), git.repository.state, durable=False)
