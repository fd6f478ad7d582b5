"""The store of a runner: cloned and read, written for nobody else; and ``teardown``, which removes what is ours."""

from __future__ import annotations

import base64
import http.server
import json
import os
import signal
import subprocess
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support import FOLDER, NOT_FOUND, KeyRing, require, run, tree
from support.faults.tracing import trace
from support.machines.jobs import Job, agents, git, secret_key
from support.machines.registries import USERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SERVER = "https://registry.example"


class Published:
    """A shared store: a work tree, and the bare remote that it was pushed to."""

    def __init__(self, folder: Path, keys: KeyRing, readers: tuple[str, ...] = ("alice", "bob")) -> None:
        self.keys = keys
        self.work = folder / "work"
        self.remote = folder / "remote.git"
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(self.remote)], check=True)
        subprocess.run(["git", "init", "-q", "-b", "main", str(self.work)], check=True)
        git(self.work, "remote", "add", "origin", str(self.remote))
        self.put(".gpg-id", "".join(f"{keys[name]}\n" for name in readers).encode())
        self.credential(SERVER, "team", "team's secret", *readers)

    def credential(self, server: str, user: str, secret: str, *readers: str) -> None:
        name = base64.urlsafe_b64encode(server.encode()).decode()
        self.put(f"{FOLDER}/{name}/{user}.gpg", self.keys.encrypt(secret.encode(), *readers))

    def put(self, name: str, data: bytes) -> str:
        """Commit a file and push it; returns the commit."""
        path = self.work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        git(self.work, "add", "--all")
        git(self.work, "commit", "-q", "-m", f"Change {name}")
        git(self.work, "push", "-q", "--force", "origin", "HEAD:main")
        return git(self.work, "rev-parse", "HEAD")


@pytest.fixture
def team(keys: KeyRing, tmp_path: Path) -> Published:
    require("git")
    return Published(tmp_path, keys)


@pytest.fixture
def job(make_job: Callable[..., Job], keys: KeyRing, team: Published) -> Job:
    """A job with alice's key and the public key of bob, and the team's remote."""
    job = make_job()
    both = secret_key(keys, "alice", armor=False) + keys.gpg("--export", keys["bob"]).stdout
    job.give(both)
    job.environ["PASSHELPER_STORE_URL"] = str(team.remote)
    return job


def accept(job: Job, keys: KeyRing) -> None:
    job.environ["PASSHELPER_ACCEPT_RECIPIENTS"] = f"{keys['alice']}, {keys['bob'].lower()}"


def helper(job: Job, verb: str, stdin: str = "") -> Any:
    """Run what Docker finds on PATH."""
    return run(["docker-credential-pass", verb], job.environ, stdin.encode(), executable=_program(job))


def _program(job: Job) -> str:
    return os.path.join(job.environ["PATH"].split(":")[0], "docker-credential-pass")


def store(job: Job, server: str = SERVER) -> Any:
    return helper(job, "store", json.dumps({"ServerURL": server, "Username": "job", "Secret": "token"}))


def refused(job: Job, message: str, code: int = 1) -> None:
    """Check that a set-up fails with a message and leaves nothing."""
    answer = job.set_up()
    assert (answer.code, answer.out) == (code, b"false\n"), answer.err
    assert message in answer.err.decode()
    assert job.left == []
    assert agents(str(job.runtime)) == []


def test_a_clone_for_reading(job: Job, keys: KeyRing, team: Published) -> None:
    """Nobody has vouched for the recipients that the remote names."""
    answer = job.set_up()
    job.adopt(answer.text)
    said = answer.err.decode()
    assert f"store: cloned {job.environ['PASSWORD_STORE_DIR']}\n" in said
    shown = f"+{keys['alice']} alice <alice@example.test> +{keys['bob']} bob <bob@example.test> (.gpg-id)"
    assert "warning: this clone is for reading only, its recipients are not accepted: " in said
    for part in shown.removesuffix(" (.gpg-id)").split(" +"):
        assert part.removeprefix("+") in said
    assert "set PASSHELPER_ACCEPT_RECIPIENTS to the fingerprints that you know" in said
    assert helper(job, "get", SERVER).json["Secret"] == "team's secret"
    answer = store(job)
    assert answer.code == 1
    assert answer.out.startswith(b"recipients changed: +")
    assert keys["bob"].encode() in answer.out


