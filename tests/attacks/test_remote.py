"""What each push of an attacker with write access to the remote comes to: see ``attackers.py`` for the scene.

After every attack nothing was executed, nothing outside the store has changed, alice's
work tree and branch are as they were, her credentials work, and mallory reads no other password, here or in what
she pushed.
"""

from __future__ import annotations

import pytest
from support import FOLDER, NOT_FOUND, Helper, run, tree
from support.people.attackers import (
    ACCEPT,
    ATTACKS,
    EVIL,
    LATER,
    MALLORYS,
    PROD,
    Scene,
    assert_unharmed,
    ids_of,
    place,
    snapshot,
)
from support.people.remotes import PLAIN, Member

from passhelper.store.store import PassStore
from passhelper.team.sync import clone


@pytest.mark.parametrize("name", ATTACKS)
def test_sync(scene: Scene, name: str) -> None:
    around, head = snapshot(scene), scene.alice.git("rev-parse", "HEAD")
    said = ATTACKS[name](scene)
    if scene.alice.git("rev-parse", "HEAD") != head:  # it took two steps, and the first was let in
        around, head = snapshot(scene), scene.alice.git("rev-parse", "HEAD")
    # A miss fetches, too, in a clone that syncs by itself.
    missed = scene.helper.get("https://missing.example", PASSHELPER_SYNC="pull")
    assert (missed.code, missed.out, missed.err) == (1, NOT_FOUND, b"")
    if said not in ("", "DRIFT"):
        assert (snapshot(scene), scene.alice.git("rev-parse", "HEAD")) == (around, head)
    answer = scene.passhelper("sync")
    if said == "":
        assert (answer.code, answer.err) == (0, b"")
        # What has come in lies there as it was pushed, and nowhere else.
        changed = {name: data for name, data in snapshot(scene).items() if around.get(name) != data}
        assert {name.removeprefix("store/"): data for name, data in changed.items() if data} == pushed(scene, head)
    elif said == "DRIFT":
        assert answer.code == 3
    else:
        assert (answer.code, answer.err.decode()) == (4, f"error: {said}\n")
        assert (snapshot(scene), scene.alice.git("rev-parse", "HEAD")) == (around, head)
        assert scene.passhelper("sync").code == 4  # asking again is not an answer
    assert_unharmed(scene)


def pushed(scene: Scene, before: str) -> dict[str, bytes]:
    """What the remote has that alice had not."""
    known = scene.remote.entries(before)
    return {path: scene.remote.read(path) for path, entry in scene.remote.entries().items() if known.get(path) != entry}


def test_the_traps_are_real_ones(scene: Scene) -> None:
    """Plain git runs the hooks, and a fresh clone by plain git the filter."""
    ATTACKS["adds hooks"](scene)
    scene.alice.ask("pull", "-q", "--ff-only")
    assert scene.sign.exists()
    scene.sign.unlink()
    ATTACKS["adds attributes with a filter"](scene)
    Member(scene.sign.parent / "plain", scene.alice.environ).clone(scene.remote.path)
    assert scene.sign.exists()


def test_a_copied_password_is_not_handed_out(scene: Scene) -> None:
    ATTACKS["copies prod's ciphertext under a host of his own"](scene)
    assert scene.passhelper("sync").code == 0
    answer = scene.helper.get(EVIL)
    assert answer.code == 1
    assert answer.text == (
        f"entry was moved here from another server: {place(EVIL, 'deploy.gpg')}; "
        "do not use it; find out who moved it, then store the credential again\n"
    )


def test_a_list_that_was_removed_here_stays_away(scene: Scene) -> None:
    """Mallory leaves: alice takes the list away that lets him in, while he edits a comment in it."""
    path = place(MALLORYS, ".gpg-id")
    scene.alice.git("rm", "-q", path)
    scene.alice.git("commit", "-q", "-m", "Mallory leaves")
    assert scene.passhelper("recipients", "accept", "--yes").code == 0
    head = scene.alice.git("rev-parse", "HEAD")
    commit = scene.remote.push({path: (PLAIN, b"# nothing but a comment\n" + scene.lines("alice", "bob")[1])})
    answer = scene.passhelper("sync")
    told = f"warning: changed on both sides: {path}: ours {head[:12]} over {commit[:12]}\n"
    assert (answer.code, answer.err.decode()) == (0, told)
    assert not (scene.alice.path / path).exists()
    assert list(scene.pins) == [".gpg-id"]
    assert scene.helper.store(MALLORYS, "mallory", "new").code == 0
    assert scene.passhelper("sync").code == 0
    assert scene.stolen() == scene.his
    assert path not in scene.remote.entries()


