"""``.public-keys/``: the team's public keys, which travel with the store.

Whoever can push can put any key there, so a file is only an offer: it is imported after its fingerprint stands in
an accepted ``.gpg-id``, if it holds exactly that key and nothing secret, and without other people's signatures. A
removed file removes nothing.
"""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING

from passhelper.errors import GpgError
from passhelper.protocol import printable
from passhelper.store import diagnose, foreign, keyinfo, recipients, trust
from passhelper.store.gpg import status_lines

if TYPE_CHECKING:
    from passhelper.store.child import Child
    from passhelper.store.store import PassStore
    from passhelper.team.gitrepo import Git
    from passhelper.team.keys import Key

_SEEN = "publickeys"  # in <git dir>/passhelper: which files were looked at, by the id of their content
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
        raise GpgError(f"gpg could not export {key}: {diagnose.last_line(child)}")
    if len(child.stdout) > foreign.MAX_KEY:
        raise GpgError(
            f"the public key {key} is larger than {foreign.MAX_KEY} bytes", "remove its photo or old user ids"
        )
    return os.path.join(foreign.KEYS, key.fingerprint), bytes(child.stdout)


def refresh(store: PassStore, git: Git) -> list[str]:
    """Import the keys of accepted recipients from the last commit, as far as they are new.

    Returns:
        the fingerprints that were imported.
    """
    wanted = _accepted(git)
    there = _files(git)
    seen = _load(git)
    imported = []
    for path in sorted(there):
        fingerprint = _fingerprint(path, wanted)
        if not fingerprint:
            continue
        if seen.get(path) == there[path] and keyinfo.find_keys(store.gpg, fingerprint):
            continue
        why = _import(store, git, there[path], fingerprint)
        if why:
            store.warn(f"{printable(path)} was not imported: {why}")
            continue
        seen[path] = there[path]
        imported.append(fingerprint)
    if imported:
        _save(store, git, {path: blob for path, blob in seen.items() if there.get(path) == blob})
    return imported


def _accepted(git: Git) -> set[str]:
    """List the full fingerprints that stand in an accepted ``.gpg-id``."""
    pins = trust.load(git.place.state) or {}
    return {key for keys in pins.values() for key in keys if recipients.is_fingerprint(key)}


def _files(git: Git) -> dict[str, str]:
    """List the files of the last commit: the id of each one's content by its path."""
    if git.objects.find(f"HEAD:{foreign.KEYS}") is None:
        return {}
    listing = git.run("ls-tree", "-z", "--full-tree", "HEAD", f"{foreign.KEYS}/")
    found = {}
    for line in os.fsdecode(listing).split("\0"):
        facts, _, path = line.partition("\t")
        if path and facts.split()[0] in ("100644", "100755"):
            found[path] = facts.split()[2]
    return found


def _fingerprint(path: str, wanted: set[str]) -> str:
    """Tell which wanted key a file is named for: its fingerprint, or a long key id as gopass writes it."""
    name = recipients.normalize(path.rpartition("/")[2])
    found = {key for key in wanted if key == name or (len(name) == 16 and key.endswith(name))}
    return found.pop() if len(found) == 1 else ""


def _import(store: PassStore, git: Git, blob: str, fingerprint: str) -> str:
    """Import one file; says why not, empty if it was."""
    found = git.objects.find(blob)
    if found is None:
        return f"object {blob} is missing in {git.place.root}"
    data = found.data
    if data is None or len(data) > foreign.MAX_KEY:
        return f"it is larger than {foreign.MAX_KEY} bytes"
    with tempfile.TemporaryDirectory(prefix="passhelper-") as home:
        why = _complaint(_ask(store, home, data, "show-only"), fingerprint)
        if why:
            newer = keyinfo.newer_format(store.gpg, data)
            return f"it holds {newer}" if newer else why
        # Its output is what an import would have kept. No keyring is written: with keyboxd that would want a daemon.
        minimal = _ask(store, home, data, "import-minimal,import-export")
        if not minimal.stdout and minimal.returncode != 0:
            return f"gpg cannot read it: {diagnose.last_line(minimal)}"
        # What is left is all that gpg could make sense of: look again.
        why = _complaint(_ask(store, home, bytes(minimal.stdout), "show-only"), fingerprint)
        if why:
            return why
    child = store.gpg.ask("--import", stdin=bytes(minimal.stdout))
    if any(line[0] == "IMPORT_OK" and line[2] == fingerprint for line in status_lines(child)):
        return ""
    return f"gpg did not take it: {diagnose.last_line(child)}"


def _ask(store: PassStore, home: str, data: bytes, what: str) -> Child:
    """Let gpg read keys as for an import, in a home without any key and without an agent: nothing secret is wanted."""
    options = ("--with-colons", "--import-options", what)
    return store.gpg.ask("--homedir", home, "--no-autostart", *options, "--import", stdin=data)


def _complaint(listing: Child, fingerprint: str) -> str:
    """Say what is wrong with the keys of a listing; empty if it is that one public key."""
    text = listing.stdout.decode(errors="replace")
    if any(line.startswith(("sec:", "ssb:")) for line in text.splitlines()):
        return "it holds a secret key"
    found = [key.fingerprint for key in keyinfo.parse_keys(text)]
    if not found:
        return "it holds no key"
    if len(found) > 1:
        return f"it holds {len(found)} keys"
    return "" if found == [fingerprint] else f"it holds another key, {found[0]}"


def _load(git: Git) -> dict[str, str]:
    try:
        with open(os.path.join(git.place.state, _SEEN), encoding="utf-8", errors="surrogateescape") as file:
            fields = file.read().split("\0")
    except FileNotFoundError:
        return {}
    return dict(zip(fields[::2], fields[1::2], strict=False))


def _save(store: PassStore, git: Git, seen: dict[str, str]) -> None:
    text = "".join(f"{path}\0{blob}\0" for path, blob in seen.items())
    files = store.files()
    with store.lock(git.place):
        files.make_directory(git.place.state)
        path = os.path.join(git.place.state, _SEEN)
        files.replace(path, text.encode(errors="surrogateescape"), git.place.state, durable=False)