def test_accepted_recipients(job: Job, keys: KeyRing, team: Published) -> None:
    accept(job, keys)
    answer = job.set_up()
    assert b"warning" not in answer.err
    job.adopt(answer.text)
    del job.environ["PASSHELPER_ACCEPT_RECIPIENTS"]
    assert store(job).code == 0
    assert helper(job, "get", SERVER).json["Secret"] == "token"


def test_a_shallow_clone_that_lists_what_the_job_can_read(job: Job, keys: KeyRing, team: Published) -> None:
    """``--depth`` for large stores; the note of what can be read lies in the runner's directory and goes with it."""
    team.credential("https://others.example", "team", "not for this job", "bob")
    job.give(secret_key(keys, "alice", armor=False) + keys.gpg("--export", keys["bob"]).stdout)
    answer = job.set_up("--depth", "1")
    settings = job.adopt(answer.text)
    assert git(Path(settings["PASSWORD_STORE_DIR"]), "rev-list", "--count", "HEAD") == "1"
    assert helper(job, "list").json == {SERVER: "team"}
    assert len(list(Path(settings["PASSHELPER_CI_DIR"]).glob("rights-*"))) == 1
    assert not (job.home / ".cache").exists()
    assert job.tear_down().code == 0
    assert job.left == []


def test_a_list_that_names_nobody_is_in_no_accepted_set(job: Job, keys: KeyRing, team: Published) -> None:
    """Pinned, it would be that server's list for good; nobody has said so."""
    path = f"{FOLDER}/{base64.urlsafe_b64encode(SERVER.encode()).decode()}/.gpg-id"
    team.put(path, b"# nobody\n")
    accept(job, keys)
    answer = job.set_up()
    settings = job.adopt(answer.text)
    known = json.loads((Path(settings["PASSWORD_STORE_DIR"]) / ".git/passhelper/trust.json").read_text())
    assert list(known["recipients"]) == [".gpg-id"]
    assert f"its recipients are not accepted: a list that names nobody ({path})" in answer.err.decode()


def test_accepted_are_all_or_none(job: Job, keys: KeyRing) -> None:
    job.environ["PASSHELPER_ACCEPT_RECIPIENTS"] = keys["alice"]
    answer = job.set_up()
    assert b"warning: this clone is for reading only" in answer.err
    job.adopt(answer.text)
    assert store(job).code == 1


@pytest.mark.parametrize(
    ("signer", "says"),
    [
        ("alice", ".gpg-id 1"),
        ("bob", ".gpg-id 1"),
        ("alice", ""),  # as pass signs: it could be the list of another directory
        ("alice", "docker-credential-helpers/eA==/.gpg-id 1"),  # which it is
    ],
)
def test_signed_recipients(job: Job, keys: KeyRing, team: Published, signer: str, says: str) -> None:
    """A signature vouches only if the environment names its key, and for the very file that the text names."""
    text = f"# passhelper {says}\n{keys['alice']}\n" if says else f"{keys['alice']}\n"
    signature = keys.gpg("--local-user", keys[signer], "--detach-sign", stdin=text.encode())
    team.put(".gpg-id", text.encode())
    team.put(".gpg-id.sig", signature.stdout)
    job.environ["PASSWORD_STORE_SIGNING_KEY"] = keys["alice"]
    answer = job.set_up()
    job.adopt(answer.text)
    is_good = (signer, says) == ("alice", ".gpg-id 1")
    assert (b"warning" in answer.err) != is_good
    assert (store(job).code == 0) == is_good


STORE, OTHER = "0123456789abcdef" * 2, "fedcba9876543210" * 2  # identities


def put_signed(team: Published, says: str, *readers: str, path: str = ".gpg-id", by: str = "alice") -> None:
    """What the team's admin signs, or somebody else."""
    text = "".join([f"# passhelper {says}\n", *(f"{team.keys[name]}\n" for name in readers)]).encode()
    signature = team.keys.gpg("--local-user", team.keys[by], "--detach-sign", stdin=text).stdout
    team.put(f"{path}.sig", signature)
    team.put(path, text)


