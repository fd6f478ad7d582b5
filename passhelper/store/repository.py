"""Where a store's git repository is, and how git is run in it. No git is started to find out.

What comes out of a clone is data, not configuration: hooks, file-system monitors, filters and
attributes that a repository or a user's global settings bring along could run code or change
ciphertext, so every git child runs with them switched off.
"""

import os

from passhelper.errors import GitError, StoreError
from passhelper.store.files import Files
from passhelper.store.programs import ROOTLESS, clean_environ, find_program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from passhelper.store.child import Child

_UNTOUCHED = "-text -filter -ident -working-tree-encoding merge=binary"
EVERYTHING = ("*",)
# What passhelper writes; the filters of a store's other files are their owner's.
_OWN = ("/docker-credential-helpers/**", "/.public-keys/**", "/.gpg-id", "/.gpg-id.sig")

_SAFE = (
    "core.fsmonitor=false",
    "core.symlinks=false",
    "core.fileMode=false",  # no file of a store is a program, whatever a push calls it
    "http.followRedirects=false",  # a server could send us, and what we say of ourselves, to a host of its choice
    "core.autocrlf=false",
    "submodule.recurse=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "core.bigFileThreshold=8m",  # twice our largest file: what is larger passes through git without lying in memory
    "http.lowSpeedLimit=100",  # bytes a second, below which git gives up
    "http.lowSpeedTime=60",  # after so many seconds
)

# A push of ours is of one branch, whatever push.gpgSign, push.followTags and push.recurseSubmodules say; so is a fetch.
PUSH = ("push", "--no-signed", "--no-follow-tags", "--recurse-submodules=no")
FETCH = ("fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--refmap=")

# How git may talk to a remote, whatever a URL or a setting says; any other name is that of a program to run. git asks
# for each URL that it uses in the end, those of pushes and submodules and the rewritten ones among them.
_TRANSPORTS = ("file", "git", "http", "https", "ssh")
_ALWAYS, _USER = "always", "user"  # what protocol.*.allow may say besides "never"

TRUE = ("true", "yes", "on", "1")
FALSE = ("false", "no", "off", "0", "")

# git rev-parse --local-env-vars, GIT_NAMESPACE, and GIT_QUARANTINE_PATH, which a server's hook has and which forbids
# every commit: variables that aim git at another repository. So does GIT_ATTR_SOURCE at another tree's attributes.
# Then those that change what a path means or what our commits are called in the reflog.
# GIT_CONFIG_COUNT and its pairs stay, CI systems pass credentials for the remote in them.
_AIMED_ELSEWHERE = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_ATTR_SOURCE", "GIT_COMMON_DIR", "GIT_CONFIG", "GIT_CONFIG_PARAMETERS",
    "GIT_DIR",
    "GIT_GRAFT_FILE", "GIT_IMPLICIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_INTERNAL_SUPER_PREFIX", "GIT_NAMESPACE",
    "GIT_NO_REPLACE_OBJECTS", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX", "GIT_QUARANTINE_PATH", "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE", "GIT_WORK_TREE",
    "GIT_GLOB_PATHSPECS", "GIT_ICASE_PATHSPECS", "GIT_NOGLOB_PATHSPECS", "GIT_REFLOG_ACTION",
)  # fmt: skip

_TRACES = ("GIT_TRACE", "GIT_CURL_VERBOSE")  # git(1)

STATUS = ("status", "--porcelain", "-z", "--no-renames")  # see changed_paths()


