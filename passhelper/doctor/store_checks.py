"""The store: where it is, who may look into it, and the ``.gpg-id`` files that name its recipients."""

from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING

from passhelper import oserrors
from passhelper.doctor import hygiene
from passhelper.doctor.context import Context
from passhelper.doctor.model import Check, Finding, Severity
from passhelper.errors import StoreError, printable
from passhelper.shellwords import word
from passhelper.store import owners, recipients, signature, trust
from passhelper.store.files import Files

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


_OWNER = "run it as their owner"
_SIGN = "on a machine with the signing key, run: passhelper recipients sign"


def _path(context: Context) -> Iterator[Finding]:
    root = context.store.root
    context.store.check_folder()
    if not os.path.isdir(root):
        yield Finding(f"no password store at {root}", "run: passhelper setup, or set PASSWORD_STORE_DIR")
    elif not os.access(root, os.R_OK | os.X_OK):
        yield Finding(f"the store {root} cannot be read: it belongs to uid {os.stat(root).st_uid}", "run as its owner")
    elif not os.access(root, os.W_OK):
        yield Finding(f"the store {root} is read-only here", "write to it elsewhere", Severity.WARNING)


def _recipients(context: Context) -> Iterator[Finding]:
    for source in context.sources:  # raises what is wrong with the first that cannot be used
        yield Finding(f"{printable(source.label)} names {len(source.keys)}", severity=Severity.NOTE)


def _signature(context: Context) -> Iterator[Finding]:
    for source in context.sources:
        signature.verify_signature(context.store.root, source, context.gpg)
    if not recipients.signing_keys(context.store.environ):
        return
    repository = context.store.repository("")
    known = trust.load_all(repository.state) if repository is not None else None
    nameless = []
    for source in context.sources:
        named = recipients.header(source.text)
        if named is None or not named.store:
            nameless.append(printable(source.label))
        elif known is not None and known.store and named.store != known.store:
            yield Finding(f"{printable(source.label)} is signed as a list of another store",
                          f"{_SIGN}; if it is this store that is another one: passhelper recipients accept",
                          Severity.UNACCEPTED)  # fmt: skip
    if nameless:
        told = (f"this machine knows the store as {known.store}, so no change of them counts as signed"
                if known is not None and known.store
                else "one of another store that the same key signs would count")  # fmt: skip
        which = f"signed lists that do not name their store: {len(nameless)}, such as {nameless[0]}"
        yield Finding(f"{which}; {told}", _SIGN, Severity.WARNING)


def _open_paths(context: Context) -> list[tuple[str, int]]:
    """List the files that other users may use although the umask forbids it, with the modes they should have."""
    if sys.platform == "win32":
        return []
    root, umask = context.store.root, Files(context.store.environ).umask
    if os.stat(root).st_mode & stat.S_ISGID:
        umask &= ~stat.S_IRWXG  # the store of a group, whose members may read it whatever this user's umask says
    found = []
    own = (root, os.path.join(root, recipients.FILE), context.store.folder)
    for path, facts in (*_regarded(own), *_everything(context.store.folder, without=".git")):
        mode = stat.S_IMODE(facts.st_mode)
        if mode & umask & (stat.S_IRWXG | stat.S_IRWXO):
            found.append((path, mode & ~umask))
    return found


def _owners(context: Context) -> Iterator[Finding]:
    """Look for files that the store's owner or group cannot use, made by root or with another group."""
    if sys.platform == "win32":
        return
    root = context.store.root
    facts = os.stat(root)
    is_shared = bool(facts.st_mode & stat.S_ISGID)
    found = [path for path, one in _everything(root) if _is_foreign(one, facts, is_shared=is_shared)]
    if not found:
        return
    names = f"such as {printable(os.path.relpath(found[0], root))}"
    if is_shared:
        cause = f"{len(found)} files and directories of the store are closed to its group {facts.st_gid}, {names}"
        yield Finding(f"{cause}; each member sets PASSWORD_STORE_UMASK=007",
                      f"run, as root: {owners.group_command(root, facts.st_gid)}")  # fmt: skip
    else:
        owner = owners.name(facts.st_uid)
        yield Finding(f"{len(found)} files and directories of the store do not belong to {owner}, {names}",
                      f"run: sudo chown -R {facts.st_uid}:{facts.st_gid} {word(root)}")  # fmt: skip


