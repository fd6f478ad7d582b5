"""Find the line of git's complaints that tells a person why it failed, for every git that we run.

git ends with what follows from a failure and with advice ("Could not read from remote repository.", "and the
repository exists."). The reason stands above that: what the server said (``remote:``), what git says first
(``error:``, ``fatal:``, the line of a refused push), or what ssh said last.

All of it may come from a server: it is shown, never part of what we tell anybody to type.
"""

import os

from passhelper.errors import GitError, printable
from passhelper.shellwords import word

TYPE_CHECKING = False
if TYPE_CHECKING:
    from passhelper.store.child import Child
    from passhelper.store.repository import Repository

_ADVICE = ("hint:", "Please make sure you have the correct access rights", "and the repository exists.",
           "Warning: Permanently added", "To ", "From ", "Cloning into ")  # fmt: skip
# What git says because of something that it, ssh or the server has said before.
_CONSEQUENCES = (
    "fatal: Could not read from remote repository", "fatal: the remote end hung up", "fatal: The remote end hung up",
    "fatal: early EOF", "fatal: index-pack failed", "fatal: fetch-pack: ", "fatal: unable to fork",
    "error: failed to push some refs to ",
)  # fmt: skip
_REMOTE = "remote:"
_PROGRESS = ("Enumerating objects", "Counting objects", "Compressing objects", "Total ")
_MOST = 6  # lines of a server; GitHub's about a protected branch are two, about a secret in a push thirty


def reason(complaint: "bytes | bytearray | str", code: object) -> str:
    """Say in one line why git failed, safe to show: no password of a URL, nothing that moves a terminal.

    Args:
        complaint: what it wrote to its standard error.
        code: its exit status, for one that wrote nothing.
    """
    text = complaint if isinstance(complaint, str) else complaint.decode(errors="replace")
    server: list[str] = []
    causes: list[str] = []
    consequences: list[str] = []
    others: list[str] = []
    for line in text.replace("\r", "\n").split("\n"):
        line = line.strip()  # noqa: PLW2901 - git pads what it relays
        if not any(map(str.isalnum, line)) or line.startswith(_ADVICE):
            continue
        if line.startswith(_REMOTE):
            said = line[len(_REMOTE) :].strip()
            if any(map(str.isalnum, said)) and not said.startswith(_PROGRESS):
                server.append(said)
        elif line.startswith("!"):
            causes.append(_refusal(line))
        elif line.startswith(_CONSEQUENCES):
            consequences.append(line)
        elif line.startswith(("fatal:", "error:", "BUG:")):
            causes.append(line)
        else:
            others.append(line)
    # Of ssh's lines the last two: "Host key for h has changed ..." stands above "Host key verification failed."
    own = list(dict.fromkeys(causes))[:2] or ([] if server else others[-2:] or consequences[:1])
    why = "; ".join(map(_shown, own))
    if server:
        said = "; ".join([*map(_shown, server[:_MOST]), *(["..."] if len(server) > _MOST else [])])
        why = f"{why} (the server says: {said})" if why else said
    return why or f"exit status {code}"


def remedy(complaint: "bytes | bytearray | str", otherwise: str) -> str:
    """Say what to do about a remote that did not answer as it should.

    Args:
        complaint: what git wrote to its standard error.
        otherwise: what to look at where that does not tell.
    """
    text = complaint if isinstance(complaint, str) else complaint.decode(errors="replace")
    if "Host key verification failed" in text:
        if "IDENTIFICATION HAS CHANGED" in text:
            return "ask whoever runs that host whether its key has changed; only then run: ssh-keygen -R HOST"
        return "compare the host's key with what its owner publishes, and put it into known_hosts; ssh HOST asks for it"
    if "Permission denied (" in text:
        return "let that host know this user's ssh key, or name another one: GIT_SSH_COMMAND='ssh -i FILE'"
    if "transport '" in text and "' not allowed" in text:
        return (
            "give the store a URL of https, http, ssh, git or file, or a path: git remote set-url NAME URL; where that "
            "has one, git's protocol.*.allow or GIT_ALLOW_PROTOCOL forbids it"
        )
    if "The requested URL returned error: 30" in text:
        return (
            "the remote leads elsewhere, where no password is sent: look where, with curl -I URL/info/refs, and if "
            "that is right give the store that URL: git remote set-url NAME URL"
        )
    if "dubious ownership" in text:
        return "run, as the user who serves it: git config --global --add safe.directory PATH"
    return otherwise