class Repository:
    """A git repository inside a store.

    Args:
        root: its work tree, as an absolute path.
        git_dir: its ``.git`` directory.
        store: the store that it is in; the work tree itself unless it lies among the credentials.

    Attributes:
        root: its work tree, as an absolute path.
        git_dir: its ``.git`` directory.
        state: where passhelper keeps what is not to be committed: ``<git dir>/passhelper``.
        pending: the file there that lists what is still to be committed.
        kept: the file there that holds copies of it, if it could not be committed.
        aborted: the file there that says which abort of a rebase was seen last.
        journal: the file there that describes a change of many files while it lasts.
        unpushed: the file there that says that an automatic push is still to be done.
        synced: the file there that says when a sync last went well, in seconds since 1970.
    """

    def __init__(self, root: str, git_dir: str, store: str = "") -> None:
        self.root = root
        self.git_dir = git_dir
        self.state = os.path.join(git_dir, "passhelper")
        self.pending = os.path.join(self.state, "pending")
        self.kept = os.path.join(self.state, "kept")
        self.aborted = os.path.join(self.state, "aborted")
        self.journal = os.path.join(self.state, "journal")
        self.unpushed = os.path.join(self.state, "unpushed")
        self.synced = os.path.join(self.state, "synced")
        self._own = _OWN if store in ("", root) else EVERYTHING

    def load_pending(self) -> "list[str]":
        """List what is still to be committed, relative to the work tree."""
        try:
            with open(self.pending, "rb") as file:
                text = file.read().decode(errors="surrogateescape")
        except FileNotFoundError:
            return []
        return [path for path in text.split("\0") if path and is_inside(path)]

    def prepare(self, files: Files, patterns: "tuple[str, ...]" = ()) -> None:
        """Make sure that no attribute of the tree has a say over what git stores of ours; under the lock.

        Args:
            files: writes with the store's modes.
            patterns: which files, as in gitattributes(5); those that passhelper writes if there are none.
        """
        path = os.path.join(common_dir(self.git_dir), "info", "attributes")
        try:
            with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
                text = file.read()
        except FileNotFoundError:
            text = ""
        ours = [f"{pattern} {_UNTOUCHED}" for pattern in patterns or self._own]
        lines = text.split("\n")
        # Ours come last, for the last line that matches counts; earlier versions wrote one for every file.
        kept = [line for line in lines if not line.endswith(f" {_UNTOUCHED}")]
        text, before = "\n".join([*(kept[:-1] if kept[-1:] == [""] else kept), *ours, ""]), text
        if text == before:
            return
        files.make_directory(os.path.dirname(path))
        files.make_directory(self.state)
        files.replace(path, text.encode(errors="surrogateescape"), self.state)


def is_inside(path: str) -> bool:
    """Return whether a path that we have noted leads nowhere else: the file is ours, but it may be damaged."""
    return not os.path.isabs(path) and ".." not in path.replace(os.sep, "/").split("/")


def lines(paths: "list[str]") -> bytes:
    """Write paths for git's ``-z``, and for ours."""
    return "".join(f"{path}\0" for path in paths).encode(errors="surrogateescape")


def find(root: str, directory: str) -> "Repository | None":
    """Find the innermost repository for a directory, never one that begins above the store.

    Args:
        root: the store.
        directory: a path relative to it; it need not exist.

    Raises:
        StoreError: the ``.git`` there is not one that git would use.
    """
    path = os.path.join(root, directory)
    while True:
        git_dir = _git_dir(path)
        if git_dir:
            return Repository(path, git_dir, root)
        if path == root:
            return None
        path = os.path.dirname(path)


def _git_dir(folder: str) -> str:
    path = os.path.join(folder, ".git")
    if os.path.isdir(path):
        return path
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            text = file.read(4096)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    if not text.startswith("gitdir: "):
        raise StoreError(f"{path} is neither a git directory nor a pointer to one")
    return os.path.normpath(os.path.join(folder, text.removeprefix("gitdir: ").rstrip("\r\n")))


def common_dir(git_dir: str) -> str:
    """Follow gitrepository-layout(5): a linked work tree shares ``info/`` with its main repository."""
    try:
        with open(os.path.join(git_dir, "commondir"), encoding="utf-8", errors="surrogateescape") as file:
            return os.path.normpath(os.path.join(git_dir, file.read().rstrip("\n")))
    except FileNotFoundError:
        return git_dir


def program(environ: "Mapping[str, str]") -> str:
    """Find git.

    Raises:
        GitError: it is not installed.
    """
    found = find_program(("git",), environ)
    if found is None:
        raise GitError("git not found in PATH", "install git")
    return found


