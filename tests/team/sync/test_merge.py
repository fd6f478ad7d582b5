"""The merge of two histories, computed from git's objects: who wins, and that every clone decides alike."""

from __future__ import annotations

import base64
import random
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from support import FOLDER, require
from support.people.remotes import PLAIN, Remote

from passhelper.errors import StoreError, TrustError
from passhelper.store.repository import Repository
from passhelper.team.git import gitrepo, trees
from passhelper.team.git.commits import MARK, SAME
from passhelper.team.sync.merge import Conflict, Merger, unit_of

A, B = "https://a.example", "https://b.example"
NOW = 1_700_000_000


def entry(server: str, user: str = "u") -> str:
    return f"{FOLDER}/{base64.urlsafe_b64encode(server.encode()).decode()}/{user}.gpg"


class Lab:
    """Commits in a bare repository, and their merges."""

    def __init__(self, remote: Remote, git: gitrepo.Git) -> None:
        self.remote = remote
        self.git = git
        self.signed: list[tuple[str, bytes]] = []

    def commit(
        self, changes: Mapping[str, bytes | None], *parents: str, when: int = NOW, subject: str = "Change"
    ) -> str:
        """Commit changes to the first parent's tree."""
        files = dict(self.remote.entries(parents[0])) if parents else {}
        for path, data in changes.items():
            files.pop(path, None)
            if data is not None:
                files[path] = (PLAIN, self.remote._object("blob", data))
        return self.remote.commit(self.remote._tree(files), list(parents), when=when, subject=subject)

    def sign(self, path: str, text: bytes, *, was_signed: bool) -> tuple[bytes, bytes | None]:
        self.signed.append((path, text))
        return text, b"signature of " + text if was_signed else None

    def merge(self, ours: str, theirs: str) -> tuple[dict[str, bytes], list[Conflict]]:
        """Merge; gives what the merged tree holds."""
        tree, conflicts = self.tree(ours, theirs)
        listed = self.remote._git("ls-tree", "-r", "-z", "--name-only", tree).split("\0")
        return {path: self.remote.read(path, tree) for path in listed if path}, conflicts

    def tree(self, ours: str, theirs: str) -> tuple[str, list[Conflict]]:
        bases = self.git.ask("merge-base", "--all", ours, theirs).stdout.decode().split()
        merger = Merger(self.git, f"{FOLDER}/", self.sign)
        merged = merger.merge(ours, theirs, bases)
        merger.sign(merged)
        return trees.write(self.git, ours, merged.changes), merged.conflicts

    def both(self, ours: str, theirs: str) -> tuple[dict[str, bytes], list[Conflict]]:
        """Merge on either side; both come to the same tree, and to the same winners, seen from the other side."""
        here, found = self.merge(ours, theirs)
        there, seen = self.merge(theirs, ours)
        assert here == there
        other = {"ours": "theirs", "theirs": "ours", "both": "both"}
        assert found == [Conflict(one.kind, one.name, other[one.winner], one.winning, one.losing) for one in seen]
        return here, found


@pytest.fixture
def lab(tmp_path: Path, environ: dict[str, str]) -> Iterator[Lab]:
    require("git")
    remote = Remote(tmp_path / "repo.git", environ)
    with gitrepo.opened(Repository(str(remote.path), str(remote.path)), environ) as git:
        yield Lab(remote, git)


@pytest.fixture
def base(lab: Lab) -> str:
    return lab.commit({entry(A): b"a", entry(B): b"b", ".gpg-id": b"K1\n"}, when=NOW - 1000)


# Who wins


def test_changes_of_different_servers_are_no_conflict(lab: Lab, base: str) -> None:
    merged, found = lab.both(lab.commit({entry(A): b"new a"}, base), lab.commit({entry(B): None}, base))
    assert (merged[entry(A)], found) == (b"new a", [])
    assert entry(B) not in merged


def test_the_later_commit_wins(lab: Lab, base: str) -> None:
    earlier = lab.commit({entry(A): b"earlier"}, base, when=NOW)
    later = lab.commit({entry(A): b"later"}, base, when=NOW + 1)
    merged, found = lab.both(earlier, later)
    assert merged[entry(A)] == b"later"
    assert found == [Conflict("server", A, "theirs", later, earlier)]


def test_in_the_same_second_the_greater_id_wins(lab: Lab, base: str) -> None:
    sides = [lab.commit({entry(A): data}, base) for data in (b"one", b"two")]
    merged, found = lab.both(*sides)
    winner = max(sides)
    assert merged[entry(A)] == lab.remote.read(entry(A), winner)
    assert [one.winning for one in found] == [winner]


