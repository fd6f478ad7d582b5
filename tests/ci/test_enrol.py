"""``passhelper runner``: a runner's key, from nothing to a job that reads the store, and away again."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from support import KeyRing, run
from support.machines.jobs import Job, agents
from support.machines.new import Command
from support.people.clones import Clone, Team
from support.worlds.vault import SERVER

OTHER = "https://b.example"


@pytest.fixture
def ann(team: Team, git_store: Path, own_keys: KeyRing, environ: dict[str, str]) -> Clone:
    """The store of the command's environment, shared, with a keyring that the test may change."""
    environ["GNUPGHOME"] = str(own_keys.home)
    team.environ["GNUPGHOME"] = str(own_keys.home)
    ann = team.adopt(git_store)
    ann.store()
    ann.store(OTHER, username="v")
    ann.sync()
    return ann


def variables(file: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in file.read_text().splitlines())


def test_from_nothing_to_a_job_and_away(
    passhelper: Command, ann: Clone, team: Team, make_job: Callable[..., Job], tmp_path: Path
) -> None:
    file = tmp_path / "ci.env"
    answer = passhelper("runner", "create", "ci-Linux", "--output", str(file))
    assert answer.code == 0, answer
    assert answer.text.splitlines()[-1] == f"wrote {file}: give each line to the CI system, then remove the file"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    given = variables(file)
    assert given["PASSHELPER_STORE_COMMIT"] == team.head == ann.head
    assert agents(str(tmp_path)) == []

    job = make_job()
    job.environ |= given
    exports = job.set_up()
    assert exports.code == 0, exports
    job.adopt(exports.text)
    for name in given:
        job.environ.pop(name)
    helper = run(["docker-credential-pass", "get"], job.environ, SERVER.encode(), executable=_program(job))
    assert helper.json["Secret"] == "s3cret"
    stored = run(
        ["docker-credential-pass", "store"], job.environ,
        b'{"ServerURL":"c.example","Username":"u","Secret":"s"}', executable=_program(job),
    )  # fmt: skip
    assert (stored.code, stored.out) == (0, b"")  # its accept list covers the readers
    assert job.tear_down().code == 0

    listed = passhelper("runner", "list", "--json").json["data"]
    (one,) = listed
    assert (one["name"], one["files"]) == ("ci-Linux", [".gpg-id"])
    assert one["expires"] is not None
    assert one["fingerprint"] in passhelper("runner", "list").text
    again = passhelper("runner", "create", "ci-Linux", "--output", str(tmp_path / "again"))
    assert (again.code, again.err.decode().splitlines()[0]) == (
        1,
        "error: a runner ci-Linux can read the store already",
    )

    answer = passhelper("runner", "remove", "ci-Linux")
    assert answer.code == 0
    assert answer.text.splitlines()[-2:] == [f"{SERVER} (bob)", f"{OTHER} (v)"]
    assert passhelper("runner", "list").err == b"no runner that passhelper runner create has made can read this store\n"
    answer = passhelper("runner", "remove", "ci-Linux")
    assert (answer.code, answer.err.decode()) == (
        1, "error: no runner is called ci-Linux\nhint: run: passhelper runner list\n"
    )  # fmt: skip


def _program(job: Job) -> str:
    folder = job.environ["PATH"].split(":")[0]
    return f"{folder}/docker-credential-pass"


def test_one_server_only(passhelper: Command, ann: Clone, tmp_path: Path) -> None:
    file = tmp_path / "ci.env"
    assert (
        passhelper("runner", "create", "deploy", "--path", SERVER, "--expire", "90d", "--output", str(file)).code == 0
    )
    (one,) = passhelper("runner", "list", "--json").json["data"]
    assert [Path(path).parent.name != "" for path in one["files"]] == [True]
    words = variables(file)["PASSHELPER_ACCEPT_RECIPIENTS"].split()
    assert one["fingerprint"] not in words[0]
    assert words[1].startswith(f"{SERVER}=")
    assert one["fingerprint"] in words[1]
    document = passhelper("list", "--readable-by", one["fingerprint"], "--json").json["data"]
    assert [row["server"] for row in document] == [SERVER]


def test_where_the_secret_goes(passhelper: Command, ann: Clone, tmp_path: Path) -> None:
    """To a terminal, or to a new private file; refused before there is a key."""
    answer = passhelper("runner", "create", "ci")
    assert (answer.code, answer.err.decode()) == (
        1, "error: the runner's secret key is shown on a terminal only\nhint: add: --output ci.env\n"
    )  # fmt: skip
    there = tmp_path / "there"
    there.write_text("x")
    answer = passhelper("runner", "create", "ci", "--output", str(there))
    assert (answer.code, answer.err.decode().splitlines()[0]) == (1, f"error: {there} is there already")
    answer = passhelper("runner", "create", "../ci", "--output", str(tmp_path / "new"))
    assert (answer.code, answer.err.decode().splitlines()[0]) == (
        1, "error: '../ci' cannot be the name of a runner"
    )  # fmt: skip
    assert passhelper("runner", "list", "--json").json["data"] == []


def test_a_remote_that_is_away(passhelper: Command, ann: Clone, team: Team, tmp_path: Path) -> None:
    file = tmp_path / "ci.env"
    with team.offline():
        answer = passhelper("runner", "create", "ci", "--output", str(file))
    assert answer.code == 0
    assert b"warning: not shared yet: the remote origin cannot be fetched from" in answer.err
    assert b"before the runner's first job, run: passhelper sync" in answer.err
    assert "PASSHELPER_STORE_COMMIT" not in variables(file)