def environment(
    repository: Repository, environ: "Mapping[str, str]", settings: "Mapping[str, str] | None" = None
) -> "dict[str, str]":
    """Prepare the environment of a git child: this repository, no prompts.

    Args:
        repository: which.
        environ: the caller's environment.
        settings: what git is configured to, for one that may talk to a remote; without it, it can reach none.
    """
    cleaned = clean_environ(environ)
    for name in _AIMED_ELSEWHERE:
        cleaned.pop(name, None)
    for name, value in environ.items():
        # A trace into git's own stderr would pass for a complaint; one into a file is left to who asked for it.
        if name.startswith(_TRACES) and not os.path.isabs(value):
            cleaned.pop(name, None)
    cleaned["GIT_CEILING_DIRECTORIES"] = os.path.dirname(repository.root)
    cleaned["GIT_TERMINAL_PROMPT"] = "0"
    cleaned["GIT_LITERAL_PATHSPECS"] = "1"
    cleaned["GIT_ALLOW_PROTOCOL"] = "" if settings is None else transports(environ, settings)
    cleaned["GIT_OPTIONAL_LOCKS"] = "0"
    return cleaned


def start(argv: "Sequence[str]", environ: "Mapping[str, str]", **more: "Any") -> "Child":
    """Start a git; the arguments are those of :class:`passhelper.store.child.Child`."""
    from passhelper.store import child  # not in a store without git

    if ROOTLESS in environ:
        from passhelper.store import rootless  # only below rootless podman or buildah

        argv = [*rootless.prefix(environ), *argv]
    return child.Child(argv, environ, **more)


def changed_paths(status: "bytes | bytearray") -> "list[str]":
    """Read the paths from what :data:`STATUS` has printed, as git writes them."""
    return [os.fsdecode(bytes(line[3:])) for line in status.split(b"\0") if line]


def is_partial(repository: Repository) -> bool:
    """Return whether objects may be missing here that any git fetches when it needs them; no git is started for it."""
    try:
        with open(os.path.join(common_dir(repository.git_dir), "config"), "rb") as file:
            text = file.read().lower()
    except OSError:
        return False  # git will say what is wrong
    return b"promisor" in text or b"partialclone" in text


def transports(environ: "Mapping[str, str]", settings: "Mapping[str, str]") -> str:
    """Give the value of ``GIT_ALLOW_PROTOCOL`` for our git children, which counts for more than any setting.

    So it names no transport that git itself would refuse: not one that the caller's own variable leaves out, and
    without that variable not one that ``protocol.*.allow`` forbids, be it in the system's configuration.
    """
    given = environ.get("GIT_ALLOW_PROTOCOL")
    if given is not None:
        return ":".join(name for name in _TRANSPORTS if name in given.split(":"))
    # git-config(1), protocol.allow: a file is the user's only, and everything else of ours is always allowed.
    allowed = [_ALWAYS]
    if environ.get("GIT_PROTOCOL_FROM_USER", "1").lower() in TRUE:
        allowed.append(_USER)
    every = settings.get("protocol.allow", "")
    policies = {name: settings.get(f"protocol.{name}.allow", every) for name in _TRANSPORTS}
    return ":".join(
        name
        for name, policy in policies.items()
        if (policy.lower() or (_USER if name == "file" else _ALWAYS)) in allowed
    )


def command(repository: Repository, git: str, *, hooks: bool = False) -> "list[str]":
    """Begin an argv: git, in the repository, with everything off that a clone could bring along."""
    argv = [git, "-C", repository.root]
    for setting in (*_SAFE, *(() if hooks else ("core.hooksPath=/dev/null",))):
        argv += ["-c", setting]
    return argv


def without_filters(settings: "Mapping[str, str]") -> "list[str]":
    """Give the options with which git runs none of the filters that its settings name.

    Which files they are run on is up to ``.gitattributes`` files, which a remote can bring; git filters a file also to
    see whether it has changed.
    """
    names = {name[len("filter.") :].rpartition(".")[0] for name in settings if name.startswith("filter.")}
    values = [f"filter.{name}.{key}=" for name in sorted(names) for key in ("clean", "smudge", "process")]
    values += [f"filter.{name}.required=false" for name in sorted(names)]
    return [word for value in values for word in ("-c", value)]


def parse_settings(listing: str) -> "dict[str, str]":
    """Read ``git config --null --list``: the last value of each name, which is written as git prints it.

    Section and variable are in lower case there, what stands between them (a branch, a remote) is as it is.
    """
    found = {}
    for pair in listing.split("\0"):
        name, separator, value = pair.partition("\n")
        found[name] = value if separator else "true"
    return found