def test_a_fresh_runner_and_an_old_signed_list(job: Job, keys: KeyRing, team: Published) -> None:
    """Bob was removed; whoever can push puts back the list that he is on, which alice has signed."""
    job.environ["PASSWORD_STORE_SIGNING_KEY"] = keys["alice"]
    put_signed(team, f".gpg-id 3 {STORE}", "alice", "bob")
    put_signed(team, f".gpg-id 4 {STORE}", "alice")
    job.environ.update(PASSHELPER_STORE_SERIAL="4", PASSHELPER_STORE_ID=STORE)
    job.adopt(job.set_up().text)
    assert store(job).code == 0
    assert job.tear_down().code == 0
    put_signed(team, f".gpg-id 3 {STORE}", "alice", "bob")
    del job.environ["PASSHELPER_CI_DIR"]
    again = {"PASSHELPER_STORE_URL": str(team.remote)}
    for name in ("PASSWORD_STORE_DIR", "GNUPGHOME", "DOCKER_CONFIG"):
        job.environ.pop(name, None)
    answer = job.set_up(**again)
    assert (answer.code, answer.out) == (4, b"false\n")
    assert answer.err.decode().endswith(
        "error: .gpg-id has serial 3, and PASSHELPER_STORE_SERIAL demands 4: an old list was put back\n"
        "hint: find out who put it there; if it is right, a member runs: passhelper recipients sign && passhelper "
        "sync\n"
    )


@pytest.mark.parametrize(
    ("says", "by", "why"),
    [
        (f".gpg-id 9 {OTHER}", "alice", "the signed text is that of another store"),
        (".gpg-id 9", "alice", "the signed text does not name its store"),
        (
            f".gpg-id 9 {STORE}",
            "bob",
            "its signature is not by a key in PASSWORD_STORE_SIGNING_KEY that this keyring holds",
        ),
        (
            f"docker-credential-helpers/eA==/.gpg-id 9 {STORE}",
            "alice",
            "the signed text is that of docker-credential-helpers/eA==/.gpg-id",
        ),
        ("of the team", "alice", "the signed text does not say which file it is and how new"),
    ],
)
def test_a_fresh_runner_and_the_list_of_another_store(
    job: Job, keys: KeyRing, team: Published, says: str, by: str, why: str
) -> None:
    put_signed(team, says, "alice", "bob", by=by)
    job.environ.update(PASSWORD_STORE_SIGNING_KEY=keys["alice"], PASSHELPER_STORE_ID=STORE)
    refused(job, f"error: .gpg-id is not what PASSHELPER_STORE_ID demands: {why}\n", 4)


def test_every_list_has_to_be_new_enough(job: Job, keys: KeyRing, team: Published) -> None:
    """One that is left out would let the others in again, server by server; and one without a signature is none."""
    job.environ.update(PASSWORD_STORE_SIGNING_KEY=keys["alice"], PASSHELPER_STORE_SERIAL="5")
    put_signed(team, f".gpg-id 5 {STORE}", "alice")
    path = f"{FOLDER}/{base64.urlsafe_b64encode(SERVER.encode()).decode()}/.gpg-id"
    put_signed(team, f"{path} 4 {STORE}", "alice", "bob", path=path)
    refused(job, f"error: {path} has serial 4, and PASSHELPER_STORE_SERIAL demands 5: an old list was put back\n", 4)
    put_signed(team, f"{path} 5 {OTHER}", "alice", "bob", path=path)
    refused(
        job, f"error: {path} is not what PASSHELPER_STORE_SERIAL demands: the signed text is that of another store\n", 4
    )
    team.put(f"{path}.sig", b"")
    refused(job, f"error: {path} is not what PASSHELPER_STORE_SERIAL demands: the signed text is that of another", 4)
    put_signed(team, f"{path} 5 {STORE}", "alice", "bob", path=path)
    job.adopt(job.set_up().text)
    assert store(job).code == 0


def test_a_remote_whose_head_is_a_commit(job: Job, keys: KeyRing, team: Published) -> None:
    """As somebody leaves it who looks at an old one there: people push to the branch."""
    old = git(team.work, "rev-parse", "HEAD~1")
    git(team.remote, "update-ref", "--no-deref", "HEAD", old)
    accept(job, keys)
    job.adopt(job.set_up().text)
    path = Path(job.environ["PASSWORD_STORE_DIR"])
    assert git(path, "symbolic-ref", "HEAD") == "refs/heads/main"
    assert git(path, "rev-parse", "HEAD") == git(team.work, "rev-parse", "HEAD")
    assert store(job).code == 0
    assert git(path, "status", "--porcelain") == ""