@pytest.mark.parametrize("deleted_at", [NOW - 1, NOW + 1])
def test_a_change_against_a_deletion(lab: Lab, base: str, deleted_at: int) -> None:
    changed = lab.commit({entry(A): b"new"}, base, when=NOW)
    deleted = lab.commit({entry(A): None}, base, when=deleted_at)
    merged, found = lab.both(changed, deleted)
    assert merged.get(entry(A)) == (None if deleted_at > NOW else b"new")
    assert len(found) == 1


def test_both_added_the_same_server(lab: Lab, base: str) -> None:
    server = "https://new.example"
    first = lab.commit({entry(server, "x"): b"x"}, base, when=NOW)
    second = lab.commit({entry(server, "y"): b"y"}, base, when=NOW + 5)
    merged, _ = lab.both(first, second)
    assert [path for path in merged if server_directory(server) in path] == [entry(server, "y")]


def server_directory(server: str) -> str:
    return entry(server).split("/")[1]


def test_another_username_on_each_side_leaves_one(lab: Lab, base: str) -> None:
    ours = lab.commit({entry(A): None, entry(A, "ann"): b"ann"}, base, when=NOW + 9)
    theirs = lab.commit({entry(A): None, entry(A, "bob"): b"bob"}, base, when=NOW)
    merged, found = lab.both(ours, theirs)
    assert [path for path in merged if server_directory(A) in path] == [entry(A, "ann")]
    assert [one.winner for one in found] == ["ours"]


def test_two_spellings_of_a_directory_are_one_server(lab: Lab, base: str) -> None:
    bare = entry(A, "ann").replace("=", "")
    assert bare != entry(A, "ann")
    ours = lab.commit({bare: b"ann"}, base, when=NOW + 9)
    theirs = lab.commit({entry(A): b"new"}, base, when=NOW)
    merged, found = lab.both(ours, theirs)
    assert (merged[entry(A)], merged[bare]) == (b"a", b"ann")
    assert len(found) == 1


def test_the_same_change_on_both_sides_is_no_conflict(lab: Lab, base: str) -> None:
    merged, found = lab.both(lab.commit({entry(A): b"n"}, base), lab.commit({entry(A): b"n", entry(B): b"n"}, base))
    assert (merged[entry(A)], merged[entry(B)], found) == (b"n", b"n", [])


def test_what_was_undone_has_not_changed(lab: Lab, base: str) -> None:
    undone = lab.commit({entry(A): b"a"}, lab.commit({entry(A): b"try"}, base), when=NOW + 100)
    changed = lab.commit({entry(A): b"new"}, base, when=NOW)
    merged, found = lab.both(undone, changed)
    assert (merged[entry(A)], found) == (b"new", [])


def test_a_clock_that_runs_behind_does_not_undo_what_it_built_on(lab: Lab, base: str) -> None:
    """The side counts, not its last commit: the greatest stamp of a side speaks for the state it came to."""
    first = lab.commit({entry(A): b"first"}, base, when=NOW + 100)
    last = lab.commit({entry(A): b"last"}, first, when=NOW - 100)
    other = lab.commit({entry(A): b"other"}, base, when=NOW)
    merged, found = lab.both(last, other)
    assert merged[entry(A)] == b"last"
    assert found == [Conflict("server", A, "ours", first, other)]


def test_merges_decide_nothing(lab: Lab, base: str) -> None:
    ours = lab.commit({entry(A): b"ours"}, base, when=NOW)
    theirs = lab.commit({entry(A): b"theirs"}, base, when=NOW + 1)
    side = lab.commit({entry(B): b"side"}, base, when=NOW)
    late_merge = lab.commit({entry(A): b"ours", entry(B): b"side"}, ours, side, when=NOW + 500)
    merged, _ = lab.both(late_merge, theirs)
    assert (merged[entry(A)], merged[entry(B)]) == (b"theirs", b"side")


def test_what_sync_took_over_decides_nothing(lab: Lab, base: str) -> None:
    """A merge that was killed and could only be kept as an ordinary commit holds what others have decided."""
    others = lab.commit({entry(A): b"first"}, base, when=NOW)
    newer = lab.commit({entry(A): b"second"}, others, when=NOW + 1)
    kept = lab.commit({entry(A): b"first"}, base, when=NOW + 500, subject=f"Take over\n\n{MARK}")
    merged, found = lab.both(kept, newer)
    assert (merged[entry(A)], found) == (b"second", [])


