"""A server, a proxy, or whoever writes settings, and the password in the URL of a store: only its own host gets it.

Real servers on loopback play the attacks; each writes down what it was given.
"""

from __future__ import annotations

import base64
import itertools
import os
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import Helper, Program, require, run
from support.people.clones import Team

from passhelper.store import repository
from passhelper.team.sync.clone import password_pipe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

USER, PASSWORD = "deploy", "hunter2"
ELSEWHERE = "/s.git/info/refs?service=git-upload-pack"  # so that git takes it for the new place of the repository
GIVEN = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


class Server(ThreadingHTTPServer):
    """Answers every request in one way, and writes down what passwords came with them.

    Args:
        status: with what.
        header: of every answer.
    """

    def __init__(self, status: int, header: tuple[str, str]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status, self.header = status, header
        self.given: list[str] = []
        self.asked = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server = self.server
        server.asked += 1
        server.given += [value for name in ("Authorization", "Proxy-Authorization") if (value := self.headers[name])]
        self.send_response(server.status)
        self.send_header(*server.header)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_CONNECT = do_GET  # noqa: N815 - its names

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - its name there
        """Say nothing."""


@contextmanager
def serving(status: int, *header: str) -> Iterator[Server]:
    name, value = header or ("WWW-Authenticate", 'Basic realm="git"')
    with Server(status, (name, value)) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.05])
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def set_up(installed: Program, environ: dict[str, str], tmp_path: Path) -> Callable[..., str]:
    """Runs ``setup --git URL`` with a new store and gives what it has printed."""
    require("git")
    environ["PASSWORD_STORE_DIR"] = str(tmp_path / "new")

    def run_it(url: str, **more: str) -> str:
        answer = run([installed.passhelper, "setup", "--git", url], {**environ, **more})
        assert PASSWORD.encode() not in answer.out + answer.err
        assert answer.code == 6, answer
        return answer.err.decode()

    return run_it


def test_its_own_host_gets_it(set_up: Callable[..., str]) -> None:
    with serving(401) as server:
        set_up(f"http://{USER}:{PASSWORD}@{server.address}/store.git")
        assert GIVEN in server.given  # after the user alone


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_where_a_redirect_leads_gets_nothing(set_up: Callable[..., str], status: int) -> None:
    with serving(401) as thief, serving(status, "Location", f"http://{thief.address}{ELSEWHERE}") as server:
        said = set_up(f"http://{USER}:{PASSWORD}@{server.address}/store.git")
        assert server.asked
        assert (thief.asked, thief.given) == (0, [])
        assert f"The requested URL returned error: {status}" in said
        assert (
            "hint: the remote leads elsewhere, where no password is sent: look where, with curl -I URL/info/refs, "
            in said
        )


def test_a_proxy_gets_nothing(set_up: Callable[..., str]) -> None:
    with serving(407, "Proxy-Authenticate", 'Basic realm="proxy"') as proxy:
        for scheme in ("http", "https"):
            for user in ("", f"{USER}@"):
                variables = {f"{scheme}_proxy": f"http://{user}{proxy.address}"}
                set_up(f"{scheme}://{USER}:{PASSWORD}@git.example/store.git", **variables)
        assert GIVEN not in proxy.given


def test_a_setting_that_rewrites_the_url_gets_nothing(set_up: Callable[..., str], environ: dict[str, str]) -> None:
    with serving(401) as thief:
        base = f"http://{USER}@git.example/"
        command = ["git", "config", "--global", f"url.http://{thief.address}/.insteadOf", base]
        assert run(command, environ).code == 0
        set_up(f"http://{USER}:{PASSWORD}@git.example/store.git")
        assert thief.asked
        assert thief.given == []