def test_the_newest_commit_of_an_old_copy(job: Job, team: Published) -> None:
    """A server that goes on serving what it had; then a member says that nothing has changed since."""

    def commit(seconds: float) -> str:
        tree = git(team.work, "rev-parse", "HEAD^{tree}")
        text = f"tree {tree}\nauthor a <a> 1 +0000\ncommitter a <a> {int(time.time() + seconds)} +0000\n\nStill so\n"
        write = ["git", "-C", str(team.work), "hash-object", "-t", "commit", "-w", "--stdin"]
        made = subprocess.run(write, input=text.encode(), check=True, capture_output=True).stdout.decode().strip()
        git(team.work, "reset", "-q", "--hard", made)
        git(team.work, "push", "-q", "--force", "origin", "HEAD:main")
        return git(team.work, "rev-parse", "HEAD")

    job.environ["PASSHELPER_STORE_MAX_AGE"] = "7"
    old = commit(-8 * 86400)
    refused(job, f"error: the newest commit of the store, {old[:12]}, is dated ", 4)
    refused(
        job,
        ", more than 7 days ago (PASSHELPER_STORE_MAX_AGE)\nhint: find out whether the remote is an old copy; if ",
        4,
    )
    future = commit(2 * 86400)
    refused(job, f"error: commit {future[:12]} is dated ", 4)
    refused(job, ", more than an hour ahead of this clock\n", 4)
    commit(-6 * 86400)
    assert job.set_up("--depth", "1").code == 0


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("SERIAL", "-1", "a whole number from 1 to 999999999999999999: '-1'"),
        ("SERIAL", "0", "a whole number from 1 to 999999999999999999: '0'"),
        ("SERIAL", "1.5", "a whole number from 1 to 999999999999999999: '1.5'"),
        ("SERIAL", " 7", "a whole number from 1 to 999999999999999999: ' 7'"),
        ("SERIAL", "\u0667", "a whole number from 1 to 999999999999999999: '\u0667'"),
        ("SERIAL", "9" * 5000, "a whole number from 1 to 999999999999999999: '999"),
        ("MAX_AGE", "a week", "a whole number from 1 to 36500: 'a week'"),
        ("MAX_AGE", "0", "a whole number from 1 to 36500: '0'"),
        ("MAX_AGE", "36501", "a whole number from 1 to 36500: '36501'"),
        ("ID", STORE[1:], f"the identity of a store: '{STORE[1:]}'"),
        ("ID", STORE.upper(), f"the identity of a store: '{STORE.upper()}'"),
    ],
)  # fmt: skip
def test_demands_that_make_no_sense(job: Job, keys: KeyRing, name: str, value: str, said: str) -> None:
    """They are refused, and not taken for none."""
    job.environ.update({"PASSWORD_STORE_SIGNING_KEY": keys["alice"], f"PASSHELPER_STORE_{name}": value})
    refused(job, f"error: PASSHELPER_STORE_{name} is not {said}")


def test_demands_on_nothing(job: Job, keys: KeyRing) -> None:
    for name, value in (("SERIAL", "7"), ("ID", STORE)):
        job.environ[f"PASSHELPER_STORE_{name}"] = value
        refused(job, f"error: PASSHELPER_STORE_{name} is set, and nothing says who signs the lists of recipients\n"
                     "hint: set PASSWORD_STORE_SIGNING_KEY to the full fingerprint of the key that does\n")  # fmt: skip
        del job.environ[f"PASSHELPER_STORE_{name}"]
    del job.environ["PASSHELPER_STORE_URL"]
    job.environ["PASSHELPER_STORE_MAX_AGE"] = "7"
    refused(job, "error: PASSHELPER_STORE_MAX_AGE is set and PASSHELPER_STORE_URL is not, so there is nothing to clone")


