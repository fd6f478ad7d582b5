"""``passhelper import``: everything moved and read back, or nothing changed and a clear error."""

from __future__ import annotations

import base64
import json
import os
import shutil
import stat
from pathlib import Path

import pytest
from support import FOLDER, Helper, KeyRing, Program, require, require_go_helper, run, tree
from support.faults.tracing import trace
from support.machines.new import Command

HUB = "https://index.docker.io/v1/"


def auth(username: str, password: str) -> str:
    return base64.b64encode(f"{username}:{password}".encode()).decode()


AUTH = auth("alice", "s3cret-canary")
COLON = auth("bob", "b:ob:canary")
NULS = base64.b64encode(b"carol:canary\0\0").decode()
EMPTY = auth("00000000-0000", "")

# What the file was, what it must be afterwards, what the store must hold then.
MOVED: dict[str, tuple[bytes, bytes, dict[str, tuple[str, str]]]] = {
    "as docker writes it": (
        b'{\n\t"auths": {\n\t\t"q.io": {\n\t\t\t"auth": "%s"\n\t\t},\n\t\t"%s": {\n\t\t\t"auth": "%s"\n\t\t}\n\t},\n'
        b'\t"credsStore": "pass"\n}' % (AUTH.encode(), HUB.encode(), COLON.encode()),
        b'{\n\t"auths": {\n\t\t"q.io": {},\n\t\t"%s": {}\n\t},\n\t"credsStore": "pass"\n}' % HUB.encode(),
        {"q.io": ("alice", "s3cret-canary"), HUB: ("bob", "b:ob:canary")},
    ),
    "CRLF": (
        b'{\r\n  "auths": {\r\n    "q.io": {\r\n      "auth": "%s",\r\n      "email": "a@b"\r\n    }\r\n  }\r\n}\r\n'
        % AUTH.encode(),
        b'{\r\n  "auths": {\r\n    "q.io": {\r\n      "email": "a@b"\r\n    }\r\n  }\r\n}\r\n',
        {"q.io": ("alice", "s3cret-canary")},
    ),
    "identity token": (
        b'{"auths": {"a.azurecr.io": {"auth": "%s", "identitytoken": "to.ken-canary"}}}' % EMPTY.encode(),
        b'{"auths": {"a.azurecr.io": {}}}',
        {"a.azurecr.io": ("<token>", "to.ken-canary")},
    ),
    "identity token alone": (
        b'{"auths": {"a.io": {"identitytoken": "to.ken-canary"}}}',
        b'{"auths": {"a.io": {}}}',
        {"a.io": ("<token>", "to.ken-canary")},
    ),
    "colon in the password": (
        b'{"auths":{"q.io":{"auth":"%s"}}}' % COLON.encode(),
        b'{"auths":{"q.io":{}}}',
        {"q.io": ("bob", "b:ob:canary")},
    ),
    "unknown keys, odd numbers, escapes": (
        b'{\n    "n": 1e5, "HttpHeaders": {"X": "\\u00fc"},\n    "auths": {\n        "q.io": {"x": 1.0, "auth": "%s", '
        b'"y": [ 1,2 ]},\n        "r.io": {"z": null}\n    },\n    "plugins": {}\n}\n' % AUTH.encode(),
        (
            b'{\n    "n": 1e5, "HttpHeaders": {"X": "\\u00fc"},\n    "auths": {\n        "q.io": {"x": 1.0, '
            b'"y": [ 1,2 ]},\n        "r.io": {"z": null}\n    },\n    "plugins": {}\n}\n'
        ),
        {"q.io": ("alice", "s3cret-canary")},
    ),
    "names in any case": (
        b'{"Auths": {"q.io": {"Auth": "%s", "EMAIL": ""}}}' % AUTH.encode(),
        b'{"Auths": {"q.io": {"EMAIL": ""}}}',
        {"q.io": ("alice", "s3cret-canary")},
    ),
    "user and password, as kubectl writes them": (
        b'{"auths":{"q.io":{"username":"u","password":"p:canary","auth":"%s"},"r.io":{"username":"v","password":"w"}}}'
        % auth("u", "p:canary").encode(),
        b'{"auths":{"q.io":{},"r.io":{}}}',
        {"q.io": ("u", "p:canary"), "r.io": ("v", "w")},
    ),
    "NULs around the password": (
        b'{"auths":{"q.io":{"auth":"%s"}}}' % NULS.encode(),
        b'{"auths":{"q.io":{}}}',
        {"q.io": ("carol", "canary")},
    ),
    "empty entries beside it": (
        b'{"auths":{"a":{},"b":null,"q.io":{"auth":"%s"},"c":{"auth":""}}}' % AUTH.encode(),
        b'{"auths":{"a":{},"b":null,"q.io":{},"c":{"auth":""}}}',
        {"q.io": ("alice", "s3cret-canary")},
    ),
    "tabs": (
        b'{\n\t"auths":\t{\n\t\t"q.io":\t{\n\t\t\t"auth":\t"%s"\t,\n\t\t\t"x":\t1\n\t\t}\n\t}\n}' % AUTH.encode(),
        b'{\n\t"auths":\t{\n\t\t"q.io":\t{\n\t\t\t"x":\t1\n\t\t}\n\t}\n}',
        {"q.io": ("alice", "s3cret-canary")},
    ),
    "a bearer token, which no helper keeps": (
        b'{"auths":{"q.io":{"auth":"%s","registrytoken":"x"}}}' % AUTH.encode(),
        b'{"auths":{"q.io":{"registrytoken":"x"}}}',
        {"q.io": ("alice", "s3cret-canary")},
    ),
    "roots, ports, addresses and what Docker keeps for its Hub": (
        b'{"auths":{"q.io/v2/":{"auth":"%s"},"[::1]:5000":{"auth":"%s"},"%saccess-token":{"auth":"%s"}}}'
        % (AUTH.encode(), COLON.encode(), HUB.encode(), AUTH.encode()),
        b'{"auths":{"q.io/v2/":{},"[::1]:5000":{},"%saccess-token":{}}}' % HUB.encode(),
        {
            "q.io/v2/": ("alice", "s3cret-canary"),
            "[::1]:5000": ("bob", "b:ob:canary"),
            f"{HUB}access-token": ("alice", "s3cret-canary"),
        },
    ),
}