def lock_in_the_way(repository: "Repository", complaint: "bytes | bytearray") -> str:
    """Read from git's complaint which lock of a repository another git holds; empty if it is about something else."""
    from passhelper.store.repository import common_dir  # only after a failure

    text = complaint.decode(errors="surrogateescape")
    name, found, _ = text.partition("Unable to create '")[2].partition("': File exists")
    path = os.path.normpath(os.path.join(repository.root, name))
    ours = (repository.git_dir + os.sep, common_dir(repository.git_dir) + os.sep)
    return path if found and path.endswith(".lock") and path.startswith(ours) else ""


def failure(root: str, command: str, child: "Child", seconds: float) -> GitError:
    """Say why a git that talks to nobody failed.

    Args:
        root: the work tree.
        command: which command it was; empty where that is of no use.
        child: what became of it.
        seconds: how long it had.
    """
    if child.timed_out:
        return too_slow(root, command, seconds)
    if child.overflow:
        return GitError(f"{_name(command)} printed more than {child.limit} bytes in {root}")
    return explained(root, command, child.stderr, child.returncode)


def too_slow(root: str, command: str, seconds: float) -> GitError:
    """Say that a git command was ended because its time was up."""
    return GitError(f"{_name(command)} did not finish within {seconds:g} s in {root}")


def explained(root: str, command: str, complaint: "bytes | bytearray | str", code: object) -> GitError:
    """Say why a git that talks to nobody failed, by what it wrote; see :func:`failure` and :func:`reason`."""
    text = complaint if isinstance(complaint, str) else complaint.decode(errors="replace")
    if "dubious ownership" in text:
        return refused(root)
    if "not a git repository" in text or "not in a git directory" in text:
        return GitError(f"{root} is not a repository that git can read")
    return GitError(f"{_name(command)} failed in {root}: {reason(text, code)}")


def refused(root: str) -> GitError:
    """Say that git refuses a work tree because of who owns it or its ``.git``."""
    places = [path for path in (root, os.path.join(root, ".git")) if os.path.lexists(path)]
    owners = [os.lstat(path).st_uid for path in places]
    own = os.geteuid() if hasattr(os, "geteuid") else -1
    uid = next((owner for owner in owners if owner != own), owners[0] if owners else -1)
    return GitError(
        f"git refuses the store: it belongs to uid {uid}",
        f"run: git config --global --add safe.directory {word(root)}",
    )


def without_passwords(text: str) -> str:
    """Take out of a text what stands before the ``@`` of the URLs in it."""
    first, *others = text.split("://")
    shown = [first]
    for other in others:
        part = other
        end = min((at for char in " \t'\"" if (at := part.find(char)) >= 0), default=len(part))
        place, _, path = part[:end].partition("/")
        if "@" in place:
            part = part[place.rindex("@") + 1 :]
        elif "@" in path and not place.rpartition(":")[2].isdigit() and ":" in place:
            # A slash in a password ends the host too early, and leaves a port that is not a number.
            part = part[part.rindex("@", 0, end) + 1 :]
        shown.append(part)
    return "://".join(shown)


def _refusal(line: str) -> str:
    """Give what a push says of a refused branch, in either of git's forms, without the branches' names."""
    kind, _, rest = line.partition("[")[2].partition("]")
    why = rest.rpartition("\t")[2].rpartition(" -> ")[2].partition("(")[2].rpartition(")")[0]
    if not why:
        return line.lstrip("! ")
    return why if kind == "remote rejected" else f"{kind}: {why}"


def _name(command: str) -> str:
    return f"git {command}" if command else "git"


def _shown(line: str) -> str:
    return printable(" ".join(without_passwords(line).split()))