def test_nothing_reaches_the_team(job: Job, keys: KeyRing, team: Published, registry: str) -> None:
    """docker login with a job's token and docker logout: the remote, the user and the next job do not notice."""
    require("docker")
    team.credential(registry, "alice", USERS["alice"], "alice", "bob")
    (job.home / ".docker").mkdir()
    (job.home / ".docker" / "config.json").write_text('{"auths": {"b.example": {"auth": "Yjpi"}}}')
    accept(job, keys)
    job.environ["DOCKER_HOST"] = "unix:///nonexistent/docker.sock"
    before = tree(team.remote), tree(job.home)
    answer = job.shell(f"""
        eval "$(passhelper setup --ci)"
        test "$(git -C "$PASSWORD_STORE_DIR" config passhelper.ci)" = true
        printf %s "{USERS["bob"]}" | docker login -u bob --password-stdin {registry}
        printf %s {registry} | docker-credential-pass get
        docker logout {registry}
        if printf %s {registry} | docker-credential-pass get; then exit 9; fi
        git -C "$PASSWORD_STORE_DIR" log --format=%s
        passhelper teardown""")
    assert answer.code == 0, answer.err
    assert "Login Succeeded" in answer.text
    assert '"Username":"bob"' in answer.text
    assert NOT_FOUND.decode() in answer.text
    assert "in this clone; the team keeps the credential" in answer.err.decode()
    assert (tree(team.remote), tree(job.home)) == before
    job.adopt(job.set_up().text)
    assert helper(job, "get", registry).json["Username"] == "alice"


def test_a_commit_that_must_be_there(job: Job, team: Published) -> None:
    first = git(team.work, "rev-parse", "HEAD~1")
    team.credential("https://b.example", "team", "s", "alice")
    job.environ["PASSHELPER_STORE_COMMIT"] = first
    assert job.set_up().code == 0
    assert len(job.left) == 1
    other = job.runtime
    assert other is not None
    job.adopt(job.set_up().text)
    job.tear_down()
    del job.environ["PASSWORD_STORE_DIR"]
    (name,) = job.left
    job.environ["PASSHELPER_CI_DIR"] = str(other / name)
    assert job.tear_down().code == 0
    job.environ["PASSHELPER_STORE_COMMIT"] = git(team.work, "rev-parse", "HEAD")
    git(team.work, "reset", "-q", "--hard", "HEAD~1")
    git(team.work, "push", "-q", "--force", "origin", "HEAD:main")
    refused(job, f"does not contain commit {job.environ['PASSHELPER_STORE_COMMIT']} (PASSHELPER_STORE_COMMIT): ", 4)
    job.environ["PASSHELPER_STORE_COMMIT"] = "main"
    refused(job, "error: PASSHELPER_STORE_COMMIT is not a full commit id: 'main'\nhint: set it to 40 hex digits\n")
    job.environ["PASSHELPER_STORE_COMMIT"] = first
    del job.environ["PASSHELPER_STORE_URL"]
    refused(job, "error: PASSHELPER_STORE_COMMIT is set and PASSHELPER_STORE_URL is not, so there is nothing to clone")


def test_unusable_remotes(job: Job, keys: KeyRing, team: Published, tmp_path: Path) -> None:
    url = job.environ["PASSHELPER_STORE_URL"]
    job.environ["PASSHELPER_STORE_URL"] = f"{url}-not"
    refused(job, f"error: git cannot clone {url}-not: ", 6)
    job.environ["PASSHELPER_STORE_URL"] = f"ext::sh -c touch% {tmp_path}/owned"
    refused(job, "transport 'ext' not allowed", 6)
    assert not (tmp_path / "owned").exists()
    job.environ["PASSHELPER_STORE_URL"] = f"--upload-pack=touch {tmp_path}/owned"
    refused(job, "git cannot clone --upload-pack=", 6)
    assert not (tmp_path / "owned").exists()
    empty = tmp_path / "empty.git"
    subprocess.run(["git", "init", "-q", "--bare", str(empty)], check=True)
    job.environ["PASSHELPER_STORE_URL"] = str(empty)
    refused(job, f"error: the store at {empty} has no commit\nhint: push a store to it first\n")
    job.environ["PASSHELPER_STORE_URL"] = url
    git(team.work, "rm", "-q", ".gpg-id")
    team.put("README", b"no store")
    refused(job, "names no recipients: it is not a password store\nhint: check PASSHELPER_STORE_URL\n")
    team.put(".gpg-id", f"{keys['bob']}\n".encode())
    refused(
        job,
        f"error: the key of this runner is not a recipient of the store: {keys['alice']} alice <alice@example.test>\n"
        f"hint: ask a member to run: passhelper recipients add {keys['alice']}\n",
    )