def test_a_change_wins_over_a_later_re_encryption(lab: Lab, base: str) -> None:
    again = f"Add a recipient\n\n{SAME}"
    rekeyed = lab.commit({entry(A): b"again", entry(B): b"again"}, base, when=NOW + 500, subject=again)
    changed = lab.commit({entry(A): b"new"}, base, when=NOW)
    merged, found = lab.both(rekeyed, changed)
    assert (merged[entry(A)], merged[entry(B)]) == (b"new", b"again")
    assert [one.winning for one in found] == [changed]
    later = lab.commit({entry(A): b"once more"}, base, when=NOW + 501, subject=again)
    assert lab.both(rekeyed, later)[0][entry(A)] == b"once more"
    both = lab.commit({entry(A): b"changed again"}, changed, when=NOW + 2, subject=again)
    other = lab.commit({entry(A): b"other"}, base, when=NOW + 1)
    assert lab.both(both, other)[0][entry(A)] == b"other"


def test_other_files_are_merged_one_by_one(lab: Lab, base: str) -> None:
    ours = lab.commit({".public-keys/AA": b"1", "README": b"1"}, base, when=NOW)
    theirs = lab.commit({".public-keys/BB": b"2", "README": b"2"}, base, when=NOW + 1)
    merged, found = lab.both(ours, theirs)
    assert (merged[".public-keys/AA"], merged[".public-keys/BB"], merged["README"]) == (b"1", b"2", b"2")
    assert [(one.kind, one.name) for one in found] == [("file", "README")]


def test_a_file_and_a_folder_of_one_name(lab: Lab, base: str) -> None:
    ours, theirs = lab.commit({"x": b"1"}, base), lab.commit({"x/y": b"2"}, base)
    with pytest.raises(StoreError, match="x is a file on one side and a folder on the other"):
        lab.merge(ours, theirs)


def test_a_folder_takes_the_place_of_a_file(lab: Lab, base: str) -> None:
    start = lab.commit({"x": b"1", "d/e/f": b"1"}, base)
    ours = lab.commit({entry(A): b"new"}, start)
    theirs = lab.commit({"x": None, "x/y": b"2", "d/e/f": None, "d": b"3"}, start)
    merged, _ = lab.both(ours, theirs)
    assert (merged["x/y"], merged["d"], merged[entry(A)]) == (b"2", b"3", b"new")


# Histories that git finds hard


def test_histories_without_a_common_commit(lab: Lab, base: str) -> None:
    other = lab.commit({entry(A): b"other", entry("https://c.example"): b"c", ".gpg-id": b"K2\n"}, when=NOW + 1)
    merged, found = lab.both(base, other)
    assert (merged[entry(A)], merged[entry(B)], merged[entry("https://c.example")]) == (b"other", b"b", b"c")
    assert set(merged[".gpg-id"].split()) == {b"K1", b"K2"}
    assert sorted(one.name for one in found) == [".gpg-id", A]


def test_several_merge_bases(lab: Lab, base: str) -> None:
    """Two clones merged the same at once, went on, and meet again."""
    x = lab.commit({entry(A): b"x"}, base, when=NOW)
    y = lab.commit({entry(A): b"y", entry(B): b"y"}, base, when=NOW + 1)
    first = lab.remote.commit(lab.tree(x, y)[0], [x, y], when=NOW + 2)
    second = lab.remote.commit(lab.tree(y, x)[0], [y, x], when=NOW + 3)
    assert len(lab.remote._git("merge-base", "--all", first, second).split()) == 2
    merged, found = lab.both(first, second)
    assert (merged[entry(A)], merged[entry(B)], found) == (b"y", b"y", [])
    merged, found = lab.both(lab.commit({entry(A): b"newest"}, first, when=NOW + 4), second)
    assert (merged[entry(A)], found) == (b"newest", [])
    merged, found = lab.both(
        lab.commit({entry(A): b"l"}, first, when=NOW + 4), lab.commit({entry(A): b"r"}, second, when=NOW + 5)
    )
    assert (merged[entry(A)], len(found)) == (b"r", 1)


@pytest.mark.parametrize("last", [NOW + 200, NOW - 200])
def test_what_went_back_to_one_of_several_merge_bases_has_changed(lab: Lab, base: str, last: int) -> None:
    """Whichever of them git finds first: the winner's side ends with a commit that is newer or older than the other."""
    x = lab.commit({entry(B): b"x"}, lab.commit({entry(A): b"x"}, base, when=NOW + 100), when=last)
    y = lab.commit({entry(A): b"y"}, base, when=NOW)
    first = lab.remote.commit(lab.tree(x, y)[0], [x, y], when=NOW + 300)
    second = lab.remote.commit(lab.tree(y, x)[0], [y, x], when=NOW + 301)
    merged, found = lab.both(lab.commit({entry(A): b"y"}, first, when=NOW + 302), second)
    assert (merged[entry(A)], found) == (b"y", [])