@pytest.fixture
def config(environ: dict[str, str], tmp_path: Path) -> Path:
    """Docker's configuration file, which is not there yet."""
    folder = tmp_path / "docker"
    folder.mkdir()
    environ["DOCKER_CONFIG"] = str(folder)
    return folder / "config.json"


def held(helper: Helper) -> dict[str, tuple[str, str]]:
    """Everything in the store."""
    found = {server: helper.get(server).json for server in helper.list().json}
    return {server: (one["Username"], one["Secret"]) for server, one in found.items()}


@pytest.mark.parametrize("name", MOVED)
def test_moved(passhelper: Command, helper: Helper, store: Path, config: Path, name: str) -> None:
    before, after, credentials = MOVED[name]
    config.write_bytes(before)
    config.chmod(0o640)
    answer = passhelper("import", "--docker-config", "--dry-run")
    assert (answer.code, config.read_bytes(), held(helper)) == (0, before, {})
    assert answer.text.splitlines() == [
        f"would store the credential of {user} for {server}" for server, (user, _) in credentials.items()
    ]
    answer = passhelper("import", "--docker-config")
    assert answer.code == 0, answer
    assert config.read_bytes() == after
    assert held(helper) == credentials
    assert answer.text.splitlines() == [
        *(f"stored the credential of {user} for {server}" for server, (user, _) in credentials.items()),
        f"blanked {len(credentials)} in {config}",
    ]
    assert stat.S_IMODE(config.stat().st_mode) == 0o640
    assert os.listdir(config.parent) == ["config.json"]
    assert b"canary" not in answer.out + answer.err
    again = passhelper("import", "--docker-config")
    assert (again.code, again.text) == (0, "there is nothing to import\n")
    assert config.read_bytes() == after


