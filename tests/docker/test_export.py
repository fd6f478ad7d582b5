"""``passhelper export``: files that real clients read, and secrets that nobody else sees."""

from __future__ import annotations

import base64
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from support import FOLDER, NOT_FOUND, Helper, KeyRing, Program, require, run
from support.machines.new import Command
from support.people.terminals import Person

from passhelper.docker import export as exporting
from passhelper.errors import ConfigurationError
from passhelper.machine.privatefile import PrivateFile

HUB = "https://index.docker.io/v1/"
SECRET = "cänary:☃"


def auth(username: str, password: str) -> str:
    return base64.b64encode(f"{username}:{password}".encode()).decode()


@pytest.fixture
def filled(store: Path, helper: Helper) -> Path:
    """A store with one credential of each kind."""
    for server, username in (("q.io", "alice"), (HUB, "bob"), ("t.io", "<token>"), ("https://p.io/team", "carol")):
        assert helper.store(server, username, SECRET).code == 0
    return store


def test_dockerconfigjson(passhelper: Command, filled: Path) -> None:
    answer = passhelper("export", "--format", "dockerconfigjson")
    assert answer.code == 0
    assert answer.err.decode() == (
        "warning: the credential of t.io is an identity token, with which Kubernetes cannot pull; "
        "for a pull secret log in with a password or an access token\n"
    )
    assert answer.json == {"auths": {
        HUB: {"username": "bob", "password": SECRET, "auth": auth("bob", SECRET)},
        "https://p.io/team": {"username": "carol", "password": SECRET, "auth": auth("carol", SECRET)},
        "q.io": {"username": "alice", "password": SECRET, "auth": auth("alice", SECRET)},
        "t.io": {"auth": auth("<token>", ""), "identitytoken": SECRET},
    }}  # fmt: skip


def test_auth_json(passhelper: Command, filled: Path) -> None:
    answer = passhelper("export", "--format", "auth.json")
    assert (answer.code, answer.err) == (0, b"")
    assert answer.json == {"auths": {
        "docker.io": {"auth": auth("bob", SECRET)},
        "p.io/team": {"auth": auth("carol", SECRET)},
        "q.io": {"auth": auth("alice", SECRET)},
        "t.io": {"auth": auth("<token>", ""), "identitytoken": SECRET},
    }}  # fmt: skip


@pytest.mark.parametrize("form", ["dockerconfigjson", "auth.json"])
def test_tokens_of_dockers_own_login_stay_at_home(passhelper: Command, filled: Path, helper: Helper, form: str) -> None:
    """A login to Docker Hub in a browser leaves two beside its credential; a cluster could do nothing with them."""
    bare = passhelper("export", "--format", form).json
    for name in ("access-token", "refresh-token"):
        assert helper.store(f"{HUB}{name}", "bob", "t0ken").code == 0
    assert passhelper("export", "--format", form).json == bare
    answer = passhelper("export", "--format", form, "--server", f"{HUB}access-token")
    assert answer.code == 1
    assert b"t0ken" not in answer.out
    why = "it is a token of docker's own login, with which nobody else can log in"
    assert answer.err.decode().startswith(f"error: {HUB}access-token: {why}\n")


@pytest.mark.parametrize("encoding", ["iso-8859-1", "ascii"])
@pytest.mark.parametrize("form", ["dockerconfigjson", "auth.json"])
def test_exact_in_every_encoding(
    installed: Program, environ: dict[str, str], store: Path, helper: Helper, form: str, encoding: str, tmp_path: Path
) -> None:
    """The euro sign is in neither of them."""
    helper.store("bü€cher.example", "jürgen€", "pä€ß")
    name = "bü€cher.example"
    wanted = {"auth": auth("jürgen€", "pä€ß")}
    if form == "dockerconfigjson":
        wanted = {"username": "jürgen€", "password": "pä€ß", **wanted}
    file = tmp_path / "out.json"
    for output in ((), ("--output", str(file))):
        # The program itself does not look at Python's variables.
        command = [installed.python, "-m", "passhelper", "export", "--format", form, *output]
        answer = run(command, {**environ, "PYTHONIOENCODING": encoding})
        assert answer.code == 0
        assert json.loads((answer.out or file.read_bytes()).decode("ascii")) == {"auths": {name: wanted}}