def test_a_list_that_others_removed_is_asked_about_though_it_changed_here(scene: Scene) -> None:
    """The same the other way round: without the list more can read, and nobody here has accepted that."""
    scene.his.add(b"new")
    scene.remote.push({place(PROD, ".gpg-id"): scene.lines("alice"), ".gpg-id": scene.lines("alice", "bob")})
    assert scene.passhelper("sync", "--accept-recipients", f"{scene.keys['alice']} {scene.keys['bob']}").code == 0
    path = place(PROD, ".gpg-id")
    (scene.alice.path / path).write_bytes(b"# only a comment\n" + scene.lines("alice")[1])
    scene.alice.git("commit", "-q", "-a", "-m", "Say why")
    commit = scene.remote.push({path: None})
    answer = scene.passhelper("sync")
    assert (answer.code, answer.err.decode()) == (
        4, f"error: recipients changed: {scene.name('-', 'alice')} ({path}) in commit {commit[:12]}\nhint: {ACCEPT}\n"
    )  # fmt: skip
    assert_unharmed(scene)


def test_a_branch_that_is_a_tag(scene: Scene) -> None:
    """A server answers what it likes: what is merged is the commit that was looked at."""
    commit = scene.remote.push({place(EVIL, "x.gpg"): (PLAIN, b"x")})
    text = f"object {commit}\ntype commit\ntag main\ntagger m <m@example.test> 1 +0000\n\nx\n"
    tag = scene.remote._object("tag", text.encode())
    (scene.remote.path / "refs" / "heads" / "main").write_text(f"{tag}\n")
    answer = scene.passhelper("sync")
    assert (answer.code, answer.err) == (0, b"")
    assert scene.alice.git("rev-parse", "HEAD") == commit
    scene.remote.point(scene.remote.commit(scene.remote._git("rev-parse", f"{commit}^{{tree}}"), [commit]))
    assert_unharmed(scene)


def test_an_automatic_pull_of_a_branch_that_is_a_tag(scene: Scene) -> None:
    """No branch of ours can be a tag: a change that ended in one could never be finished."""
    commit = scene.remote.push({f"{FOLDER}/Yi5leGFtcGxl/u.gpg": (PLAIN, scene.keys.encrypt(b"s", "alice"))})
    text = f"object {commit}\ntype commit\ntag main\ntagger m <m@example.test> 1 +0000\n\nx\n"
    tag = scene.remote._object("tag", text.encode())
    (scene.remote.path / "refs" / "heads" / "main").write_text(f"{tag}\n")
    assert scene.helper.get("b.example", PASSHELPER_SYNC="pull").json["Secret"] == "s"
    assert scene.alice.git("rev-parse", "HEAD") == commit
    assert scene.helper.store(LATER, "deploy", "new").code == 0
    assert not (scene.alice.path / ".git" / "passhelper" / "journal").exists()


# What the user accepts comes in, and only that


def test_accepting_a_member(scene: Scene) -> None:
    said = ATTACKS["adds a key"](scene)
    assert scene.passhelper("sync").code == 4
    shown = scene.passhelper("recipients", "accept")
    assert shown.code == 4
    lines = shown.text.splitlines()
    commit = said.partition(" in commit ")[2][:12]
    at = lines.index(f"in commit {commit} of the remote, which sync refused:")
    alice, bob = (f"{scene.keys[name]} {name} <{name}@example.test>" for name in ("alice", "bob"))
    assert set(lines[at + 1 :]) == {f"  {alice} (.gpg-id)", f"+ {bob} (.gpg-id)"}
    half = scene.passhelper("recipients", "accept", scene.keys["alice"])
    assert half.err.decode().startswith(f"error: the store also names {scene.keys['bob']}, so nothing was accepted\n")
    # Another one is pushed while the user thinks: that is not what was accepted.
    answer = scene.passhelper("recipients", "accept", scene.keys["alice"], scene.keys["bob"])
    assert answer.text.splitlines()[-1] == "accepted; run: passhelper sync"
    scene.remote.push({".gpg-id": scene.lines("alice", "bob", "stranger")})
    assert scene.passhelper("sync").code == 4
    scene.remote.push({".gpg-id": scene.lines("alice", "bob")})
    assert scene.passhelper("sync").code == 0
    assert scene.passhelper("recipients", "accept").text == "these recipients are accepted already\n"
    assert scene.helper.store(LATER, "deploy", "new").code == 0
    assert b"new" in {scene.keys.gpg("--decrypt", stdin=path.read_bytes()).stdout
                      for path in (scene.alice.path / place(LATER)).glob("*.gpg")
                      if scene.subkey("bob") in ids_of(path.read_bytes())}  # fmt: skip