def test_what_a_clone_brings_is_not_run(job: Job, team: Published, tmp_path: Path) -> None:
    """Attributes of the tree, filters and hooks of the machine: no program runs, no byte changes."""
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "post-checkout").write_text(f"#!/bin/sh\ntouch {tmp_path}/owned\n")
    (hooks / "post-checkout").chmod(0o755)
    (job.home / ".gitconfig").write_text(
        f'[core]\n\thooksPath = {hooks}\n\tautocrlf = true\n[filter "x"]\n\tsmudge = "touch {tmp_path}/owned; cat"\n'
    )
    team.put(".gitattributes", b"* filter=x text eol=crlf\n")
    job.adopt(job.set_up().text)
    assert not (tmp_path / "owned").exists()
    root = Path(job.environ["PASSWORD_STORE_DIR"])
    assert (root / ".gpg-id").read_bytes() == (team.work / ".gpg-id").read_bytes()
    modes = {oct(path.stat().st_mode & 0o077) for path in (root, *root.rglob("*"))}
    assert modes == {"0o0"}


GITHUB = "ghp_16C7e42F292c6912E7710c838347Ae178B4a"
KNOWN = [f"Basic {base64.b64encode(pair.encode()).decode()}" for pair in ("ci:t0ken:%x", f"{GITHUB}:")]


class _Remote(http.server.SimpleHTTPRequestHandler):
    """Serves a bare repository to who knows the password, or has the token as his name and no password."""

    def do_GET(self) -> None:
        if self.headers.get("Authorization") in KNOWN:
            super().do_GET()
        else:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - its name there
        """Say nothing."""


@pytest.fixture
def http_remote(team: Published) -> Iterator[str]:
    git(team.remote, "update-server-info")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Remote, directory=str(team.remote))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("user", "secret"), [("ci:t0ken%3A%25x", "t0ken"), (GITHUB, GITHUB)])
def test_secret_in_the_url(job: Job, http_remote: str, user: str, secret: str) -> None:
    """It reaches git through a pipe: no process shows it, no file keeps it."""
    job.environ["PASSHELPER_STORE_URL"] = f"http://{user}@{http_remote}"
    secrets = (secret, job.environ["PASSHELPER_GPG_KEY"][:40])
    patterns = job.home / "patterns"
    patterns.write_text("\n".join(secrets))
    script = f"""
        eval "$(passhelper setup --ci)"
        printf %s {SERVER} | docker-credential-pass get
        if grep -rFf {patterns} "$PASSHELPER_CI_DIR"; then exit 9; fi
        passhelper teardown"""  # which also ends what strace would wait for
    options = ("-f", "-v", "-s", "99999")
    traced = trace(["bash", "-euc", script], job.environ, calls="execve", options=options)
    assert traced.answer.code == 0, traced.answer.err
    assert b"team's secret" in traced.answer.out
    # passhelper itself and what the shell starts have the job's variables; passhelper's children have not.
    programs = [line for line in traced.lines if "/gpg" in line or "/git" in line]
    assert any("git-remote-http" in line for line in programs)
    for text in secrets:
        assert not any(text in line for line in programs)
        assert text.encode() not in traced.answer.out + traced.answer.err


def test_a_secret_that_the_remote_refuses_is_not_shown(job: Job, http_remote: str) -> None:
    for user in ("ci:wr0ng", "gho_wr0ng", "ci"):
        job.environ["PASSHELPER_STORE_URL"] = f"http://{user}@{http_remote}"
        answer = job.set_up()
        assert (answer.code, answer.out) == (6, b"false\n")
        assert f"error: git cannot clone http://{http_remote}: " in answer.err.decode()
        assert b"wr0ng" not in answer.err
        assert b"ci@" not in answer.err
    job.environ["PASSHELPER_STORE_URL"] = f"http://ci:a%0Aurl=x@{http_remote}"
    refused(job, "error: the user name or password in the URL has a control character\nhint: check the URL\n")