@pytest.mark.parametrize(
    ("url", "asked", "is_given"),
    [
        ("https://git.example/s.git", "protocol=https\nhost=git.example\n", True),
        ("https://git.example/s.git", "protocol=https\nhost=git.example\npath=other.git\n", True),
        ("https://git.example:443/s.git", "protocol=https\nhost=git.example:443\n", True),
        ("HTTPS://git.example/s.git", "protocol=https\nhost=git.example\n", True),
        ("http://[::1]:8080/s.git", "protocol=http\nhost=[::1]:8080\n", True),
        ("https://git.example/s.git", "protocol=http\nhost=git.example\n", False),
        ("https://git.example/s.git", "protocol=https\nhost=git.example:443\n", False),
        ("https://git.example/s.git", "protocol=https\nhost=git.example:8443\n", False),
        ("https://git.example/s.git", "protocol=https\nhost=git.example.evil.example\n", False),
        ("https://git.example/s.git", "protocol=https\nhost=evil.example\n", False),
        ("https://git.example/s.git", "protocol=https\nhost=gitxexample\n", False),
        ("https://*/s.git", "protocol=https\nhost=evil.example\n", False),
        ("https://git.example/s.git", "protocol=https\nhost=\n", False),
        ("https://git.example/s.git", "host=git.example\n", False),
        ("https://git.example/s.git", "protocol=https\n", False),
        ("https://git.example/s.git", "protocol=https\nhost=git.example\r\n", False),
        ("https://git.example/s.git", "protocol=ssh\nhost=git.example\n", False),
    ],
)
def test_what_git_asks_for_is_compared(url: str, asked: str, is_given: bool, environ: dict[str, str]) -> None:
    """As git's own words in its credential protocol; each asks the helper itself, for git asks for no odd ones."""
    place = url.partition("://")
    with password_pipe(f"{place[0]}://{USER}:{PASSWORD}@{place[2]}") as (_, options, pipe):
        helper = options[-1].removeprefix("credential.helper=!")
        for verb in ("store", "erase"):
            answer = run(["sh", "-c", f'{helper} "$@"', "sh", verb], environ, asked.encode(), pass_fds=pipe)
            assert (answer.out, answer.err) == (b"", b"")
        answer = run(["sh", "-c", f'{helper} "$@"', "sh", "get"], environ, asked.encode(), pass_fds=pipe)
    assert answer.err == b""
    assert answer.out == (f"username={USER}\npassword={PASSWORD}\n".encode() if is_given else b"")


def test_a_host_is_no_part_of_a_script(environ: dict[str, str], tmp_path: Path) -> None:
    for odd in (f"a'$(touch {tmp_path}/sign)'", f"a`touch {tmp_path}/sign`", f'a";touch {tmp_path}/sign;"'):
        url = f"https://{USER}:{PASSWORD}@{odd.replace('/', '%2F').replace(' ', '%20')}/s.git"
        with password_pipe(url) as (_, options, pipe):
            helper = options[-1].removeprefix("credential.helper=!")
            asked = f"protocol=https\nhost={odd}\n".encode()
            answer = run(["sh", "-c", f"{helper} get"], environ, asked, pass_fds=pipe)
        assert (answer.out, answer.err) == (f"username={USER}\npassword={PASSWORD}\n".encode(), b"")
        assert not (tmp_path / "sign").exists()


# What talks to the remote afterwards


def test_no_redirect_is_followed_afterwards(
    helper: Helper, installed: Program, environ: dict[str, str], git_store: Path
) -> None:
    """By sync, the doctor and the verbs; git's own store of passwords knows the thief's host here."""
    git = ["git", "-C", str(git_store)]
    with serving(401) as thief, serving(302, "Location", f"http://{thief.address}{ELSEWHERE}") as server:
        known = Path(environ["HOME"]) / ".git-credentials"
        known.write_text(f"http://{USER}:{PASSWORD}@{thief.address}\n")
        for words in (["config", "credential.helper", "store"], ["config", "http.followRedirects", "true"],
                      ["remote", "add", "origin", f"http://{server.address}/store.git"]):  # fmt: skip
            assert run([*git, *words], environ).code == 0
        answer = run([installed.passhelper, "sync"], environ)
        assert answer.code == 6
        assert b"hint: the remote leads elsewhere, where no password is sent: " in answer.err
        assert run([installed.passhelper, "doctor"], environ).code != 0
        assert helper.store("https://a.example", "u", "s", PASSHELPER_SYNC="push").code == 0
        helper.get("https://missing.example", PASSHELPER_SYNC="pull")
        assert server.asked >= 4
        assert (thief.asked, thief.given) == (0, [])


# Transports

REFUSED = (
    "fd::3", "fd::0,1/x", "foo::bar", "foo://host/path", "ext::sh -c 'touch {sign}'", "ftp://127.0.0.1:9/s.git",
    "transport-helper::x",
)  # fmt: skip


@pytest.fixture
def traps(environ: dict[str, str], tmp_path: Path) -> Path:
    """Helpers for transports on PATH, which git would start for such URLs; a sign that one was."""
    for name in ("foo", "transport-helper", "ftp2"):
        path = tmp_path / "bin" / f"git-remote-{name}"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n: > {tmp_path}/sign\n")
        path.chmod(0o755)
    environ["PATH"] = f"{tmp_path}/bin:{environ['PATH']}"
    return tmp_path / "sign"