def test_accepting_that_a_member_leaves(scene: Scene) -> None:
    """Who stays is named, and not who goes."""
    scene.remote.push({".gpg-id": scene.lines("alice", "bob")})
    assert scene.passhelper("sync").code == 4
    assert scene.passhelper("recipients", "accept", scene.keys["alice"], scene.keys["bob"]).code == 0
    assert scene.passhelper("sync").code == 0
    scene.remote.push({".gpg-id": scene.lines("alice")})
    assert scene.passhelper("sync").code == 4
    answer = scene.passhelper("recipients", "accept", scene.keys["bob"])
    assert answer.err.decode().startswith(
        f"error: the store also names {scene.keys['alice']}, so nothing was accepted\n"
    )
    answer = scene.passhelper("recipients", "accept", scene.keys["alice"])
    assert (answer.code, answer.text.splitlines()[-1]) == (0, "accepted; run: passhelper sync")
    assert scene.passhelper("sync").code in (0, 3)
    assert scene.pins[".gpg-id"] == [scene.keys["alice"]]


@pytest.mark.parametrize("name", ["rewrites history", "rolls history back", "dates a commit in 2099"])
def test_accepting_a_history(scene: Scene, name: str) -> None:
    said = ATTACKS[name](scene).partition("\n")[0]
    assert scene.passhelper("sync").code == 4
    named = scene.passhelper("recipients", "accept", *(scene.keys[name] for name in ("alice", "bob")))
    told = "the fingerprints say nothing about this, so nothing was accepted: "
    assert (named.code, told + said in named.err.decode()) == (4, True), named
    assert scene.passhelper("sync").code == 4
    shown = scene.passhelper("recipients", "accept", "--yes")
    assert (shown.code, shown.text.splitlines()[-1]) == (0, "accepted; run: passhelper sync")
    assert f"! {said}" in shown.text.splitlines()
    assert scene.passhelper("sync").code in (0, 3)
    assert scene.passhelper("sync").code in (0, 3)
    assert scene.alice.git("merge-base", "--is-ancestor", scene.remote.head, "HEAD") == ""


def test_what_was_accepted_is_no_store_of_lists_to_choose_from(scene: Scene) -> None:
    """Mallory may read everything but prod, in one commit: without prod's own list that is another thing."""
    scene.his.add(b"new")
    scene.remote.push({".gpg-id": scene.lines("alice", "bob"), place(PROD, ".gpg-id"): scene.lines("alice")})
    assert scene.passhelper("sync").code == 4
    assert scene.passhelper("recipients", "accept", "--yes").code == 0
    whole = scene.remote.head
    commit = scene.remote.push({place(PROD, ".gpg-id"): None})
    answer = scene.passhelper("sync")
    assert (answer.code, answer.err.decode()) == (
        4, f"error: recipients changed: {scene.name('+', 'bob')} (.gpg-id) in commit {commit[:12]}\nhint: {ACCEPT}\n"
    )  # fmt: skip
    assert scene.stolen() <= scene.his
    scene.remote.point(whole)  # the very commit that was accepted still is
    assert scene.passhelper("sync").code == 0
    assert scene.pins[place(PROD, ".gpg-id")] == [scene.keys["alice"]]
    assert_unharmed(scene)