def test_ssh_never_asks(job: Job, tmp_path: Path) -> None:
    """Whatever ssh command the job has."""
    ssh = tmp_path / "ssh"
    ssh.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/log\nexit 255\n')
    ssh.chmod(0o755)
    job.environ["PASSHELPER_STORE_URL"] = "ssh://git@git.example/store.git"
    of_git = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.sshCommand", "GIT_CONFIG_VALUE_0": str(ssh)}
    for given in (
        {"GIT_SSH_COMMAND": f"{ssh} -i key"},
        {"PATH": f"{tmp_path}:{job.environ['PATH']}"},
        {**of_git, "GIT_SSH": "/bin/false"},  # which git does not take then
    ):
        (tmp_path / "log").unlink(missing_ok=True)
        answer = job.set_up(**given)
        assert answer.out == b"false\n"
        words = (tmp_path / "log").read_text().split()
        assert "-oBatchMode=yes" in words
        assert ("-i" in words) == ("GIT_SSH_COMMAND" in given)


# PASSWORD_STORE_DIR


def test_a_place_of_the_users_choice(job: Job, tmp_path: Path) -> None:
    """The clone stays after teardown, until --store."""
    place = tmp_path / "a" / "clone"
    job.environ["PASSWORD_STORE_DIR"] = str(place)
    job.adopt(job.set_up().text)
    assert job.tear_down().code == 0
    assert (place / ".git").is_dir()
    assert job.tear_down().text == "nothing to tear down\n"
    assert job.tear_down("--store").text == f"removed {place}\n"
    assert not place.exists()
    assert job.tear_down("--store").text == "nothing to tear down\n"


def test_a_failure_removes_the_clone(job: Job, team: Published, keys: KeyRing, tmp_path: Path) -> None:
    team.put(".gpg-id", f"{keys['bob']}\n".encode())
    job.environ["PASSWORD_STORE_DIR"] = str(tmp_path / "clone")
    refused(job, "is not a recipient of the store")
    assert not (tmp_path / "clone").exists()


def test_a_place_in_use(job: Job, team: Published) -> None:
    job.environ["PASSWORD_STORE_DIR"] = str(team.work)
    before = tree(team.work)
    refused(
        job,
        f"error: PASSWORD_STORE_DIR ({team.work}) is not empty, so nothing is cloned into it\n"
        "hint: unset PASSWORD_STORE_DIR\n",
    )
    assert tree(team.work) == before


def test_a_store_that_is_there(job: Job, team: Published) -> None:
    """As a checkout step leaves it: used as it is, and never removed."""
    del job.environ["PASSHELPER_STORE_URL"]
    job.environ["PASSWORD_STORE_DIR"] = str(team.work)
    before = tree(team.work)
    answer = job.set_up()
    assert f"store: found {team.work}\n" in answer.err.decode()
    job.adopt(answer.text)
    assert helper(job, "get", SERVER).json["Secret"] == "team's secret"
    answer = job.tear_down("--store")
    assert (answer.code, answer.out) == (1, b"")
    assert answer.err.decode() == (
        f"error: the store {team.work} was not made by passhelper setup --ci, so it is left as it is\n"
        "hint: run: passhelper teardown, without --store\n"
    )
    assert job.tear_down().code == 0
    assert job.left == []
    assert tree(team.work) == before


def test_a_new_store_elsewhere(job: Job, tmp_path: Path) -> None:
    del job.environ["PASSHELPER_STORE_URL"]
    job.environ["PASSWORD_STORE_DIR"] = str(tmp_path / "new")
    job.adopt(job.set_up().text)
    assert store(job).code == 0
    assert job.tear_down("--store").text.endswith(f"removed {tmp_path}/new\n")
    assert not (tmp_path / "new").exists()


# teardown


@pytest.fixture
def running(job: Job) -> Job:
    """A job that is set up."""
    job.adopt(job.set_up().text)
    return job


def test_teardown_before_any_set_up(job: Job) -> None:
    answer = job.tear_down()
    assert (answer.code, answer.text) == (0, "nothing to tear down\n")


@pytest.mark.parametrize("harm", ["killed", "stopped", "sockets gone"])
def test_teardown_with_a_broken_agent(running: Job, harm: str) -> None:
    (process,) = agents(str(running.runtime))
    if harm == "sockets gone":
        for socket in Path(running.environ["GNUPGHOME"]).glob("S.*"):
            socket.unlink()
    else:
        os.kill(process, signal.SIGKILL if harm == "killed" else signal.SIGSTOP)
    answer = running.tear_down()
    assert answer.code == 0, answer.err
    assert running.left == []
    assert agents(str(running.runtime)) == []