def test_some_servers(passhelper: Command, filled: Path) -> None:
    chosen = ("--server", "https://q.io/v2/", "--server", "docker.io", "--server", "q.io")
    answer = passhelper("export", "--format", "dockerconfigjson", *chosen)
    assert (answer.code, list(answer.json["auths"])) == (0, ["q.io", HUB])


@pytest.mark.parametrize("form", ["dockerconfigjson", "auth.json"])
def test_import_brings_it_back(passhelper: Command, filled: Path, helper: Helper, form: str, tmp_path: Path) -> None:
    before = {server: helper.get(server).json for server in helper.list().json}
    file = tmp_path / "out" / "pull.json"
    answer = passhelper("export", "--format", form, "--output", str(file))
    assert (answer.code, answer.out, answer.err.decode().splitlines()[-1]) == (0, b"", f"wrote 4 to {file}")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for server in before:
        helper.erase(server)
    assert passhelper("import", "--docker-config", str(file)).code == 0
    left = [server for server in before if "/team" in server]  # no client asks a helper for a name with a path
    for server, credential in before.items():
        answer = helper.get(server)
        assert answer.out == NOT_FOUND if server in left else answer.json == credential
    kept = json.loads(file.read_text())["auths"]
    assert [name for name, entry in kept.items() if entry] == [name for name in kept if "team" in name]


def test_docker_reads_it(
    passhelper: Command, store: Path, helper: Helper, registry: str, environ: dict[str, str], tmp_path: Path
) -> None:
    require("docker")
    helper.store(registry, "alice", "s3cret-Pw!")
    inspect = ["/usr/bin/env", "docker", "--config", str(tmp_path / "d"), "manifest", "inspect", "--insecure",
               f"{registry}/a/b:1"]  # fmt: skip
    (tmp_path / "d").mkdir()
    # Not empty, or Docker would choose a helper by itself.
    (tmp_path / "d/config.json").write_text('{"auths": {"q.io": {}}}')
    (tmp_path / "d/config.json").chmod(0o600)
    assert b"no such manifest" not in run(inspect, environ).err
    for form in ("dockerconfigjson", "auth.json"):
        assert passhelper("export", "--format", form, "--output", str(tmp_path / "d/config.json")).code == 0
        assert b"no such manifest" in run(inspect, environ).err


def test_skopeo_reads_it(
    passhelper: Command, store: Path, helper: Helper, registry: str, environ: dict[str, str], tmp_path: Path
) -> None:
    require("skopeo")
    helper.store(registry, "bob", "b0b's p%ss: wörd")
    file = tmp_path / "auth.json"
    assert passhelper("export", "--format", "auth.json", "--output", str(file)).code == 0
    answer = run(["/usr/bin/env", "skopeo", "login", "--get-login", "--authfile", str(file), registry], environ)
    assert (answer.code, answer.out) == (0, b"bob\n")


def test_unreadable_entries_are_named(passhelper: Command, filled: Path, tmp_path: Path) -> None:
    folder = filled / FOLDER / base64.urlsafe_b64encode(b"q.io").decode()
    next(folder.glob("*.gpg")).write_bytes(b"broken")
    answer = passhelper("export", "--format", "auth.json", "--server", "q.io", "--server", "t.io", "--server", "no.io")
    assert answer.code == 1
    assert list(answer.json["auths"]) == ["t.io"]
    lines = answer.err.decode().splitlines()
    assert lines[0].startswith("error: q.io: ")
    assert "error: no.io: there is no credential" in lines
    assert "hint: run: passhelper login no.io -u USER" in lines
    assert lines[-2] == "error: 2 of 3 credentials were not exported"


def test_locked_and_stdin_closed(
    installed: Program, helper: Helper, store: Path, own_keys: KeyRing, environ: dict[str, str]
) -> None:
    (store / ".gpg-id").write_text(own_keys["locked"] + "\n")
    helper.store("q.io", "u", "s")
    command = ["sh", "-c", 'exec "$0" "$@" <&-', installed.passhelper, "export", "--format", "auth.json"]
    answer = run(command, {**environ, "GNUPGHOME": str(own_keys.home)}, timeout=20)
    assert (answer.code, answer.json) == (1, {"auths": {}})
    assert b"error: q.io: GPG key" in answer.err