def _everything(root: str, without: str = "") -> Iterator[tuple[str, os.stat_result]]:
    """Walk a directory, git's own directory too unless its name is left out."""
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name != without]
        yield from _regarded(os.path.join(folder, name) for name in (*folders, *names))


def _regarded(paths: Iterable[str]) -> Iterator[tuple[str, os.stat_result]]:
    """Look at paths; links, and what is gone or closed, are passed over."""
    for path in paths:
        try:
            facts = os.lstat(path)
        except OSError:
            continue
        if not stat.S_ISLNK(facts.st_mode):
            yield path, facts


def _is_foreign(facts: os.stat_result, root: os.stat_result, *, is_shared: bool) -> bool:
    if not is_shared:
        return facts.st_uid != root.st_uid
    # git makes its objects read-only; what is in a directory can be replaced by whoever may write there.
    wanted = stat.S_IRGRP | stat.S_IWGRP | stat.S_IXGRP if stat.S_ISDIR(facts.st_mode) else stat.S_IRGRP
    return facts.st_gid != root.st_gid or facts.st_mode & wanted != wanted


def _modes(context: Context) -> Iterator[Finding]:
    root = context.store.root
    found = _open_paths(context)
    remedy = f"run: passhelper doctor --fix, or chmod -R go-rwx {word(root)}"
    if any(path == root for path, _ in found):
        yield Finding(f"other users can look into the store {root}", remedy)
    elif found:  # they are safe only as long as the root is closed
        yield Finding(f"{len(found)} files and directories in {root} are open to other users", remedy,
                      Severity.WARNING)  # fmt: skip


def _fix_modes(context: Context) -> Iterator[str]:
    done, count, left, why = 0, 0, "", _OWNER
    for path, mode in _open_paths(context):
        try:
            os.chmod(path, mode)
        except OSError as error:  # such as somebody else's; the others are closed all the same
            count += 1
            if not left:
                left = f"{printable(os.path.relpath(path, context.store.root))}: {error.strerror}"
                why = _OWNER if isinstance(error, PermissionError) else oserrors.remedy(error)
        else:
            done += 1
    if done:
        yield f"closed {done} files and directories of the store to other users"
    if left:
        raise StoreError(f"{count} files and directories of the store stay open, such as {left}", why)


def _files(context: Context) -> Iterator[Finding]:
    for path in hygiene.files(context):
        text = recipients.read_file(context.store.root, path) or b""
        faults = hygiene.faults(text)
        if not faults:
            continue
        remedy = "write one full fingerprint per line"
        if hygiene.can_fix(context, path, text):
            remedy = f"run: passhelper doctor --fix, or {remedy}"
        elif hygiene.is_signed(context, path):
            remedy = f"{remedy}, then, {_SIGN}"
        yield Finding(f"{printable(path)}: {', '.join(faults)}", remedy)


CHECKS = (
    Check("store.path", "`PASSWORD_STORE_DIR`: absolute, there, the user's own", Severity.FAILED, _path),
    Check("store.recipients", "every entry has a `.gpg-id` in force that can be read", Severity.FAILED, _recipients,
          ("store.path",)),
    Check("store.signature", "the signature that `PASSWORD_STORE_SIGNING_KEY` demands, if it is set", Severity.FAILED,
          _signature, ("gpg.version", "gpg.home", "store.recipients")),
    Check("store.owners", "all of the store belongs to its owner, or is open to its group", Severity.FAILED, _owners,
          ("store.path",)),
    Check("store.modes", "modes: the store is closed to other users", Severity.FAILED, _modes, ("store.path",),
          _fix_modes),
    Check("store.gpg-id", "`.gpg-id`: plain line ends, full fingerprints, comments on lines of their own",
          Severity.WARNING, _files, ("store.path",), hygiene.fix),
)  # fmt: skip