REFUSED = {
    "byte order mark": (b'\xef\xbb\xbf{"auths":{"q.io":{"auth":"%s"}}}' % AUTH.encode(), "Unexpected UTF-8 BOM"),
    "UTF-16": ('{"auths":{}}'.encode("utf-16"), "it is not UTF-8"),
    "cut off": (b'{"auths":{"q.io":{"auth":"%s"' % AUTH.encode(), "Expecting ',' delimiter"),
    "bad base64": (
        b'{"auths":{"q.io":{"auth":"canary!"}}}',
        "the entry for q.io cannot be used: auth is not base64 of a text",
    ),
    "base64 without its padding": (b'{"auths":{"r":{"auth":"YTpiYg"}}}', "auth is not base64"),
    "base64 of no text": (b'{"auths":{"q.io":{"auth":"%s"}}}' % base64.b64encode(b"a:\xff"), "auth is not base64"),
    "no colon": (
        b'{"auths":{"q.io":{"auth":"%s"}}}' % base64.b64encode(b"canary"),
        "auth holds no colon between user and password",
    ),
    "no user": (b'{"auths":{"q.io":{"auth":"%s"}}}' % auth("", "canary").encode(), "no credentials username"),
    "a user with a line end": (b'{"auths":{"q.io":{"auth":"%s"}}}' % auth("a\nb", "s").encode(), "control characters"),
    "a password with a NUL": (b'{"auths":{"q.io":{"auth":"%s"}}}' % auth("a", "x\0y").encode(), "no client could send"),
    "auth is a number": (b'{"auths":{"q.io":{"auth":17}}}', "auth is not a string"),
    "password and token": (
        b'{"auths":{"q.io":{"auth":"%s","identitytoken":"canary"}}}' % AUTH.encode(),
        "it has a password and an identity token, and a helper can keep only one",
    ),
    "auths is a list": (b'{"auths":[]}', "auths is not an object"),
    "an entry is a text": (b'{"auths":{"q.io":"canary"}}', "its entry for q.io is not an object"),
    "a server twice": (
        b'{"auths":{"q.io":{"auth":"%s"},"q.io":{"auth":"%s"}}}' % (AUTH.encode(), COLON.encode()),
        "names q.io twice",
    ),
    "auth twice": (
        b'{"auths":{"q.io":{"auth":"%s","AUTH":"%s"}}}' % (AUTH.encode(), COLON.encode()),
        "gives q.io auth twice",
    ),
    "an empty server": (b'{"auths":{"":{"auth":"%s"}}}' % AUTH.encode(), "no credentials server URL"),
    "a server with a line end": (
        b'{"auths":{"q.io\\nr.io":{"auth":"%s"}}}' % AUTH.encode(),
        "invalid character in server URL",
    ),
    "a server with a space": (b'{"auths":{" q.io":{"auth":"%s"}}}' % AUTH.encode(), "its name has spaces around it"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(passhelper: Command, store: Path, config: Path, name: str) -> None:
    data, reason = REFUSED[name]
    config.write_bytes(data)
    before = tree(store)
    answer = passhelper("import", "--docker-config")
    assert (answer.code, answer.out) == (1, b"")
    lines = answer.err.decode().splitlines()
    assert lines[0].startswith(f"error: {config}")
    assert reason in lines[0]
    assert lines[1].startswith("hint: repair it")
    assert (config.read_bytes(), tree(store)) == (data, before)
    assert b"canary" not in answer.err


def test_no_file(passhelper: Command, store: Path, config: Path) -> None:
    answer = passhelper("import", "--docker-config")
    assert answer.code == 1
    assert answer.err.decode() == (
        f"error: there is no {config}\nhint: name the file: passhelper import --docker-config FILE\n"
    )


def test_a_link_stays_one(passhelper: Command, helper: Helper, store: Path, config: Path, tmp_path: Path) -> None:
    target = tmp_path / "dotfiles" / "docker.json"
    target.parent.mkdir()
    before, after, credentials = MOVED["as docker writes it"]
    target.write_bytes(before)
    config.symlink_to("../dotfiles/docker.json")
    assert passhelper("import", "--docker-config").code == 0
    assert (config.is_symlink(), target.read_bytes(), held(helper)) == (True, after, credentials)
    assert os.listdir(target.parent) == ["docker.json"]


def test_another_file(
    installed: Program, helper: Helper, store: Path, config: Path, tmp_path: Path, environ: dict[str, str]
) -> None:
    file = tmp_path / "auth.json"
    file.write_bytes(MOVED["colon in the password"][0])
    answer = run([installed.passhelper, "import", "--docker-config", "auth.json"], environ, cwd=tmp_path)
    assert (answer.code, file.read_bytes()) == (0, MOVED["colon in the password"][1])
    assert held(helper) == {"q.io": ("bob", "b:ob:canary")}
    assert not config.exists()
    assert answer.err.decode() == (
        f"warning: {file} does not name pass for q.io; for podman and skopeo run: passhelper setup --containers\n"
    )


@pytest.mark.parametrize("how", ["read-only directory", "read-only file system"])
def test_a_directory_that_cannot_be_written(
    installed: Program, environ: dict[str, str], store: Path, config: Path, how: str
) -> None:
    data = MOVED["colon in the password"][0]
    config.write_bytes(data)
    before = tree(store)
    command = [installed.passhelper, "import", "--docker-config"]
    remedy = "mount its file system writable, or choose another place"
    if how == "read-only directory":
        remedy = "check its owner and mode"
        config.parent.chmod(0o555)
        if os.geteuid() == 0:
            require("setpriv")
            # Root without the right to write everywhere; gpg and the store are its own.
            command = ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override", *command]
    else:
        if os.geteuid() != 0:
            pytest.skip("only root can mount")
        require("unshare", "mount")
        script = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
        command = ["unshare", "--mount", "sh", "-c", script, str(config.parent), *command]
    try:
        answer = run(command, environ)
    finally:
        config.parent.chmod(0o755)
    assert (answer.code, answer.out) == (1, b"")
    assert answer.err.decode() == (
        f"error: cannot replace {config}: {config.parent} cannot be written, so nothing was moved\nhint: {remedy}\n"
    )
    assert (config.read_bytes(), tree(store)) == (data, before)


def test_a_file_that_cannot_be_read(passhelper: Command, store: Path, config: Path) -> None:
    config.mkdir()
    answer = passhelper("import", "--docker-config")
    assert answer.code == 1
    assert (
        answer.err.decode()
        == f"error: cannot read {config}: Is a directory\nhint: name a file, or move the directory away\n"
    )


def test_nothing_is_moved_when_one_cannot_be_stored(
    passhelper: Command, helper: Helper, git_store: Path, config: Path
) -> None:
    """The second server's folder is a link, which no write follows: the first one is taken back."""
    data = b'{"auths":{"a.io":{"auth":"%s"},"b.io":{"auth":"%s"}}}' % (AUTH.encode(), COLON.encode())
    config.write_bytes(data)
    assert helper.store("b.io", "x", "y").code == 0
    assert helper.erase("b.io").code == 0
    name = base64.urlsafe_b64encode(b"b.io").decode()
    (git_store / FOLDER).mkdir(exist_ok=True)
    (git_store / FOLDER / name).symlink_to("elsewhere")
    answer = passhelper("import", "--docker-config")
    assert (answer.code, answer.out, config.read_bytes()) == (1, b"", data)
    assert b"is a symbolic link" in answer.err
    assert helper.list().json == {}


def test_what_was_replaced_comes_back(passhelper: Command, helper: Helper, store: Path, config: Path) -> None:
    data = b'{"auths":{"a.io":{"auth":"%s"},"b.io":{"auth":"%s"}}}' % (AUTH.encode(), COLON.encode())
    config.write_bytes(data)
    helper.store("a.io", "dave", "older")
    (store / FOLDER / base64.urlsafe_b64encode(b"b.io").decode()).symlink_to("elsewhere")
    assert passhelper("import", "--docker-config", "--replace").code == 1
    assert (config.read_bytes(), held(helper)) == (data, {"a.io": ("dave", "older")})


def test_a_file_that_changes_meanwhile(
    passhelper: Command, helper: Helper, store: Path, config: Path, tmp_path: Path
) -> None:
    """Somebody else logs in while gpg works: his login is not overwritten."""
    config.write_bytes(MOVED["colon in the password"][0])
    gpg = tmp_path / "gpg"
    gpg.write_text(f'#!/bin/sh\necho >>{config}\nexec /usr/bin/gpg "$@"\n')
    gpg.chmod(0o755)
    answer = passhelper("import", "--docker-config", PASSHELPER_GPG=str(gpg))
    assert (answer.code, answer.out, helper.list().json) == (1, b"", {})
    assert answer.err.decode() == (
        f"error: {config} was changed by another program, so it is left as it is\nhint: run it again\n"
    )
    assert config.read_bytes().startswith(MOVED["colon in the password"][0])


def test_nothing_is_blanked_without_a_store(passhelper: Command, config: Path, environ: dict[str, str]) -> None:
    data = MOVED["colon in the password"][0]
    config.write_bytes(data)
    answer = passhelper("import", "--docker-config")
    assert answer.code == 1
    assert answer.err.startswith(b"error: password store not initialised at ")
    assert config.read_bytes() == data


def test_nothing_is_blanked_when_writes_are_ignored(passhelper: Command, store: Path, config: Path) -> None:
    data = MOVED["colon in the password"][0]
    config.write_bytes(data)
    answer = passhelper("import", "--docker-config", PASSHELPER_IGNORE_WRITES="1")
    assert (answer.code, config.read_bytes()) == (1, data)
    assert answer.err.decode().splitlines() == [
        "warning: nothing was stored: PASSHELPER_IGNORE_WRITES is set",
        "error: the store does not give back the credential for q.io",
        "hint: check that PASSHELPER_IGNORE_WRITES is not set",
    ]


def test_nothing_is_blanked_that_cannot_be_read_back(
    passhelper: Command, store: Path, config: Path, own_keys: KeyRing, environ: dict[str, str]
) -> None:
    """This machine can encrypt to the store's key but not decrypt."""
    data = MOVED["colon in the password"][0]
    config.write_bytes(data)
    (store / ".gpg-id").write_text(own_keys["stranger"] + "\n")
    answer = passhelper("import", "--docker-config")
    assert (answer.code, answer.out, config.read_bytes()) == (1, b"", data)
    assert b"error: " in answer.err


def test_a_newer_credential_in_the_store_stays(passhelper: Command, helper: Helper, store: Path, config: Path) -> None:
    data, after, credentials = MOVED["as docker writes it"]
    config.write_bytes(data)
    helper.store(HUB, "dave", "newer")
    answer = passhelper("import", "--docker-config")
    assert (answer.code, answer.out, config.read_bytes()) == (1, b"", data)
    assert answer.err.decode() == (
        f"error: the store has another credential for {HUB}, of dave\n"
        "hint: give --replace to overwrite it, or run: passhelper logout SERVER\n"
    )
    assert held(helper) == {HUB: ("dave", "newer")}
    answer = passhelper("import", "--docker-config", "--replace")
    assert (answer.code, config.read_bytes(), held(helper)) == (0, after, credentials)


@pytest.mark.parametrize("options", [(), ("--replace",), ("--dry-run",)])
def test_a_credential_that_cannot_be_read_here_stays(
    passhelper: Command, helper: Helper, store: Path, config: Path, keys: KeyRing, options: tuple[str, ...]
) -> None:
    """``list`` leaves it out, but it is there, and nothing that is written over it could be given back."""
    config.write_text(f'{{"auths": {{"q.io": {{"auth": "{AUTH}"}}}}}}')
    helper.store("q.io", "robot", "s")
    entry = next(store.glob(f"{FOLDER}/*/robot.gpg"))
    entry.write_bytes(keys.encrypt(b"s", "stranger"))
    assert helper.get("q.io").code == 1  # which notes what can be read here
    assert helper.list().json == {}
    before = tree(store), config.read_bytes()
    answer = passhelper("import", "--docker-config", *options)
    assert answer.code == 1
    assert b"no secret key for " in answer.err
    assert (tree(store), config.read_bytes()) == before


def test_the_same_credential_in_the_store(passhelper: Command, helper: Helper, store: Path, config: Path) -> None:
    data, after, credentials = MOVED["colon in the password"]
    config.write_bytes(data)
    helper.store("q.io", "bob", "b:ob:canary")
    before = tree(store)
    answer = passhelper("import", "--docker-config")
    assert answer.text == f"the store already had the credential of bob for q.io\nblanked 1 in {config}\n"
    assert (config.read_bytes(), held(helper), tree(store)) == (after, credentials, before)


def test_one_that_cannot_be_used_does_not_keep_the_others(
    passhelper: Command, helper: Helper, store: Path, config: Path
) -> None:
    """Each of them stays as it is, with its reason; podman's key for a namespace does so without being wrong."""
    good = {"a.io": {"auth": AUTH}, "z.io": {"auth": COLON}}
    bad = {"": {"auth": AUTH}, "b.io": {"auth": "canary!"}, "c.io ": {"auth": AUTH}, "d.io/team": {"auth": AUTH}}
    config.write_text(json.dumps({"auths": {"a.io": good["a.io"], **bad, "z.io": good["z.io"]}}))
    before = config.read_bytes()
    answer = passhelper("import", "--docker-config", "--dry-run")
    assert (answer.code, config.read_bytes(), held(helper)) == (1, before, {})
    answer = passhelper("import", "--docker-config")
    assert answer.code == 1
    assert held(helper) == {"a.io": ("alice", "s3cret-canary"), "z.io": ("bob", "b:ob:canary")}
    assert json.loads(config.read_text()) == {"auths": {"a.io": {}, **bad, "z.io": {}}}
    assert answer.text.splitlines() == [
        "stored the credential of alice for a.io", "stored the credential of bob for z.io", f"blanked 2 in {config}"
    ]  # fmt: skip
    hint = "hint: repair it, or log in to that server again"
    lines = answer.err.decode().splitlines()
    assert lines[:7] == [
        f"error: {config}: the entry for no server cannot be used: no credentials server URL", hint,
        f"error: {config}: the entry for b.io cannot be used: auth is not base64 of a text", hint,
        f"error: {config}: the entry for c.io cannot be used: its name has spaces around it", hint,
        f"warning: {config}: d.io/team stays there: clients ask a credential helper for hosts alone",
    ]  # fmt: skip
    assert lines[-2:] == ["error: 3 of 6 credentials were not imported", "hint: see above for each of them"]
    assert b"canary" not in answer.out + answer.err
    text = json.dumps({"auths": {**bad, "y.io": good["z.io"]}})
    answer = passhelper("import", "--docker-auth-config", "--json", DOCKER_AUTH_CONFIG=text)
    assert answer.code == 1
    assert [one["result"] for one in answer.json["data"]["credentials"]] == ["failed"] * 3 + ["left", "stored"]


def test_a_key_of_podmans_for_a_namespace_is_no_failure(
    passhelper: Command, helper: Helper, store: Path, config: Path
) -> None:
    config.write_text(json.dumps({"auths": {"d.io/team": {"auth": AUTH}, "https://d.io/x?y": {"auth": AUTH}}}))
    before = config.read_bytes()
    answer = passhelper("import", "--docker-config")
    assert (answer.code, answer.out, config.read_bytes(), held(helper)) == (0, b"", before, {})
    assert answer.err.count(b"stays there: clients ask a credential helper for hosts alone\n") == 2


def test_json(passhelper: Command, store: Path, config: Path) -> None:
    config.write_bytes(MOVED["colon in the password"][0])
    document = passhelper("import", "--docker-config", "--json").json
    reports = [{"server": "q.io", "username": "bob", "result": "stored", "error": None}]
    assert document == {"version": 1, "command": "import", "data": {"dry_run": False, "credentials": reports}}


def test_the_variable(passhelper: Command, helper: Helper, store: Path, config: Path) -> None:
    text = json.dumps({"auths": {"q.io": {"auth": AUTH}, "r.io": {"auth": COLON}}})
    answer = passhelper("import", "--docker-auth-config", DOCKER_AUTH_CONFIG=text)
    assert answer.code == 0
    assert held(helper) == {"q.io": ("alice", "s3cret-canary"), "r.io": ("bob", "b:ob:canary")}
    answer = passhelper("import", "--docker-auth-config")
    assert answer.err == b"error: DOCKER_AUTH_CONFIG is not set\nhint: set it, or give --docker-config\n"
    answer = passhelper("import", "--docker-auth-config", DOCKER_AUTH_CONFIG='{"auths": canary')
    assert answer.code == 1
    assert answer.err.startswith(b"error: DOCKER_AUTH_CONFIG is damaged: Expecting value: line 1 column 11\n")


@pytest.mark.parametrize("arguments", [(), ("--docker-config", "--from", "x"), ("--docker-auth-config", "--from", "x")])
def test_one_source(passhelper: Command, arguments: tuple[str, ...]) -> None:
    if arguments[:1] == ("--docker-config",):
        arguments = ("--docker-config", "f", *arguments[1:])
    answer = passhelper("import", *arguments)
    assert answer.code == 2
    assert b"choose one of --docker-config, --docker-auth-config and --from" in answer.err


# Other helpers


@pytest.fixture
def old(environ: dict[str, str], tmp_path: Path, keys: KeyRing) -> Helper:
    """Docker's own helper over another store, on PATH as ``docker-credential-old``."""
    program = require_go_helper()
    folder = tmp_path / "old-store"
    folder.mkdir()
    (folder / ".gpg-id").write_text(keys["alice"] + "\n")
    other = tmp_path / "bin" / "docker-credential-old"
    other.parent.mkdir()
    other.write_text(f'#!/bin/sh\nPASSWORD_STORE_DIR={folder} exec {program} "$@"\n')
    other.chmod(0o755)
    environ["PATH"] = f"{other.parent}:{environ['PATH']}"
    return Helper(str(other), environ)


def test_from_dockers_own_helper(passhelper: Command, helper: Helper, store: Path, old: Helper) -> None:
    wanted = {"q.io": ("alice", "s:1"), HUB: ("bob", "ü☃"), "t.io": ("<token>", "to.ken")}
    for server, (username, secret) in wanted.items():
        assert old.store(server, username, secret).code == 0
    answer = passhelper("import", "--from", "old", "--dry-run")
    assert (answer.code, held(helper)) == (0, {})
    answer = passhelper("import", "--from", "old")
    assert (answer.code, held(helper)) == (0, wanted)
    assert sorted(answer.text.splitlines()) == sorted(
        f"stored the credential of {username} for {server}" for server, (username, _) in wanted.items()
    )
    assert old.list().json == {server: username for server, (username, _) in wanted.items()}
    answer = passhelper("import", "--from", "docker-credential-old")
    assert answer.text.count("the store already had") == 3


def test_from_goes_on_after_a_failure(passhelper: Command, helper: Helper, store: Path, old: Helper) -> None:
    for server in ("a.io", "b.io", "c.io", "d.io"):
        old.store(server, "u", f"secret of {server}")
    folder = Path(old.program).parent.parent / "old-store" / FOLDER / base64.urlsafe_b64encode(b"b.io").decode()
    next(folder.glob("*.gpg")).write_bytes(b"broken")
    helper.store("c.io", "other", "x")
    answer = passhelper("import", "--from", "old")
    assert answer.code == 1
    assert held(helper) == {
        "a.io": ("u", "secret of a.io"), "c.io": ("other", "x"), "d.io": ("u", "secret of d.io"),
    }  # fmt: skip
    assert answer.text.splitlines() == [f"stored the credential of u for {server}" for server in ("a.io", "d.io")]
    lines = answer.err.decode().splitlines()
    assert lines[0].startswith(f"error: b.io: {old.program} get failed: ")
    assert "error: c.io: the store has another credential for c.io, of other" in lines
    assert lines[-2:] == ["error: 2 of 4 credentials were not imported", "hint: see above for each of them"]
    document = passhelper("import", "--from", "old", "--json").json
    assert [report["result"] for report in document["data"]["credentials"]] == ["kept", "failed", "failed", "kept"]
    assert document["data"]["credentials"][2]["error"].startswith("the store has another credential")


def test_from_lists_labels_and_odd_names(passhelper: Command, helper: Helper, store: Path, old: Helper) -> None:
    """docker-credential-secretservice 0.9 lists labels; and a list may hold anything."""
    program = Path(old.program)
    program.write_text(
        "#!/bin/sh\n"
        """if [ "$1" = list ]; then printf '{"Registry credentials for q.io":"u","a\\\\nb":"u","gone.io":"u"}'; """
        "exit; fi\n"
        """case $(cat) in q.io) echo '{"Username":"u","Secret":"s"}';; """
        "*) echo 'credentials not found in native keychain'; exit 1;; esac\n"
    )
    answer = passhelper("import", "--from", "old")
    assert (answer.code, held(helper)) == (1, {"q.io": ("u", "s")})
    assert answer.err.decode().splitlines()[:2] == [
        "error: a?b: invalid character in server URL: control characters are refused",
        "error: gone.io: it lists the server but does not have its credential",
    ]


def test_a_registry_token_is_named(passhelper: Command, store: Path, config: Path) -> None:
    """Docker sends it as it is; no helper has a place for it, so it must not be left in silence."""
    auths = {"q.io": {"registrytoken": "canary"}, "r.io": {"auth": AUTH, "RegistryToken": "canary"}}
    text = json.dumps({"auths": auths})

    def warning(label: str, server: str) -> str:
        return (
            f"warning: {label}: the registry token of {server} stays where it is, a credential helper cannot keep one; "
            f"run: docker logout {server}, and log in again\n"
        )

    config.write_text(text)
    answer = passhelper("import", "--docker-config")
    assert answer.code == 0
    assert answer.text == f"stored the credential of alice for r.io\nblanked 1 in {config}\n"
    assert answer.err.decode().endswith(warning(str(config), "q.io") + warning(str(config), "r.io"))
    assert "canary" in config.read_text()
    answer = passhelper("import", "--docker-config")
    assert answer.text == "there is nothing to import\n"
    assert answer.err.decode() == warning(str(config), "q.io") + warning(str(config), "r.io")
    answer = passhelper("import", "--docker-auth-config", DOCKER_AUTH_CONFIG=text)
    assert answer.err.decode() == warning("DOCKER_AUTH_CONFIG", "q.io") + warning("DOCKER_AUTH_CONFIG", "r.io")


def test_from_a_helper_that_falls_silent(passhelper: Command, helper: Helper, store: Path, old: Helper) -> None:
    """It is not asked again after that: each server would take as long."""
    program = Path(old.program)
    list_ = """if [ "$1" = list ]; then printf '{"a.io":"u","b.io":"u","c.io":"u"}'; exit; fi\n"""
    answer_ = """case $(cat) in a.io) echo '{"Username":"u","Secret":"s"}';; *) exec sleep 60;; esac\n"""
    program.write_text(f"#!/bin/sh\n{list_}{answer_}")
    answer = passhelper("import", "--from", "old")
    assert (answer.code, held(helper)) == (1, {"a.io": ("u", "s")})
    assert answer.err.decode().splitlines() == [
        f"error: b.io: {program} get gave no answer within 6 seconds",
        "hint: run it by hand to see why",
        "error: c.io: not asked for, because the helper gave no answer before",
        "error: 2 of 3 credentials were not imported",
        "hint: see above for each of them",
    ]


def test_from_nothing(passhelper: Command, store: Path, old: Helper) -> None:
    assert passhelper("import", "--from", "old").text == "there is nothing to import\n"
    answer = passhelper("import", "--from", "nosuch")
    assert answer.err.decode() == (
        "error: docker-credential-nosuch is not on PATH\nhint: install it, or add its directory to PATH\n"
    )
    assert passhelper("import", "--from", "../x").code == 1


def test_from_itself(passhelper: Command, installed: Program, store: Path, environ: dict[str, str]) -> None:
    path = f"{installed.folder}/bin:{environ['PATH']}"
    answer = passhelper("import", "--from", "pass", PATH=path)
    assert answer.err.decode() == (
        f"error: {installed.helper} is passhelper itself, and reads the same store\n"
        "hint: name another helper, or another --to\n"
    )


def test_between_two_helpers(passhelper: Command, helper: Helper, store: Path, old: Helper, tmp_path: Path) -> None:
    """From Docker's own to another program and back into the pass store, without touching what is not named."""
    new = tmp_path / "bin" / "docker-credential-new"
    new.write_text(Path(old.program).read_text().replace("old-store", "new-store"))
    new.chmod(0o755)
    shutil.copytree(tmp_path / "old-store", tmp_path / "new-store")
    target = Helper(str(new), old.environ)
    for server, secret in (("a.io", "s1"), ("b.io", "s2")):
        old.store(server, "u", secret)
    target.store("b.io", "u", "another")
    answer = passhelper("import", "--from", "old", "--to", "new", "--dry-run")
    assert answer.text == "would store the credential of u for a.io\n"
    assert b"error: b.io: the store has another credential for b.io, of u" in answer.err
    assert (answer.code, target.list().json) == (1, {"b.io": "u"})
    assert passhelper("import", "--from", "old", "--to", "new", "--replace").code == 0
    assert held(target) == {"a.io": ("u", "s1"), "b.io": ("u", "s2")}
    assert held(helper) == {}
    assert passhelper("import", "--from", "new", "--to", "pass").code == 0
    assert held(helper) == held(old) == held(target)


def test_out_of_the_pass_store(passhelper: Command, helper: Helper, store: Path, old: Helper) -> None:
    """Ours is read in this process where no docker-credential-pass is on PATH."""
    helper.store("a.io", "u", "s1")
    path = f"{Path(old.program).parent}:/bin"
    answer = passhelper("import", "--from", "pass", "--to", "old", PATH=path)
    assert (answer.code, answer.text) == (0, "stored the credential of u for a.io\n")
    assert held(old) == {"a.io": ("u", "s1")}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--from", "old", "--to", "old"), "error: old is where the credentials are already"),
        (("--from", "memory", "--to", "memory"), "error: memory is where the credentials are already"),
        (("--from", "old", "--to", "nosuch"), "error: docker-credential-nosuch is not on PATH"),
        (("--from", "old", "--to", "../x"), "error: '../x' is not the name of a credential helper"),
        (("--from", "old", "--to", "osxkeychain"), "error: the backend osxkeychain cannot be used here: the macOS"),
        (("--from", "osxkeychain"), "error: the backend osxkeychain cannot be used here: the macOS"),
        (("--from", "old", "--to", "secretservice"), "error: the backend secretservice cannot be used here: "),
    ],
)
def test_two_places_that_cannot_be(
    passhelper: Command, store: Path, old: Helper, arguments: tuple[str, ...], message: str
) -> None:
    old.store("a.io", "u", "s")
    answer = passhelper("import", *arguments, PATH=f"{Path(old.program).parent}:/bin")
    assert answer.err.decode().startswith(message)
    assert (answer.code, answer.out) == (1, b"")