@pytest.mark.parametrize("url", REFUSED)
def test_other_transports_are_refused(
    installed: Program, helper: Helper, environ: dict[str, str], git_store: Path, traps: Path, url: str
) -> None:
    """Wherever the URL stands, and whatever git's settings allow."""
    url = url.format(sign=traps)
    git = ["git", "-C", str(git_store)]
    for name in ("ext", "fd", "foo", "ftp", "transport-helper"):
        assert run([*git, "config", "--global", f"protocol.{name}.allow", "always"], environ).code == 0
    places = (
        [["remote", "add", "origin", url]],
        [["remote", "set-url", "origin", "https://git.example/s.git"],
         ["config", "--global", f"url.{url}.insteadOf", "https://git.example/s.git"]],
    )  # fmt: skip
    for commands in places:
        for words in commands:
            assert run([*git, *words], environ).code == 0
        answer = run([installed.passhelper, "sync"], environ)
        assert answer.code == 6
        assert b"transport '" in answer.err
        assert b"hint: give the store a URL of https, http, ssh, git or file, or a path: " in answer.err
        assert run([installed.passhelper, "doctor"], environ).code != 0
        assert helper.store("https://a.example", "u", os.urandom(4).hex(), PASSHELPER_SYNC="push").code == 0
        helper.get("https://missing.example", PASSHELPER_SYNC="pull")
        assert not traps.exists()
    new = {**environ, "PASSWORD_STORE_DIR": f"{git_store}-2"}
    for address in (url, "https://git.example/s.git"):
        answer = run([installed.passhelper, "setup", "--git", address], new)
        assert (answer.code, traps.exists()) == (6, False), answer


def test_a_url_for_pushes_alone_is_looked_at_too(
    installed: Program, environ: dict[str, str], git_store: Path, traps: Path, tmp_path: Path
) -> None:
    team = Team(tmp_path, environ)
    ann = team.adopt(git_store)
    ann.git("config", "remote.origin.pushurl", "foo::x")
    answer = run([installed.passhelper, "sync"], environ)
    assert (answer.code, traps.exists()) == (6, False)
    assert b"transport 'foo' not allowed" in answer.err
    ann.git("config", "--unset", "remote.origin.pushurl")
    ann.git("config", "remote.origin.vcs", "foo")
    answer = run([installed.passhelper, "sync"], environ)
    assert (answer.code, traps.exists()) == (6, False)


@pytest.mark.parametrize("url", ["ssh://-oProxyCommand=touch%20{sign}/s", "-oProxyCommand=touch {sign}:s"])
def test_a_host_is_no_option_of_ssh(
    installed: Program, environ: dict[str, str], git_store: Path, traps: Path, url: str
) -> None:
    url = url.format(sign=traps)
    assert run(["git", "-C", str(git_store), "config", "remote.origin.url", url], environ).code == 0
    assert run([installed.passhelper, "sync"], environ).code == 6
    answer = run([installed.passhelper, "setup", f"--git={url}"], {**environ, "PASSWORD_STORE_DIR": f"{git_store}-2"})
    assert (answer.code, traps.exists()) == (2 if url.startswith("-") else 6, False)


def test_fewer_transports_may_be_allowed(installed: Program, environ: dict[str, str], git_store: Path) -> None:
    """By git's own variable; never more."""
    assert run(["git", "-C", str(git_store), "remote", "add", "origin", str(git_store)], environ).code == 0
    for allowed, transport in (("https:foo", "file"), ("", "file")):
        answer = run([installed.passhelper, "sync"], {**environ, "GIT_ALLOW_PROTOCOL": allowed})
        assert answer.code == 6
        assert f"transport '{transport}' not allowed".encode() in answer.err


SCOPES = ("system", "global", "variables")