def test_an_empty_store(passhelper: Command, store: Path) -> None:
    answer = passhelper("export", "--format", "auth.json")
    assert (answer.code, answer.json) == (0, {"auths": {}})


def test_what_a_format_cannot_hold(passhelper: Command, store: Path, helper: Helper) -> None:
    helper.store("q.io", "a:b", SECRET)
    answer = passhelper("export", "--format", "auth.json")
    assert (answer.code, answer.out) == (1, b"")
    assert answer.err.decode() == (
        "error: the user of q.io has a colon in it, which auth.json cannot express\n"
        "hint: leave that server out: name the others with --server\n"
    )
    helper.store("q.io", "a", SECRET)
    helper.store("https://q.io", "a", SECRET)
    assert passhelper("export", "--format", "dockerconfigjson").code == 0
    answer = passhelper("export", "--format", "auth.json")
    assert (answer.code, answer.out) == (1, b"")
    assert answer.err.decode() == (
        "error: https://q.io and q.io are both called q.io in auth.json\n"
        "hint: choose one of them with --server, or log out of the other\n"
    )


# Who could see it


def test_never_a_terminal_without_force(installed: Program, filled: Path, environ: dict[str, str]) -> None:
    export = [installed.passhelper, "export", "--format", "auth.json", "--server", "q.io"]
    for force in ((), ("--force",)):
        person = Person()
        # stderr is the terminal there; put stdout on it too.
        answer = person.run(["/bin/sh", "-c", 'exec "$0" "$@" >&2', *export, *force], environ, b"")
        assert (answer.code == 0, auth("alice", SECRET).encode() in person.screen) == (bool(force), bool(force))
        assert (b"secrets are not written to a terminal" in person.screen) is not bool(force)


@pytest.mark.parametrize(("mode", "code"), [(0o600, 0), (0o644, 1), (0o660, 1)])
def test_stdout_is_a_file(
    installed: Program, filled: Path, environ: dict[str, str], tmp_path: Path, mode: int, code: int
) -> None:
    file = tmp_path / "out"
    file.touch(mode)
    file.chmod(mode)
    export = [installed.passhelper, "export", "--format", "auth.json"]
    with file.open("wb") as out:
        done = subprocess.run(export, env=environ, stdout=out, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, file.read_bytes() == b"") == (code, bool(code))
    if code:
        assert done.stderr.decode() == (
            "error: stdout is a file that other users can read\n"
            "hint: give --output FILE instead, which makes a private one\n"
        )
        with file.open("wb") as out:
            assert subprocess.run([*export, "--force"], env=environ, stdout=out, check=False).returncode == 0


def test_stdout_is_closed(installed: Program, filled: Path, environ: dict[str, str]) -> None:
    command = ["sh", "-c", 'exec "$0" "$@" >&-', installed.passhelper, "export", "--format", "auth.json"]
    answer = run(command, environ)
    assert answer.code == 1
    assert answer.err.startswith(b"error: ")
    assert b"internal" not in answer.err


KEPT = {
    "a configuration": (b'{"auths": {}, "credsStore": "pass"}', 0o600, "holds other things than credentials"),
    "another file": (b"hello", 0o600, "holds other things than credentials"),
    "a list of servers": (b'{"auths": ["q.io"]}', 0o600, "holds other things than credentials"),
    "a list": (b"[]", 0o600, "holds other things than credentials"),
    "readable by others": (b'{"auths": {}}', 0o640, "can be read by other users"),
}


@pytest.mark.parametrize("name", KEPT)
def test_files_that_are_not_replaced(passhelper: Command, filled: Path, tmp_path: Path, name: str) -> None:
    data, mode, reason = KEPT[name]
    file = tmp_path / "out.json"
    file.write_bytes(data)
    file.chmod(mode)
    answer = passhelper("export", "--format", "auth.json", "--output", str(file))
    assert (answer.code, file.read_bytes()) == (1, data)
    assert answer.err.decode().startswith(f"error: {file} {reason}")
    assert passhelper("export", "--format", "auth.json", "--output", str(file), "--force").code == 0
    assert stat.S_IMODE(file.stat().st_mode) == mode
    assert len(json.loads(file.read_bytes())["auths"]) == 4