def test_two_merges_resolved_by_hand(lab: Lab, base: str) -> None:
    x, y = (lab.commit({entry(A): data}, base, when=NOW) for data in (b"x", b"y"))
    first = lab.commit({entry(A): b"p"}, x, y, when=NOW + 2)
    second = lab.commit({entry(A): b"q"}, y, x, when=NOW + 3)
    merged, found = lab.both(first, second)
    assert (merged[entry(A)], [one.winning for one in found]) == (b"q", [second])


@pytest.mark.parametrize("seed", range(8))
def test_every_clone_decides_alike(lab: Lab, base: str, seed: int) -> None:
    """Random histories with bad clocks, deletions and merges of merges: whoever merges, the tree is the same."""
    chance = random.Random(seed)
    servers = [f"https://{name}.example" for name in "abcd"]
    tips = [base, base, base]
    for _ in range(14):
        at = chance.randrange(len(tips))
        if chance.random() < 0.25:
            other = chance.choice([tip for tip in tips if tip != tips[at]] or [base])
            tree, _ = lab.tree(tips[at], other)
            tips[at] = lab.remote.commit(tree, [tips[at], other], when=NOW + chance.randrange(50))
            continue
        server = chance.choice(servers)
        here = [path for path in lab.remote.entries(tips[at]) if server_directory(server) in path]
        changes: dict[str, bytes | None] = dict.fromkeys(here)
        if not here or chance.random() < 0.7:
            changes[entry(server, chance.choice("uv"))] = chance.randbytes(4)
        tips[at] = lab.commit(changes, tips[at], when=NOW + chance.randrange(50))
    for ours, theirs in ((0, 1), (1, 2), (2, 0)):
        merged, _ = lab.both(tips[ours], tips[theirs])
        for server in servers:
            assert len([path for path in merged if server_directory(server) in path]) <= 1


# Lists of recipients


@pytest.mark.parametrize(
    ("start", "ours", "theirs", "merged"),
    [
        ("K1 K2", "K1 K2 K3", "K1 K2 K4", "K1 K2 K3 K4"),
        ("K1 K2", "K1", "K1 K2 K3", "K1 K3"),
        ("K1 K2", "K1", "K1", "K1"),
        ("K1 K2 K3", "K1 K2", "K2 K3", "K2"),
        ("K1", "K1 K2", "K1 K2", "K1 K2"),
        ("", "K1 K2", "K1 K3", "K1 K2 K3"),
        ("K1", "", "K1 K2", "K1 K2"),
        ("K1 K2", "", "K1", "K1"),
    ],
)
def test_recipients_are_merged_as_a_set(lab: Lab, base: str, start: str, ours: str, theirs: str, merged: str) -> None:
    path = f"{FOLDER}/.gpg-id"

    def lines(keys: str) -> bytes | None:
        return "".join(f"{key}\n" for key in keys.split()).encode() or None

    root = lab.commit({path: lines(start)}, base)
    left, right = lab.commit({path: lines(ours)}, root, when=NOW), lab.commit({path: lines(theirs)}, root, when=NOW + 1)
    found, _ = lab.both(left, right)
    assert set(found[path].decode().split()) == set(merged.split())


@pytest.mark.parametrize("later", [1, -1])
def test_a_removal_is_not_undone_by_the_other_side_of_a_criss_cross(lab: Lab, base: str, later: int) -> None:
    """Whatever order git finds the merge bases in."""
    start = lab.commit({".gpg-id": b"K1\nK2\n"}, base)
    without = lab.commit({".gpg-id": b"K1\n"}, start, when=NOW)
    more = lab.commit({".gpg-id": b"K1\nK2\nK3\n"}, start, when=NOW + later)
    first = lab.remote.commit(lab.tree(without, more)[0], [without, more])
    second = lab.remote.commit(lab.tree(more, without)[0], [more, without])
    left = lab.commit({".gpg-id": b"K1\nK3\nK5\n"}, first, when=NOW + 8)
    right = lab.commit({".gpg-id": b"K1\nK3\nK2\n"}, second, when=NOW + 9)
    merged, _ = lab.both(left, right)
    assert set(merged[".gpg-id"].split()) == {b"K1", b"K3", b"K5"}