def test_a_list_that_names_nobody_is_shown(scene: Scene) -> None:
    scene.remote.push({place(PROD, ".gpg-id"): (PLAIN, b"# nobody\n")})
    assert scene.passhelper("sync").code == 4
    shown = scene.passhelper("recipients", "accept")
    said = f"a list that names nobody ({place(PROD, '.gpg-id')})"
    assert f"+ {said}" in shown.text.splitlines()
    known = scene.pins
    answer = scene.passhelper("recipients", "accept", scene.keys["alice"], scene.keys["bob"])
    assert (answer.code, scene.pins) == (4, known)
    assert answer.err.decode() == (
        f"error: the fingerprints say nothing about this, so nothing was accepted: {said}\n"
        "hint: find out who did it; to accept it, run it again with --yes\n"
    )
    assert scene.passhelper("sync").code == 4
    assert scene.passhelper("recipients", "accept", "--yes", scene.keys["alice"], scene.keys["bob"]).code == 0
    assert scene.passhelper("sync").code == 0


def test_whom_a_list_that_goes_lets_in_is_shown(scene: Scene) -> None:
    """To take alice from the list of prod's readers, as it looks, lets bob read prod."""
    scene.remote.push({".gpg-id": scene.lines("alice", "bob"), place(PROD, ".gpg-id"): scene.lines("alice")})
    names = [scene.keys["alice"], scene.keys["bob"]]
    assert scene.passhelper("sync", "--accept-recipients", " ".join(names)).code in (0, 3)
    scene.remote.push({place(PROD, ".gpg-id"): None})
    assert scene.passhelper("sync").code == 4
    said = f"! {place(PROD, '.gpg-id')} is removed, so its entries are for: {', '.join(sorted(names))}"
    assert said in scene.passhelper("recipients", "accept").text.splitlines()


# The first clone


@pytest.mark.parametrize("name", ATTACKS)
def test_first_clone(scene: Scene, name: str) -> None:
    """What a sync refuses is refused; readers are shown, for there is nothing to compare them with."""
    said = ATTACKS[name](scene)
    home = scene.sign.parent / "new" / "home"
    home.mkdir(parents=True)
    store = home.parent / "store"
    environ = {"PASSWORD_STORE_DIR": str(store), "HOME": str(home)}
    around = tree(scene.sign.parent)
    answer = scene.passhelper("setup", "--git", f"file://{scene.remote.path}", "--no-docker", **environ)
    new = {path for path in tree(scene.sign.parent) if path not in around}
    assert not scene.sign.exists()
    assert {path.split("/")[0] for path in new} <= {"new"}
    refused = (" brings ", " sends what git refuses: ", "not a key:", "ahead of this clock")
    if any(words in said for words in refused):
        assert answer.code == 4, answer
        assert said.partition("\nhint: ")[0] in answer.err.decode()
        assert not any(path.startswith("new/store") and not path.startswith("new/store/.git") for path in new)
        assert not store.exists() or not list(store.iterdir())
    else:
        assert answer.code in (0, 1), answer  # 1: this test's PATH has no launcher
        head = Member(store, scene.alice.environ).git("rev-parse", "HEAD")
        assert head == scene.remote.head


def test_the_first_clone_of_a_history_from_the_future(scene: Scene) -> None:
    """The remedy is one that works, and what was taken so can be looked at."""
    said = ATTACKS["dates a commit beyond all calendars"](scene).partition("\n")[0]
    environ = {"PASSWORD_STORE_DIR": str(scene.sign.parent / "new")}
    arguments = ("setup", "--git", f"file://{scene.remote.path}", "--no-docker")
    answer = scene.passhelper(*arguments, **environ)
    head = scene.remote.head
    assert (answer.code, answer.err.decode().splitlines()[-2:]) == (
        4, [f"error: {said}", f"hint: check this clock; to accept it, set PASSHELPER_STORE_COMMIT={head}"]
    )  # fmt: skip
    older = scene.remote.history()[2]
    assert scene.passhelper(*arguments, **environ, PASSHELPER_STORE_COMMIT=older).code == 4
    answer = scene.passhelper(*arguments, **environ, PASSHELPER_STORE_COMMIT=head)
    assert answer.code in (0, 1), answer  # 1: this test's PATH has no launcher
    log = scene.passhelper("log", **environ)
    assert (log.code, f"{1 << 62} seconds after 1970" in log.text) == (0, True)
    for command in (["log", "--json"], ["list", "--json"], ["doctor"], ["sync"]):
        answer = scene.passhelper(*command, **environ)
        assert b"internal error" not in answer.err
        assert answer.code in ((0, 1) if command == ["doctor"] else (0,)), answer  # 1: as above