def test_teardown_leaves_other_agents_alone(running: Job, own_keys: KeyRing) -> None:
    own_keys.gpg("--list-secret-keys")
    before = agents(str(own_keys.home))
    assert before
    assert running.tear_down().code == 0
    assert agents(str(own_keys.home)) == before


def test_teardown_follows_no_link(running: Job) -> None:
    """Not those that set-up made to the user's files, nor one that a job put there; hard links keep their data."""
    outside = running.home / "outside"
    outside.mkdir()
    (outside / "file").write_text("mine")
    private = Path(running.environ["DOCKER_CONFIG"])
    (private / "contexts").symlink_to(outside)
    (private / "one").symlink_to(outside / "file")
    os.link(outside / "file", private / "two") if private.stat().st_dev == outside.stat().st_dev else None
    assert running.tear_down().code == 0
    assert (outside / "file").read_text() == "mine"


def test_teardown_overwrites_the_key(running: Job, tmp_path: Path) -> None:
    """Somebody who still holds the file open reads zeros."""
    key = next(Path(running.environ["GNUPGHOME"], "private-keys-v1.d").glob("*.key"))
    with key.open("rb") as file:
        assert b"private-key" in file.read()
        assert running.tear_down().code == 0
        file.seek(0)
        assert set(file.read()) == {0}


def test_teardown_refuses_what_it_did_not_make(running: Job, tmp_path: Path) -> None:
    place = Path(running.environ["PASSHELPER_CI_DIR"])
    link, foreign, copy = tmp_path / "link", tmp_path / "foreign", tmp_path / "copy"
    link.symlink_to(place)
    foreign.mkdir(mode=0o700)
    copy.mkdir(mode=0o700)
    (copy / ".passhelper-ci").write_text((place / ".passhelper-ci").read_text())
    damaged = tmp_path / "damaged"
    damaged.mkdir(mode=0o700)
    (damaged / ".passhelper-ci").write_text("[]")
    for path in (link, foreign, copy, damaged, Path("relative"), tmp_path / "home"):
        running.environ["PASSHELPER_CI_DIR"] = str(path)
        answer = running.tear_down()
        assert (answer.code, answer.out) == (1, b"")
        assert answer.err.decode() == (
            f"error: {path} was not made by passhelper setup --ci for this user, so it is left as it is\n"
            "hint: unset PASSHELPER_CI_DIR\n"
        )
    place.chmod(0o755)
    running.environ["PASSHELPER_CI_DIR"] = str(place)
    assert running.tear_down().code == 1
    place.chmod(0o700)
    assert agents(str(running.runtime))
    assert running.tear_down().code == 0


def test_teardown_that_was_interrupted_is_repeated(running: Job) -> None:
    place = Path(running.environ["PASSHELPER_CI_DIR"])
    for file in (place / "auth.json", place / "docker" / "config.json"):
        file.unlink()
    assert running.tear_down().code == 0
    assert running.left == []


def test_nothing_is_made_in_a_directory_that_teardown_has_removed(running: Job) -> None:
    """The settings of a job stay in its shell: what lay there unmarked nobody would remove."""
    gone = Path(running.environ["PASSHELPER_CI_DIR"])
    assert running.tear_down().code == 0
    request = '{"ServerURL":"a.example","Username":"u","Secret":"s"}'
    for command in (
        "passhelper doctor", "passhelper docker enable", "passhelper setup",
        "passhelper setup --generate-key --no-passphrase",
        "passhelper export --format auth.json --output $PASSHELPER_CI_DIR/pull.json", "passhelper list",
        f"echo '{request}' | docker-credential-pass store", "echo a.example | docker-credential-pass get",
    ):  # fmt: skip
        answer = running.shell(command, options="-u")
        assert not gone.exists(), (command, answer)
    answer = running.shell("passhelper docker enable", options="-u")
    unset = "unset PASSHELPER_CI_DIR GNUPGHOME DOCKER_CONFIG REGISTRY_AUTH_FILE PASSWORD_STORE_DIR"
    assert answer.code == 1
    assert answer.err.decode() == (
        f"error: {gone} of setup --ci is gone, and nothing is made there without it\nhint: run: {unset}\n"
    )
    assert running.shell(f"{unset}; passhelper docker enable", options="-eu").code == 0
    assert (running.home / ".docker" / "config.json").exists()