def test_into_a_backend_of_this_installation(passhelper: Command, store: Path, old: Helper) -> None:
    old.store("a.io", "u", "s")
    assert passhelper("import", "--from", "old", "--to", "memory").text == "stored the credential of u for a.io\n"
    assert passhelper("import", "--from", "memory").text == "there is nothing to import\n"


def test_docker_finds_what_was_moved(
    passhelper: Command, helper: Helper, store: Path, config: Path, registry: str, environ: dict[str, str]
) -> None:
    """Docker asks a registry for a manifest with plain text, then with the helper: both are logged in."""
    require("docker")
    config.write_text(json.dumps({"auths": {registry: {"auth": auth("alice", "s3cret-Pw!")}}}))
    environ["PATH"] = f"{Path(helper.program).parent}:{environ['PATH']}"
    docker = shutil.which("docker", path=environ["PATH"])
    assert docker

    def ask() -> str:
        command = [docker, "manifest", "inspect", "--insecure", f"{registry}/team/app:1"]
        return run(command, environ).err.decode()

    with_plain_text = ask()
    assert "unauthorized" not in with_plain_text
    answer = passhelper("import", "--docker-config")
    assert answer.code == 0
    assert b"run: passhelper docker enable" in answer.err
    assert "unauthorized" in ask() or "no basic auth" in ask()
    assert passhelper("docker", "enable").code == 0
    assert ask() == with_plain_text
    assert json.loads(config.read_text()) == {"auths": {registry: {}}, "credsStore": "pass"}