@pytest.mark.parametrize("later", [1, -1])
@pytest.mark.parametrize("text", [b"# a comment\nK1\nK2\n", b"K2\r\nK1 # first\n", b"K1\nK2"])
def test_a_removed_list_does_not_come_back_for_a_comment(lab: Lab, base: str, text: bytes, later: int) -> None:
    path = f"{FOLDER}/.gpg-id"
    start = lab.commit({path: b"K1\nK2\n", f"{path}.sig": b"x"}, base)
    gone = lab.commit({path: None, f"{path}.sig": None}, start, when=NOW)
    edited = lab.commit({path: text, f"{path}.sig": b"y"}, start, when=NOW + later)
    merged, found = lab.both(gone, edited)
    assert not {path, f"{path}.sig"} & merged.keys()
    assert [(one.kind, one.winner) for one in found] == [("recipients", "ours")]


def test_comments_stay_with_their_keys(lab: Lab, base: str) -> None:
    start = lab.commit({".gpg-id": b"# team\n\n# ann\nK1\nK2 # bob\n# the end\n"}, base)
    ours = lab.commit({".gpg-id": b"# team\n\n# ann\nK1\n# carl\nK3\n# the end\n"}, start, when=NOW + 5)
    theirs = lab.commit({".gpg-id": b"# team\n\n# ann\nK1\nK2 # bob\n# dora\n# of ops\nK4 # dora\n# the end\n"}, start)
    merged, found = lab.both(ours, theirs)
    assert merged[".gpg-id"] == b"# team\n# ann\nK1\n# carl\nK3\n# dora\n# of ops\nK4 # dora\n# the end\n"
    assert found == [Conflict("recipients", ".gpg-id", "both")]


def test_a_list_that_would_name_nobody(lab: Lab, base: str) -> None:
    start = lab.commit({".gpg-id": b"K1\nK2\n"}, base)
    with pytest.raises(TrustError, match=r"removed every key from \.gpg-id"):
        lab.merge(lab.commit({".gpg-id": b"K1\n"}, start), lab.commit({".gpg-id": b"K2\n"}, start))


def test_a_signed_list_keeps_its_signature_or_gets_a_new_one(lab: Lab, base: str) -> None:
    def signed(serial: int, *keys: str) -> dict[str, bytes | None]:
        text = f"# passhelper .gpg-id {serial}\n".encode() + "".join(f"{key}\n" for key in keys).encode()
        return {".gpg-id": text, ".gpg-id.sig": b"good " + text}

    start = lab.commit(signed(1, "K1", "K2"), base)
    less = lab.commit(signed(2, "K1"), start, when=NOW)
    same = lab.commit(signed(3, "K1"), start, when=NOW + 1)
    merged, _ = lab.both(less, same)
    assert merged[".gpg-id.sig"] == b"good " + merged[".gpg-id"]
    assert lab.signed == []
    more = lab.commit(signed(7, "K1", "K2", "K3"), start, when=NOW + 1)
    merged, _ = lab.both(less, more)
    assert merged[".gpg-id"] == b"# passhelper .gpg-id 8\nK1\nK3\n"
    assert merged[".gpg-id.sig"] == b"signature of " + merged[".gpg-id"]
    assert lab.signed == [(".gpg-id", merged[".gpg-id"])] * 2


def test_a_list_that_is_none_is_named(lab: Lab, base: str) -> None:
    ours, theirs = lab.commit({".gpg-id": b"K1\nK2\n"}, base), lab.commit({".gpg-id": b"-rf\n"}, base)
    with pytest.raises(StoreError, match=r"\.gpg-id has a line that is not a key"):
        lab.merge(ours, theirs)


# Units


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        (entry(A), ("server", A)),
        (entry(A, "deep/user"), ("server", A)),
        (f"{FOLDER}/{server_directory(A)}/.gpg-id", ("recipients", f"{FOLDER}/{server_directory(A)}/.gpg-id")),
        (f"{FOLDER}/{server_directory(A)}/.gpg-id.sig", ("recipients", f"{FOLDER}/{server_directory(A)}/.gpg-id")),
        (f"{FOLDER}/.gitattributes", ("file", f"{FOLDER}/.gitattributes")),
        (f"{FOLDER}/not base64/x.gpg", ("file", f"{FOLDER}/not base64/x.gpg")),
        ("personal/mail.gpg", ("file", "personal/mail.gpg")),
        (".public-keys/AA", ("file", ".public-keys/AA")),
    ],
)
def test_units(path: str, unit: tuple[str, str]) -> None:
    assert unit_of(path, f"{FOLDER}/") == unit


def test_units_of_a_repository_below_the_store() -> None:
    assert unit_of(entry(A).removeprefix(f"{FOLDER}/"), "") == ("server", A)
