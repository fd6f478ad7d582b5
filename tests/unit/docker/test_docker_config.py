"""Docker's ``config.json``: exactly the one setting changes, and nothing of a file that is not understood."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from passhelper.docker import config, containers, jsonedit
from passhelper.errors import ConfigurationError, DockerError, InvalidRequestError, PasshelperError

HUB = "https://index.docker.io/v1/"

EDITS = {
    "empty file": ("", [], '{\n\t"credsStore": "pass"\n}\n'),
    "white space": (" \n", [], '{\n\t"credsStore": "pass"\n}\n'),
    "empty object": ("{}", [], '{\n\t"credsStore": "pass"\n}'),
    "empty object on two lines": ("{\n}\n", [], '{\n\t"credsStore": "pass"\n}\n'),
    "as docker writes it": (
        '{\n\t"auths": {\n\t\t"a": {}\n\t}\n}',
        [],
        '{\n\t"auths": {\n\t\t"a": {}\n\t},\n\t"credsStore": "pass"\n}',
    ),
    "four spaces, odd numbers and escapes": (
        '{\n    "n": 1e5,\n    "m": 1.0,\n    "u": "\\u00fc",\n    "credsStore": "desktop",\n    "z": [ 1,2 ]\n}\n',
        [],
        '{\n    "n": 1e5,\n    "m": 1.0,\n    "u": "\\u00fc",\n    "credsStore": "pass",\n    "z": [ 1,2 ]\n}\n',
    ),
    "one line": ('{"auths":{},"credsStore":"x"}', [], '{"auths":{},"credsStore":"pass"}'),
    "one line, new member": ('{"auths":{}}', [], '{"auths":{}, "credsStore": "pass"}'),
    "Go reads names in any case": ('{"CREDSSTORE": "x"}', [], '{"CREDSSTORE": "pass"}'),
    "Go reads the last of two": ('{"credsStore":"a","credsstore":"b"}', [], '{"credsStore":"a","credsstore":"pass"}'),
    "credsStore null": ('{"credsStore": null}', [], '{"credsStore": "pass"}'),
    "Windows line ends": ('{\r\n  "a": 1\r\n}\r\n', [], '{\r\n  "a": 1,\n  "credsStore": "pass"\r\n}\r\n'),
    "braces in strings": ('{"a}": "{\\"", "b": {}}', [], '{"a}": "{\\"", "b": {}, "credsStore": "pass"}'),
    "first helper of one server": ("{}", ["q.io"], '{\n\t"credHelpers": {\n\t\t"q.io": "pass"\n\t}\n}'),
    "helpers beside others": (
        '{\n  "credHelpers": {\n    "gcr.io": "gcloud"\n  },\n  "x": 1\n}',
        ["q.io", "docker.io"],
        (
            '{\n  "credHelpers": {\n    "gcr.io": "gcloud",\n    "q.io": "pass",\n'
            f'    "{HUB}": "pass"\n  }},\n  "x": 1\n}}'
        ),
    ),
    "another helper of the same server": (
        '{"credHelpers":{"q.io":"x","Q.io":"y"}}',
        ["https://q.io/v2/"],
        '{"credHelpers":{"q.io":"pass","Q.io":"y"}}',
    ),
    "no helpers yet, on several lines": (
        '{\n  "credHelpers": {}\n}',
        ["q.io"],
        '{\n  "credHelpers": {\n    "q.io": "pass"\n  }\n}',
    ),
    "helpers null, on one line": ('{"credHelpers": null}', ["q.io"], '{"credHelpers": {"q.io": "pass"}}'),
}


@pytest.mark.parametrize("name", EDITS)
def test_edits(tmp_path: Path, name: str) -> None:
    before, registries, after = EDITS[name]
    file = tmp_path / "config.json"
    file.write_bytes(before.encode())
    environ = {"DOCKER_CONFIG": str(tmp_path)}
    assert config.use_pass(environ, registries)
    assert file.read_bytes().decode() == after
    json.loads(after)
    assert config.use_pass(environ, registries) == []
    assert file.read_bytes().decode() == after
    assert sorted(os.listdir(tmp_path)) == ["config.json", "home"]  # no temporary file


def test_says_what_was_there(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text('{"credsStore": "desktop", "credHelpers": {"q.io": "ecr-login"}}')
    environ = {"DOCKER_CONFIG": str(tmp_path)}
    assert config.use_pass(environ, ["q.io"]) == ['credHelpers for q.io (was "ecr-login")']
    assert config.use_pass(environ, []) == ['credsStore (was "desktop")']


def test_new_file_is_private(tmp_path: Path) -> None:
    os.umask(0o022)
    config.use_pass({"HOME": str(tmp_path)}, [])
    file = tmp_path / ".docker" / "config.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
def test_mode_is_kept(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "config.json"
    file.write_text("{}")
    file.chmod(mode)
    config.use_pass({"DOCKER_CONFIG": str(tmp_path)}, [])
    assert stat.S_IMODE(file.stat().st_mode) == mode


def test_owner_is_kept(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    file = tmp_path / "config.json"
    file.write_text("{}")
    os.chown(file, 12345, 23456)
    config.use_pass({"DOCKER_CONFIG": str(tmp_path)}, [])
    assert (file.stat().st_uid, file.stat().st_gid) == (12345, 23456)


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_stays_one(tmp_path: Path, exists: bool) -> None:
    target = tmp_path / "dotfiles" / "docker.json"
    target.parent.mkdir()
    if exists:
        target.write_text("{}")
    link = tmp_path / "config" / "config.json"
    link.parent.mkdir()
    link.symlink_to("../dotfiles/docker.json")
    config.use_pass({"DOCKER_CONFIG": str(link.parent)}, [])
    assert link.is_symlink()
    assert json.loads(target.read_text()) == {"credsStore": "pass"}
    assert os.listdir(target.parent) == ["docker.json"]


DAMAGED = {
    b'{"auths": {': "Expecting property name",
    b'{"a": 1}}': "Extra data",
    b'["credsStore"]': "it is not a JSON object",
    b'"x"': "it is not a JSON object",
    b"credsStore: pass": "Expecting value",
    b'\xef\xbb\xbf{"a": 1}': "Unexpected UTF-8 BOM",
    b'{"a": "\xff"}': "it is not UTF-8",
    b"[" * 100_000: "nested too deeply",
}


@pytest.mark.parametrize("data", DAMAGED, ids=lambda data: repr(data[:12]))
def test_damaged_files_are_left_alone(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "config.json"
    file.write_bytes(data)
    with pytest.raises(DockerError) as caught:
        config.use_pass({"DOCKER_CONFIG": str(tmp_path)}, [])
    assert caught.value.cause.startswith(f"{file} is damaged, so it is left as it is: {DAMAGED[data]}")
    assert caught.value.remedy == "repair it, or run setup with --no-docker"
    assert file.read_bytes() == data


def test_helpers_that_are_no_object(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text('{"credHelpers": "pass"}')
    with pytest.raises(DockerError, match="credHelpers is not an object"):
        config.use_pass({"DOCKER_CONFIG": str(tmp_path)}, ["q.io"])
    assert file.read_text() == '{"credHelpers": "pass"}'


def test_unreadable_and_unwritable(tmp_path: Path) -> None:
    (tmp_path / "config.json").mkdir()
    with pytest.raises(ConfigurationError, match=r"cannot read .*: Is a directory"):
        config.use_pass({"DOCKER_CONFIG": str(tmp_path)}, [])
    (tmp_path / "file").write_text("")
    with pytest.raises(PasshelperError, match="Not a directory"):
        config.use_pass({"DOCKER_CONFIG": str(tmp_path / "file")}, [])


def test_containers_get_a_file_of_their_own(tmp_path: Path) -> None:
    main = tmp_path / ".config" / "containers" / "registries.conf"
    main.parent.mkdir(parents=True)
    main.write_text('unqualified-search-registries = ["quay.io"]\n')
    file, changed = containers.use_pass({"HOME": str(tmp_path)})
    assert changed
    assert 'credential-helpers = ["pass", "containers-auth.json"]\n' in Path(file).read_text()
    assert Path(file).parent == main.parent / "registries.conf.d"
    assert main.read_text() == 'unqualified-search-registries = ["quay.io"]\n'
    assert containers.use_pass({"HOME": str(tmp_path)}) == (file, False)


_OLD = '# Written by: passhelper setup --containers\ncredential-helpers = ["pass"]\n'


@pytest.mark.parametrize(
    ("before", "helpers"),
    [
        ({"50-passhelper.conf": _OLD}, '["pass", "containers-auth.json"]'),
        ({"10-a.conf": 'credential-helpers = ["secretservice"]'}, '["pass", "secretservice"]'),
        (
            {"10-a.conf": 'credential-helpers = ["containers-auth.json", "other"]'},
            '["pass", "containers-auth.json", "other"]',
        ),
    ],
)
def test_containers_go_on_asking_whom_they_asked(tmp_path: Path, before: dict[str, str], helpers: str) -> None:
    """What stands in auth.json, and another helper, must not be shut out."""
    folder = tmp_path / ".config" / "containers" / "registries.conf.d"
    folder.mkdir(parents=True)
    for name, text in before.items():
        (folder / name).write_text(text)
    assert containers.use_pass({"HOME": str(tmp_path)}) == (str(folder / "50-passhelper.conf"), True)
    assert f"credential-helpers = {helpers}\n" in (folder / "50-passhelper.conf").read_text()
    assert containers.use_pass({"HOME": str(tmp_path)}) == (str(folder / "50-passhelper.conf"), False)


def test_containers_that_ask_pass_already(tmp_path: Path) -> None:
    file = tmp_path / ".config" / "containers" / "registries.conf.d" / "60-mine.conf"
    file.parent.mkdir(parents=True)
    file.write_text('credential-helpers = ["other", "pass"]\n')
    assert containers.use_pass({"HOME": str(tmp_path)}) == (str(file), False)
    assert os.listdir(file.parent) == [file.name]


@pytest.mark.parametrize(
    ("name", "why"),
    [("50-passhelper.conf", "was not written by passhelper"), ("99-z.conf", r"99-z\.conf is read after")],
)
def test_a_file_of_containers_that_is_not_ours(tmp_path: Path, name: str, why: str) -> None:
    file = tmp_path / ".config" / "containers" / "registries.conf.d" / name
    file.parent.mkdir(parents=True)
    file.write_text('credential-helpers = ["other"]\n')
    with pytest.raises(ConfigurationError, match=why) as caught:
        containers.use_pass({"HOME": str(tmp_path)})
    assert caught.value.remedy == 'put there: credential-helpers = ["pass", "other"]'
    assert file.read_text() == 'credential-helpers = ["other"]\n'


@pytest.mark.parametrize(
    ("server", "name"),
    [
        ("quay.io", "quay.io"),
        ("https://quay.io/v2/", "quay.io"),
        ("http://127.0.0.1:5000", "127.0.0.1:5000"),
        ("Registry.Example:443/team", "registry.example:443"),
        ("HTTPS://Registry.Example/v2/", "registry.example"),
        ("docker://registry.example/team/app:1", "registry.example"),
        ("oci://registry.example:5000/charts", "registry.example:5000"),
        ("registry.example/team/app@sha256:00", "registry.example"),
        ("[::1]:5000/x", "[::1]:5000"),
        ("docker.io", HUB),
        ("registry-1.docker.io", HUB),
        ("https://index.docker.io/v1/", HUB),
        ("docker.io/library/busybox", HUB),
        ("docker://index.docker.io", HUB),
        ("http://docker.io", HUB),
        (f"{HUB}access-token", HUB),
    ],
)
def test_server_name(server: str, name: str) -> None:
    assert config.server_name(server) == name


_OF_A_PORT = ("a.example:port", "a.example:", "a.example:0", "a.example:65536", "a.example:\u0663")
_ODD = ("a b", "a.example?x", "a.example#x", "a\\b", "::1", "[::1]x", "\u00fc.example", "docker:a.example/x")
_NEEDLESS = ("ftp://a.example/x", "docker-archive://x", "://a.example")


@pytest.mark.parametrize("server", ["", " ", "https:///x", "/x", "a\tb", *_OF_A_PORT, *_ODD, *_NEEDLESS])
def test_no_server_name(server: str) -> None:
    with pytest.raises(InvalidRequestError):
        config.server_name(server)
    assert not server or config.stored_name(server) == server


@pytest.mark.parametrize("server", ["https://me:hunter2@a.example/x", "me:hunter2@a.example", "https://me:hunt/er2@a"])
def test_a_user_in_a_server_name(server: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        config.server_name(server)
    assert "hunt" not in str(caught.value)
    assert caught.value.remedy


def test_members_know_their_place() -> None:
    text = '{ "a" : [1, {"b": 2}] , "c":null}'
    assert [(one.key, text[one.start : one.end]) for one in jsonedit.members(text)] == [
        ("a", '[1, {"b": 2}]'),
        ("c", "null"),
    ]