@pytest.mark.parametrize("arguments", [("--docker-config",), ("--docker-auth-config",), ("--from", "old")])
def test_nobody_is_asked(
    installed: Program, environ: dict[str, str], store: Path, config: Path, old: Helper, own_keys: KeyRing,
    arguments: tuple[str, ...],
) -> None:  # fmt: skip
    """A locked key, stdin closed, no terminal: an error at once."""
    config.write_bytes(MOVED["colon in the password"][0])
    old.store("a.io", "u", "s")
    environ["GNUPGHOME"] = str(own_keys.home)
    (store / ".gpg-id").write_text(own_keys["locked"] + "\n")
    environ["DOCKER_AUTH_CONFIG"] = MOVED["colon in the password"][0].decode()
    command = ["sh", "-c", 'exec "$0" "$@" <&-', installed.passhelper, "import", *arguments]
    answer = run(command, environ, timeout=20)
    assert answer.code == 1
    assert b"is locked" in answer.err
    assert Helper(installed.helper, environ).list().json == {}
    assert config.read_bytes() == MOVED["colon in the password"][0]


def test_secrets_only_through_pipes(
    installed: Program, store: Path, config: Path, environ: dict[str, str], old: Helper, tmp_path: Path
) -> None:
    config.write_bytes(MOVED["colon in the password"][0])
    assert old.store("a.io", "u", "b:ob:canary").code == 0
    assert old.get("a.io").code == 0  # which starts gpg-agent: strace would wait for its end
    environ["TMPDIR"] = str(tmp_path / "tmp")
    Path(environ["TMPDIR"]).mkdir()
    options = ("-f", "-v", "-s", "100000")
    for arguments in (("--docker-config",), ("--from", "old")):
        command = [installed.passhelper, "import", *arguments]
        traced = trace(command, environ, calls="execve,unlink,unlinkat", options=options)
        assert traced.answer.code == 0, traced.answer
        assert "gpg" in traced.children
        assert [line for line in traced.lines if "canary" in line or COLON in line] == []
    assert list(Path(environ["TMPDIR"]).iterdir()) == []
    assert [path for path in tmp_path.rglob("*") if path.is_file() and b"canary" in path.read_bytes()] == []