def configured(environ: dict[str, str], tmp_path: Path, scope: str, name: str, value: str) -> dict[str, str]:
    """An environment in which git is configured by an administrator, by its user or by a build system."""
    if scope == "variables":
        return {**environ, "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": name, "GIT_CONFIG_VALUE_0": value}
    changed = {**environ, f"GIT_CONFIG_{scope.upper()}": str(tmp_path / scope), "GIT_CONFIG_NOSYSTEM": "0"}
    assert run(["git", "config", f"--{scope}", name, value], changed).code == 0
    return changed


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("name", ["protocol.file.allow", "protocol.allow"])
def test_no_transport_that_git_is_configured_to_refuse(
    installed: Program, helper: Helper, environ: dict[str, str], git_store: Path, tmp_path: Path, scope: str, name: str
) -> None:
    team = Team(tmp_path, environ)
    ann = team.adopt(git_store)
    ann.store()
    assert run([installed.passhelper, "sync"], environ).code == 0
    head = team.head
    ann.store("https://b.example")
    forbidden = configured(environ, tmp_path, scope, name, "never")
    refused = b"transport 'file' not allowed"
    assert refused in run(["git", "-C", str(git_store), "fetch"], forbidden).err
    answer = run([installed.passhelper, "sync"], forbidden)
    assert (answer.code, refused in answer.err) == (6, True)
    assert b"git's protocol.*.allow or GIT_ALLOW_PROTOCOL forbids it\n" in answer.err
    answer = helper.store("https://c.example", "u", "x", **forbidden, PASSHELPER_SYNC="push")
    assert (answer.code, refused in answer.err, team.head) == (0, True, head)
    fresh = {**forbidden, "PASSWORD_STORE_DIR": str(tmp_path / "fresh")}
    answer = run([installed.passhelper, "setup", f"--git={team.remote}"], fresh)
    assert (answer.code, refused in answer.err) == (6, True)
    assert run([installed.passhelper, "sync"], environ).code == 0
    assert team.head != head


def test_transports_are_those_of_git_itself(environ: dict[str, str], tmp_path: Path) -> None:
    """Its own answer is the judge, for every combination of what counts."""
    urls = {"file": f"file://{tmp_path}/no.git", "https": "https://127.0.0.1:1/s", "git": "git://127.0.0.1:1/s"}
    place = repository.Repository(str(tmp_path), str(tmp_path / ".git"))
    words = (None, "always", "never", "user")
    for every, own, from_user in itertools.product(words, words, (None, "0", "true")):
        more = {} if from_user is None else {"GIT_PROTOCOL_FROM_USER": from_user}
        for name, url in urls.items():
            settings = {"protocol.allow": every, f"protocol.{name}.allow": own}
            given = [f"{key}={value}" for key, value in settings.items() if value is not None]
            options = [word for each in given for word in ("-c", each)]
            answer = run(["git", *options, "ls-remote", url], {**environ, **more})
            listing = run(["git", *options, "config", "--null", "--list"], environ).out.decode()
            found = repository.environment(place, {**environ, **more}, repository.parse_settings(listing))
            is_allowed = name in found["GIT_ALLOW_PROTOCOL"].split(":")
            assert is_allowed == (b"' not allowed" not in answer.err), (settings, more, answer.err)
    assert repository.environment(place, environ)["GIT_ALLOW_PROTOCOL"] == ""


# What everybody on the way can read


@pytest.mark.parametrize(
    ("url", "is_told"),
    [
        ("http://git.example/s.git", True),
        ("git://git.example/s.git", True),
        ("http://10.0.0.1:1/s.git", True),
        ("http://localhost.evil.example/s.git", True),
        ("http://127.0.0.1:1/s.git", False),
        ("http://localhost:1/s.git", False),
        ("http://[::1]:1/s.git", False),
        ("https://git.invalid/s.git", False),
        ("ssh://git@127.0.0.1:1/s.git", False),
        ("/nowhere/s.git", False),
    ],
)
def test_a_url_that_is_not_encrypted_is_told(
    installed: Program, environ: dict[str, str], git_store: Path, url: str, is_told: bool
) -> None:
    """Once, at setup, and by the doctor."""
    dead = {"http_proxy": "http://127.0.0.1:1", "GIT_PROXY_COMMAND": "false"}
    scheme = url.partition(":")[0]
    words = f"warning: the connection to {url} is not encrypted ({scheme}): anybody on the way can read and change it"
    new = {**environ, **dead, "PASSWORD_STORE_DIR": f"{git_store}-2"}
    answer = run([installed.passhelper, "setup", "--git", url], new)
    assert answer.err.decode().count(words) == is_told, answer
    assert run(["git", "-C", str(git_store), "remote", "add", "origin", url], environ).code == 0
    answer = run([installed.passhelper, "doctor", "--json"], {**environ, **dead})
    (check,) = [one for one in answer.json["data"]["checks"] if one["id"] == "git.transport"]
    assert bool(check["findings"]) == is_told
    if is_told:
        assert check["findings"][0]["cause"] == words.removeprefix("warning: ")
        assert (
            check["findings"][0]["remedy"]
            == f"run: git -C {git_store} remote set-url origin URL, with one of https or ssh"
        )