@pytest.mark.parametrize("url", ["{}", "file://{}"])
def test_the_first_clone_looks_at_objects_as_git_does(scene: Scene, url: str) -> None:
    """Of a plain path git would copy the files as they are."""
    tree = scene.remote._git("rev-parse", "main^{tree}")
    data = f"tree {tree}\nparent {scene.remote.head}\nauthor m <m> 1 +0000\ncommitter m <m 1 +0000\n\nx\n"
    commit = scene.remote._object("commit", data.encode())
    scene.remote.point(commit)
    answer = scene.passhelper("setup", "--git", url.format(scene.remote.path), "--no-docker",
                              PASSWORD_STORE_DIR=str(scene.sign.parent / "new"))  # fmt: skip
    assert answer.code == 4, answer
    assert f"the remote sends what git refuses: object {commit[:12]}: " in answer.err.decode()


def test_a_clone_that_was_killed_before_anything_was_accepted(scene: Scene) -> None:
    """Such a one is not taken for a store of one's own, whose recipients the first write would pin."""
    ATTACKS["adds a key"](scene)
    environ = {**scene.alice.environ, "PASSWORD_STORE_DIR": str(scene.sign.parent / "new")}
    clone.clone(PassStore(environ, print), clone.Source(str(scene.remote.path)))
    answer = Helper(scene.installed.helper, environ).store(LATER, "deploy", "new")
    assert answer.code == 1
    words = " ".join(sorted([scene.name("+", "alice"), scene.name("+", "bob")]))
    assert answer.text == f"recipients changed: {words} (.gpg-id); {ACCEPT}\n"


@pytest.mark.parametrize("removed", [False, True])
def test_a_store_without_its_folder_is_mended(scene: Scene, *, removed: bool) -> None:
    """Plain git has taken over a file in the place of the folder; the remote was mended since."""
    good = scene.remote.entries()
    ATTACKS["puts a file in the place of the folder"](scene)
    scene.alice.git("pull", "-q", "--ff-only")
    answer = scene.passhelper("sync")
    folder = scene.alice.path / FOLDER
    assert (answer.code, answer.err.decode()) == (1, f"error: {folder} is not a directory\nhint: remove it\n")
    scene.remote.point(scene.remote.commit(scene.remote._tree(good), ["main"]))
    if removed:  # as the hint says; or by itself
        folder.unlink()
    assert scene.passhelper("sync").code == 0
    assert_unharmed(scene)


def test_the_first_look(scene: Scene) -> None:
    """What plain git has cloned is pinned as it is found, by the first write: SECURITY.md says so."""
    ATTACKS["adds a key"](scene)
    late = Member(scene.sign.parent / "late", scene.alice.environ)
    late.clone(scene.remote.path)
    helper = Helper(scene.installed.helper, late.environ)
    assert helper.store(LATER, "deploy", "new").code == 0
    assert scene.subkey("bob") in ids_of(next((late.path / place(LATER)).glob("*.gpg")).read_bytes())
    # From then on nobody is added.
    scene.remote.push({".gpg-id": scene.lines("alice", "bob", "stranger")})
    late.git("pull", "-q", "--no-rebase")
    assert helper.store(LATER, "deploy", "newer").text.startswith(
        f"recipients changed: {scene.name('+', 'stranger')} (.gpg-id)"
    )


def test_a_runner_is_attacked(scene: Scene) -> None:
    """``setup --ci`` refuses the same files, and accepts nobody whom its environment does not name."""
    where = {"PASSHELPER_STORE_URL": str(scene.remote.path), "XDG_RUNTIME_DIR": str(scene.keys.home.parent)}
    key = scene.keys.gpg("--export-secret-keys", "--armor", scene.keys["alice"]).stdout.decode()
    environ = {name: value for name, value in scene.alice.environ.items()
               if name not in ("GNUPGHOME", "PASSWORD_STORE_DIR")}  # fmt: skip
    ATTACKS["makes a server a link to another"](scene)
    answer = run([scene.installed.passhelper, "setup", "--ci"], {**environ, **where, "PASSHELPER_GPG_KEY": key})
    assert (answer.code, answer.out) == (4, b"false\n")
    assert f"brings a symbolic link: {place(PROD)}" in answer.err.decode()