def test_an_earlier_export_is_replaced(passhelper: Command, filled: Path, tmp_path: Path) -> None:
    file = tmp_path / "out.json"
    for form in ("auth.json", "dockerconfigjson"):
        assert passhelper("export", "--format", form, "--output", str(file)).code == 0
    assert HUB in file.read_text()
    os.unlink(file)
    file.touch(0o600)
    assert passhelper("export", "--format", "auth.json", "--output", str(file)).code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "out.json", "store"]


def test_credentials_of_other_servers_are_not_replaced(passhelper: Command, filled: Path, tmp_path: Path) -> None:
    """podman's own auth.json looks just like an earlier export."""
    file = tmp_path / "auth.json"
    data = json.dumps({"auths": {name: {"auth": auth("dave", "mine")} for name in ("q.io", "b.example", "a.example")}})
    file.write_text(data)
    file.chmod(0o600)
    export = ("export", "--format", "auth.json", "--output", str(file))
    answer = passhelper(*export, "--server", "q.io")
    assert (answer.code, answer.out, file.read_text()) == (1, b"", data)
    assert answer.err.decode() == (
        f"error: {file} also holds b.example, a.example, which would be lost\n"
        f"hint: name another file, give --force, or run: passhelper import --docker-config {file}\n"
    )
    assert passhelper("import", "--replace", "--docker-config", str(file)).code == 0
    assert passhelper(*export, "--server", "q.io").code == 0  # what the import has left holds nothing
    assert json.loads(file.read_bytes()) == {"auths": {"q.io": {"auth": auth("dave", "mine")}}}
    file.write_text(data)
    assert passhelper(*export, "--server", "t.io", "--force").code == 0
    assert list(json.loads(file.read_bytes())["auths"]) == ["t.io"]


def test_one_that_cannot_be_read_any_more_stays(passhelper: Command, filled: Path, tmp_path: Path) -> None:
    file = tmp_path / "out.json"
    export = ("export", "--format", "dockerconfigjson", "--output", str(file))
    assert passhelper(*export).code == 0
    data = file.read_bytes()
    folder = filled / FOLDER / base64.urlsafe_b64encode(b"q.io").decode()
    next(folder.glob("*.gpg")).write_bytes(b"broken")
    answer = passhelper(*export)
    assert (answer.code, file.read_bytes()) == (1, data)
    assert answer.err.decode().startswith("error: q.io: ")
    assert f"error: {file} also holds q.io, which would be lost\n" in answer.err.decode()


def test_a_name_that_another_scheme_shares(passhelper: Command, store: Path, helper: Helper, tmp_path: Path) -> None:
    """http is another registry; any other form of a name is the same one."""
    helper.store("q.io", "alice", SECRET)
    file = tmp_path / "out.json"
    for name, code in (("https://q.io/v2/", 0), ("Q.IO:443", 0), ("http://q.io", 1), ("q.io/team", 1)):
        file.write_text(json.dumps({"auths": {name: {"auth": auth("alice", "x")}}}))
        file.chmod(0o600)
        assert passhelper("export", "--format", "auth.json", "--output", str(file)).code == code


@pytest.mark.parametrize("target", ["/dev/stdout", "/dev/null", "/tmp"])
def test_output_is_no_file(passhelper: Command, filled: Path, target: str) -> None:
    answer = passhelper("export", "--format", "auth.json", "--output", target)
    assert (answer.code, answer.out) == (1, b"")
    assert answer.err.decode() == (
        f"error: {target} is not a regular file\nhint: leave --output out to write to a pipe\n"
    )


def test_usage(passhelper: Command) -> None:
    assert passhelper("export").code == 2
    assert passhelper("export", "--format", "xml").code == 2


def test_modes_mean_nothing_on_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python makes them up there: 0666 for every file, which looked as if others could read each."""
    path = tmp_path / "pull.json"
    path.write_text('{"auths": {"q.io": {"auth": "dTpw"}}}')
    path.chmod(0o666)
    with PrivateFile(str(path)) as file, path.open("rb") as out, monkeypatch.context() as patch:
        with pytest.raises(ConfigurationError, match="can be read by other users"):
            exporting.check_file(file)
        patch.setattr(sys, "platform", "win32")
        assert exporting.check_file(file) == ["q.io"]
        exporting.check_stream(out.fileno())
