"""``setup --ci`` and ``teardown`` as jobs run them: bare environments, real gpg, a real registry, a bare remote."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import PASSPHRASE, Answer, KeyRing, Program, require, run, tree
from support.machines.jobs import BARE_PATH, Job, agents, for_user, secret_key
from support.machines.registries import USERS
from support.waiting import LIMIT, until

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NAMES = ["PATH", "GNUPGHOME", "DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "PASSWORD_STORE_DIR", "PASSHELPER_CI_DIR"]
SERVER = "https://registry.example"


@pytest.fixture
def job(make_job: Callable[..., Job], keys: KeyRing) -> Job:
    """A job with a key that has no passphrase."""
    job = make_job()
    job.give(secret_key(keys, "alice"))
    return job


def clean(job: Job, answer: Answer) -> None:
    """Check that a set-up failed and left nothing: stdout says so to ``eval``, the directory and the agent are gone."""
    assert answer.code != 0
    assert answer.out == b"false\n"
    assert job.left == []
    assert agents(str(job.runtime)) == []


LIFE = """
eval "$(passhelper setup --ci || echo false)"
echo "dir=$PASSHELPER_CI_DIR"
test "$(stat -c %a "$PASSHELPER_CI_DIR")" = 700
printf %s '{password}' | docker login -u alice --password-stdin {registry}
printf %s {registry} | docker-credential-pass get
docker logout {registry}
passhelper teardown
test ! -e "$PASSHELPER_CI_DIR"
passhelper teardown
"""


def life(job: Job, registry: str, wrapper: Sequence[str] = ()) -> str:
    """Run a whole job against the registry; check it, and return the directory that it had."""
    job.environ["DOCKER_HOST"] = "unix:///nonexistent/docker.sock"
    before = tree(job.home)
    answer = job.shell(LIFE.format(registry=registry, password=USERS["alice"]), wrapper=wrapper)
    assert answer.code == 0, answer.err
    lines = answer.text.splitlines()
    folder = lines[0].removeprefix("dir=")
    assert "Login Succeeded" in lines
    assert (
        json.dumps({"ServerURL": registry, "Username": "alice", "Secret": USERS["alice"]}, separators=(",", ":"))
        in lines
    )
    assert lines[-2:] == [f"ended its gpg-agent and removed {folder}", "nothing to tear down"]
    assert not Path(folder).exists()
    assert agents(folder) == []
    assert tree(job.home) == before
    for secret in (PASSPHRASE, job.environ.get("PASSHELPER_GPG_KEY", "-----BEGIN")):
        assert secret.encode() not in answer.out + answer.err
    return folder


def unprivileged(job: Job, installed: Program) -> None:
    """Run a job as nobody, whatever this test runs as."""
    if os.geteuid() != 0:
        return
    require("setpriv")
    job.user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]
    programs = for_user(installed, job.user, job.home.parent)
    job.passhelper = f"{programs}/passhelper"
    job.environ["PATH"] = f"{programs}:{BARE_PATH}"
    for path in [job.home.parent, *job.home.parent.rglob("*")]:
        os.chown(path, 65534, 65534)


@pytest.mark.parametrize("user", ["this user", "nobody"])
@pytest.mark.parametrize("place", ["memory", "XDG_RUNTIME_DIR"])
def test_from_a_bare_runner_to_a_login(
    make_job: Callable[..., Job], keys: KeyRing, installed: Program, registry: str, user: str, place: str
) -> None:
    require("docker")
    job = make_job(runtime=place == "XDG_RUNTIME_DIR")
    job.give(secret_key(keys, "locked"), PASSPHRASE)
    if user == "nobody":
        unprivileged(job, installed)
    folder = life(job, registry)
    assert folder.startswith("/dev/shm/" if job.runtime is None else f"{job.runtime}/")


def test_two_jobs_side_by_side(make_job: Callable[..., Job], keys: KeyRing, registry: str) -> None:
    """As two jobs of one runner run: the same user, the same home, the same store of nobody."""
    first, second = make_job(runtime=False), make_job(runtime=False)
    for job in (first, second):
        job.give(secret_key(keys, "locked"), PASSPHRASE)
    second.home = first.home
    second.environ["HOME"] = str(first.home)
    folders: list[str] = []
    threads = [threading.Thread(target=lambda job=job: folders.append(life(job, registry))) for job in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(folders)) == 2


def without_memory(option: str) -> list[str]:
    """A command prefix under which /dev/shm is another one."""
    if os.geteuid() != 0 or run(["unshare", "--mount", "true"], {"PATH": BARE_PATH}).code != 0:
        pytest.skip("no mount namespace can be made here")
    return ["unshare", "--mount", "sh", "-c", f'mount -t tmpfs -o {option} none /dev/shm && exec "$@"', "sh"]


def deep(folder: Path, size: int = 150) -> Path:
    path = folder
    while len(str(path)) < size:
        path /= "d" * min(50, max(1, size - len(str(path)) - 1))
    path.mkdir(parents=True, mode=0o700)
    return path


def test_deep_temp_directory(make_job: Callable[..., Job], keys: KeyRing, registry: str) -> None:
    """Neither memory nor the runner's temp directory will do: the agent's socket would not fit."""
    job = make_job(runtime=False)
    job.give(secret_key(keys, "locked"), PASSPHRASE)
    for name in ("TMPDIR", "RUNNER_TEMP"):
        job.environ[name] = str(deep(job.home / name))
        assert len(job.environ[name]) == 150
    folder = life(job, registry, wrapper=without_memory("ro"))
    assert folder.startswith("/tmp/passhelper-ci-")


def test_deep_temp_directory_where_there_is_memory(make_job: Callable[..., Job], keys: KeyRing, registry: str) -> None:
    job = make_job(runtime=False)
    job.give(secret_key(keys, "alice"))
    for name in ("TMPDIR", "XDG_RUNTIME_DIR"):
        job.environ[name] = str(deep(job.home / name))
    assert life(job, registry).startswith("/dev/shm/passhelper-ci-")


def test_temp_directory_instead_of_memory_is_said(make_job: Callable[..., Job], keys: KeyRing) -> None:
    job = make_job(runtime=False)
    job.give(secret_key(keys, "alice"))
    job.environ["RUNNER_TEMP"] = str(job.home)
    script = 'eval "$(passhelper setup --ci)"; echo "$PASSHELPER_CI_DIR"; passhelper teardown'
    answer = job.shell(script, wrapper=without_memory("ro"))
    folder = answer.text.splitlines()[0]
    assert folder.startswith(f"{job.home}/passhelper-ci-")
    warning = f"warning: neither XDG_RUNTIME_DIR nor /dev/shm can be used, so the key lies on disk: {folder}\n"
    assert answer.err.decode().startswith(warning)


def test_memory_in_which_no_program_may_run(make_job: Callable[..., Job], keys: KeyRing, registry: str) -> None:
    """Docker mounts a container's /dev/shm noexec: the launcher goes elsewhere, and goes again."""
    job = make_job(runtime=False)
    job.give(secret_key(keys, "alice"))
    job.environ["TMPDIR"] = str(job.home)
    assert life(job, registry, wrapper=without_memory("noexec,mode=1777")).startswith("/dev/shm/")


def test_nowhere_to_go(make_job: Callable[..., Job], keys: KeyRing) -> None:
    job = make_job(runtime=False)
    job.give(secret_key(keys, "alice"))
    hide = without_memory("ro")
    more = "mount -t tmpfs -o ro none /var/tmp && mount --bind /tmp /tmp && mount -o remount,ro,bind /tmp"
    hide[4] = hide[4].replace("&& exec", f"&& {more} && exec")
    answer = job.shell("passhelper setup --ci", wrapper=hide)
    assert (answer.code, answer.out) == (1, b"false\n")
    assert answer.err.decode() == (
        "error: no private directory can be made for the key: XDG_RUNTIME_DIR, /dev/shm, the temp directory and /tmp "
        "are missing, full, read-only, too long or other users'\n"
        "hint: set XDG_RUNTIME_DIR to a directory of your own with a short path\n"
    )


# What it makes


def test_a_variable_that_comes_before_the_store_is_named(job: Job) -> None:
    """docker from 28.3 on would take the credential from there, whatever the store holds."""
    answer = job.set_up(DOCKER_AUTH_CONFIG='{"auths": {"a.io": {"auth": "Y2FuYXJ5Og=="}}}')
    assert answer.code == 0
    assert answer.err.decode().splitlines()[-1] == (
        "warning: DOCKER_AUTH_CONFIG is set, and docker from 28.3 on takes the credentials of a.io from there, "
        "not from the store; "
        "unset DOCKER_AUTH_CONFIG; to keep what it holds, run before: passhelper import --docker-auth-config"
    )


def test_prints_nothing_but_exports(job: Job) -> None:
    answer = job.set_up()
    assert answer.code == 0
    assert list(job.adopt(answer.text)) == NAMES
    assert answer.err.decode().splitlines()[1:] == [
        f"store: made {job.environ['PASSWORD_STORE_DIR']}",
        "proved: docker-credential-pass stores, gets and erases with this key",
    ]
    assert answer.err.startswith(b"key: imported ")
    place = Path(job.environ["PASSHELPER_CI_DIR"])
    assert {oct(item.stat().st_mode & 0o777) for item in (place, *place.iterdir()) if item.is_dir()} == {"0o700"}
    conf = Path(job.environ["GNUPGHOME"], "gpg-agent.conf").read_text()
    for line in ("allow-loopback-pinentry", "allow-preset-passphrase", "default-cache-ttl 86400", "auto-expand-secmem"):
        assert line in conf.splitlines()
    trust = run(["gpg", "--batch", "--export-ownertrust"], job.environ).text
    assert trust.splitlines()[-1].endswith(":6:")


def test_secrets_are_nowhere(make_job: Callable[..., Job], keys: KeyRing, tmp_path: Path) -> None:
    job = make_job()
    key = secret_key(keys, "locked")
    job.give(key, PASSPHRASE)
    job.environ["GITHUB_ENV"] = str(tmp_path / "env")
    answer = job.set_up("--env-file", str(tmp_path / "dotenv"))
    texts = [answer.out, answer.err, *tree(job.runtime).values(), *tree(tmp_path).values()]  # type: ignore[arg-type]
    for secret in (PASSPHRASE.encode(), key.splitlines()[3], base64.b64encode(key)):
        assert not any(secret in text for text in texts)


def test_agent_keeps_the_passphrase(make_job: Callable[..., Job], keys: KeyRing) -> None:
    """Later steps have neither the key nor the passphrase; the agent has."""
    job = make_job()
    job.give(secret_key(keys, "locked"), PASSPHRASE)
    job.adopt(job.set_up().text)
    for name in ("PASSHELPER_GPG_KEY", "PASSHELPER_PASSPHRASE_FILE"):
        del job.environ[name]
    answer = job.shell(
        f"""printf '{{"ServerURL":"{SERVER}","Username":"u","Secret":"s"}}' | docker-credential-pass store
        printf {SERVER} | docker-credential-pass get"""
    )
    assert answer.json["Secret"] == "s"
    # The key is protected as well as an exported one can be, and the agent has not measured what it could take.
    assert job.shell("gpg-connect-agent 'GETINFO s2k_count' /bye").text == "D 65011712\nOK\n"
    kept = [file.read_bytes() for file in Path(job.environ["GNUPGHOME"], "private-keys-v1.d").iterdir()]
    assert any(b"openpgp-s2k3-ocb-aes" in key and b'"65011712"' in key for key in kept), kept


def test_unlock_for_some_seconds(make_job: Callable[..., Job], keys: KeyRing) -> None:
    """gpg-agent measures the time; that it forgets is waited for, not measured."""
    job = make_job()
    job.give(secret_key(keys, "locked"), PASSPHRASE)
    settings = job.adopt(job.set_up().text)
    owner = f"{keys['locked']} locked <locked@example.test>"
    answer = run([job.passhelper, "unlock", "--ttl=3600"], job.environ)
    assert (answer.code, answer.err) == (0, b"")
    assert answer.text == f"unlocked: {owner}\ngpg-agent forgets it 1 hour from now at the latest\n"
    get = f"""printf '{{"ServerURL":"{SERVER}","Username":"u","Secret":"s"}}' | docker-credential-pass store
    unset PASSHELPER_PASSPHRASE_FILE
    printf {SERVER} | docker-credential-pass get"""
    assert job.shell(get).code == 0
    # Without the passphrase nothing is forgotten.
    bare = {name: value for name, value in job.environ.items() if name != "PASSHELPER_PASSPHRASE_FILE"}
    answer = run([job.passhelper, "unlock", "--ttl=60"], bare)
    assert (answer.code, answer.out) == (1, b"")
    assert answer.err.startswith(b"error: no terminal to ask for the passphrase")
    assert job.shell(get).code == 0
    answer = run([job.passhelper, "unlock", "--ttl=1"], job.environ)
    assert answer.text.endswith("gpg-agent forgets it 1 second from now at the latest\n")
    until(lambda: job.shell(get).code != 0)
    assert b"is locked" in job.shell(get).out
    assert "\nmax-cache-ttl 1\n" in Path(settings["GNUPGHOME"], "gpg-agent.conf").read_text()
    answer = run([job.passhelper, "unlock", "--ttl=60"], {**job.environ, "GNUPGHOME": str(keys.home)})
    assert answer.err.startswith(b"error: --ttl works only with the gpg-agent of setup --ci: ")
    assert job.tear_down().code == 0


def test_unlock_for_some_seconds_where_there_is_no_passphrase(job: Job, keys: KeyRing) -> None:
    job.adopt(job.set_up().text)
    answer = run([job.passhelper, "unlock", "--ttl=60"], job.environ)
    assert answer.text.startswith(f"has no passphrase: {keys['alice']} alice <alice@example.test>\n")
    assert job.tear_down().code == 0


@pytest.mark.parametrize("form", ["armored", "base64 of binary", "file", "binary file", "wrapped base64"])
def test_forms_of_the_key(job: Job, keys: KeyRing, tmp_path: Path, form: str) -> None:
    del job.environ["PASSHELPER_GPG_KEY"]
    key = secret_key(keys, "alice", armor="binary" not in form)
    if "file" in form:
        file = tmp_path / "key"
        file.write_bytes(key)
        file.chmod(0o600)
        job.environ["PASSHELPER_GPG_KEY_FILE"] = str(file)
    else:
        text = {"armored": key, "wrapped base64": base64.encodebytes(key)}.get(form, base64.b64encode(key))
        job.environ["PASSHELPER_GPG_KEY"] = text.decode()
    assert job.set_up().code == 0


def test_passphrase_in_a_variable_and_by_descriptor(job: Job, keys: KeyRing) -> None:
    job.give(secret_key(keys, "locked"))
    assert job.set_up(PASSHELPER_PASSPHRASE=PASSPHRASE).code == 0
    answer = job.shell(f"PASSHELPER_PASSPHRASE_FD=9 passhelper setup --ci 9< <(printf '%s\\n' '{PASSPHRASE}')")
    assert answer.code == 0, answer.err


def test_settings_for_later_steps(job: Job, tmp_path: Path) -> None:
    env, path, dotenv = (tmp_path / name for name in ("env", "path", "dotenv"))
    env.write_text("BEFORE=1")  # without a line end
    job.environ |= {"GITHUB_ENV": str(env), "GITHUB_PATH": str(path)}
    answer = job.set_up("--env-file", str(dotenv))
    for file in (env, path, dotenv):
        assert f"settings: appended to {file}\n" in answer.err.decode()
    settings = job.adopt(answer.text)
    rest = "".join(f"{name}={settings[name]}\n" for name in NAMES[1:])
    assert env.read_text() == f"BEFORE=1\n{rest}"
    assert path.read_text() == settings["PATH"].split(":")[0] + "\n"
    assert dotenv.read_text() == f"PATH={settings['PATH']}\n{rest}"
    assert dotenv.stat().st_mode & 0o777 == 0o600


def test_github_without_a_path_file(job: Job, tmp_path: Path) -> None:
    env = tmp_path / "env"
    job.environ["GITHUB_ENV"] = str(env)
    settings = job.adopt(job.set_up().text)
    assert env.read_text().splitlines()[0] == f"PATH={settings['PATH']}"


def test_docker_settings_are_copied(job: Job) -> None:
    docker = job.home / ".docker"
    (docker / "contexts").mkdir(parents=True)
    (docker / "cli-plugins").mkdir()
    (docker / "cli-plugins" / "docker-x").write_text("a plugin")
    (docker / "config.json").write_text(
        '\ufeff{"auths": {"a.example": {"auth": "c2VjcmV0"}}, "CredsStore": "secretservice", "x": [1.50],'
        ' "credHelpers": {"ecr.example": "ecr-login"}, "proxies": {"default": {"httpProxy": "http://p"}}}'
    )
    before = tree(job.home)
    settings = job.adopt(job.set_up().text)
    private = Path(settings["DOCKER_CONFIG"])
    assert json.loads((private / "config.json").read_text()) == {
        "x": [1.5], "credHelpers": {"ecr.example": "ecr-login"}, "proxies": {"default": {"httpProxy": "http://p"}},
        "credsStore": "pass",
    }  # fmt: skip
    assert (private / "cli-plugins" / "docker-x").read_text() == "a plugin"
    assert (private / "contexts").is_symlink()
    assert job.tear_down().code == 0
    assert tree(job.home) == before


def test_registries(job: Job) -> None:
    """Docker is told of these alone, podman and skopeo by the names that they use."""
    settings = job.adopt(job.set_up("--registry", "https://a.example:5000/v2/", "--registry", "docker.io").text)
    config = json.loads(Path(settings["DOCKER_CONFIG"], "config.json").read_text())
    assert config == {"credHelpers": {"a.example:5000": "pass", "https://index.docker.io/v1/": "pass"}}
    auth = json.loads(Path(settings["REGISTRY_AUTH_FILE"]).read_text())
    assert auth == {"auths": {}, "credHelpers": {"a.example:5000": "pass", "docker.io": "pass"}}


def test_second_set_up_is_refused(job: Job) -> None:
    """The first one's key would stay behind."""
    job.adopt(job.set_up().text)
    answer = job.set_up()
    folder = job.environ["PASSHELPER_CI_DIR"]
    assert (answer.code, answer.out) == (1, b"false\n")
    assert answer.err.decode() == (
        f"error: this job is set up already: PASSHELPER_CI_DIR is {folder}\nhint: run: passhelper teardown\n"
    )
    assert job.tear_down().code == 0
    del job.environ["PASSWORD_STORE_DIR"]
    assert job.set_up().code == 0  # the variable still names what is gone


# What goes wrong


def test_failure_stops_a_script(job: Job) -> None:
    del job.environ["PASSHELPER_GPG_KEY"]
    answer = job.shell('eval "$(passhelper setup --ci)"\necho reached', options="-e")
    assert (answer.code, answer.out) == (1, b"")
    answer = job.shell("passhelper setup --ci --no-such-option", options="-e")
    assert (answer.code, answer.out) == (2, b"false\n")
    assert b"no such option" in answer.err


def test_no_key(job: Job) -> None:
    del job.environ["PASSHELPER_GPG_KEY"]
    answer = job.set_up()
    clean(job, answer)
    assert answer.err.decode() == (
        "error: no secret key for this runner: neither PASSHELPER_GPG_KEY nor PASSHELPER_GPG_KEY_FILE is set\n"
        "hint: set one of them to what this prints: gpg --export-secret-keys --armor FINGERPRINT | base64\n"
    )


BAD_KEYS = {
    "public": "PASSHELPER_GPG_KEY holds a public key, not a secret one",
    "binary public": "PASSHELPER_GPG_KEY holds no secret key",
    "flat": "the key in PASSHELPER_GPG_KEY has lost its line ends",
    "noise": "PASSHELPER_GPG_KEY is neither an armored key nor the base64 of one",
    "huge": "PASSHELPER_GPG_KEY is larger than 1048576 bytes, which is not a key",
    "cut": "gpg could not import the key in PASSHELPER_GPG_KEY: ",
    "binary behind armor": "PASSHELPER_GPG_KEY holds an armored key, and gpg would ignore what follows",
    "armor behind binary behind armor": "PASSHELPER_GPG_KEY holds an armored key, and gpg would ignore what",
    "armor on the same line": "PASSHELPER_GPG_KEY holds an armored key, and gpg would ignore what follows",
    "two": "PASSHELPER_GPG_KEY holds 2 secret keys, not one: ",
    "expired": "the key in PASSHELPER_GPG_KEY cannot be used: ",
    "signer": "the key in PASSHELPER_GPG_KEY cannot be used: ",
}


@pytest.mark.parametrize("kind", BAD_KEYS)
def test_bad_keys(job: Job, keys: KeyRing, tmp_path: Path, kind: str) -> None:
    if kind == "noise":
        key = b"\x01\x02"
    elif kind == "huge":
        key = b"\x95" * ((1 << 20) + 1)
    elif "armor" in kind:
        own, binary = secret_key(keys, "alice"), keys.gpg("--export", keys["bob"]).stdout
        armored = keys.gpg("--armor", "--export", keys["bob"]).stdout
        key = {
            "binary behind armor": own + binary,
            "armor behind binary behind armor": own + binary + armored,
            "armor on the same line": own.strip() + armored,
        }[kind]
    elif "public" in kind:
        key = keys.gpg(*(["--armor"] if kind == "public" else []), "--export", keys["alice"]).stdout
    else:
        names = {"two": ("alice", "bob"), "flat": ("alice",), "cut": ("alice",)}.get(kind, (kind,))
        key = secret_key(keys, *names, armor=kind != "cut")
        key = key[:40] if kind == "cut" else key.replace(b"\n", b" ") if kind == "flat" else key
    del job.environ["PASSHELPER_GPG_KEY"]
    if kind == "huge":  # no variable holds that much
        file = tmp_path / "key"
        file.write_bytes(key)
        job.environ["PASSHELPER_GPG_KEY_FILE"] = str(file)
    else:
        job.environ["PASSHELPER_GPG_KEY"] = key.decode() if kind == "flat" else base64.b64encode(key).decode()
    answer = job.set_up()
    clean(job, answer)
    message = BAD_KEYS[kind].replace("_KEY ", "_KEY_FILE ") if kind == "huge" else BAD_KEYS[kind]
    assert answer.err.decode().startswith(f"error: {message}")


def test_what_gpg_would_ignore_in_a_file(job: Job, keys: KeyRing, tmp_path: Path) -> None:
    """As `cat` joins them, one of them in binary; the message says what to do."""
    del job.environ["PASSHELPER_GPG_KEY"]
    file = tmp_path / "key"
    job.environ["PASSHELPER_GPG_KEY_FILE"] = str(file)
    file.write_bytes(secret_key(keys, "alice") + keys.gpg("--export", keys["bob"]).stdout)
    answer = job.set_up()
    clean(job, answer)
    assert answer.err.decode() == (
        "error: PASSHELPER_GPG_KEY_FILE holds an armored key, and gpg would ignore what follows its end, such as a key "
        "in binary\nhint: export every key with its armor, the others' too: gpg --armor --export FINGERPRINT\n"
    )


@pytest.mark.parametrize("between", [b"", b"\r\n\n", b"\n \t\n"])
def test_armored_keys_one_behind_the_other(job: Job, keys: KeyRing, between: bytes) -> None:
    """The secret key and those of two other readers: gpg imports them all."""
    others = [keys.gpg("--armor", "--export", keys[name]).stdout for name in ("bob", "stranger")]
    job.give(between.join([secret_key(keys, "alice"), *others]) + between)
    job.adopt(job.set_up().text)
    listing = run(["gpg", "--batch", "--list-keys", "--with-colons"], {**job.environ, "PATH": BARE_PATH}).text
    primary = [line.split(":")[9] for line in re.findall(r"^pub:.*\n(fpr:.*)", listing, re.MULTILINE)]
    assert sorted(primary) == sorted(keys[name] for name in ("alice", "bob", "stranger"))
    assert job.tear_down().code == 0


def test_a_key_without_its_decrypting_part(job: Job, own_keys: KeyRing) -> None:
    """As a person exports who keeps that part elsewhere."""
    listing = own_keys.gpg("--with-colons", "--with-keygrip", "--list-secret-keys", own_keys["alice"]).stdout.decode()
    grip = [line.split(":")[9] for line in listing.splitlines() if line.startswith("grp")][-1]
    own_keys.stop_agent()
    (own_keys.home / "private-keys-v1.d" / f"{grip}.key").unlink()
    job.give(secret_key(own_keys, "alice"))
    answer = job.set_up()
    clean(job, answer)
    assert answer.err.decode() == (
        f"error: the key in PASSHELPER_GPG_KEY lacks the secret part that decrypts: {own_keys['alice']} alice "
        "<alice@example.test>\nhint: set it to: gpg --export-secret-keys --armor FINGERPRINT\n"
    )


def test_gpg_that_trusts_nobody(job: Job, tmp_path: Path, keys: KeyRing) -> None:
    program = tmp_path / "gpg"
    program.write_text('#!/bin/sh\ncase "$*" in *--import-ownertrust*) exit 2;; esac\nexec /usr/bin/gpg "$@"\n')
    program.chmod(0o755)
    answer = job.set_up(PASSHELPER_GPG=str(program))
    clean(job, answer)
    owner = f"{keys['alice']} alice <alice@example.test>"
    assert answer.err.decode() == (
        f"error: gpg could not trust the key in PASSHELPER_GPG_KEY: {owner}\nhint: run: gpg --version\n"
    )


def test_bad_key_files(job: Job, keys: KeyRing, tmp_path: Path) -> None:
    file = tmp_path / "key"
    answer = job.set_up(PASSHELPER_GPG_KEY_FILE=str(file))
    clean(job, answer)
    cause = f"cannot read PASSHELPER_GPG_KEY_FILE ({file}): No such file or directory"
    assert answer.err.decode() == f"error: {cause}\nhint: check its path\n"
    file.write_bytes(secret_key(keys, "alice"))
    file.chmod(0o622)
    answer = job.set_up(PASSHELPER_GPG_KEY_FILE=str(file))
    clean(job, answer)
    assert answer.err.decode() == (
        f"error: PASSHELPER_GPG_KEY_FILE: {file} can be written by other users\nhint: run: chmod 600 {file}\n"
    )


def test_wrong_and_missing_passphrase(job: Job, keys: KeyRing) -> None:
    job.give(secret_key(keys, "locked"))
    answer = job.set_up()
    clean(job, answer)
    named = f"GPG key {keys['locked']} locked <locked@example.test>"
    lines = answer.err.decode().splitlines()
    assert lines[1:] == [f"error: {named} has a passphrase", "hint: set PASSHELPER_PASSPHRASE_FILE"]
    answer = job.set_up(PASSHELPER_PASSPHRASE="wrong")
    clean(job, answer)
    assert answer.err.decode().splitlines()[1:] == [
        f"error: the passphrase in PASSHELPER_PASSPHRASE does not unlock {named}",
        "hint: set PASSHELPER_PASSPHRASE",
    ]
    answer = job.set_up(PASSHELPER_PASSPHRASE_FILE="/nonexistent/file")
    clean(job, answer)
    assert b"cannot read PASSHELPER_PASSPHRASE_FILE" in answer.err


@pytest.mark.parametrize("option", ["--key=x", "--git", "--json", "--no-docker", "--generate-key"])
def test_options_of_other_machines(job: Job, option: str) -> None:
    answer = job.set_up(option)
    clean(job, answer)
    assert answer.code == 2
    name = option.partition("=")[0]
    assert answer.err.decode() == f"error: --ci and {name} exclude each other\nhint: run: passhelper setup --help\n"


def test_env_file_needs_ci(job: Job) -> None:
    answer = run([job.passhelper, "setup", "--env-file", "x"], job.environ)
    assert (answer.code, answer.out) == (2, b"")
    assert answer.err.startswith(b"error: --env-file needs --ci\n")


def test_files_that_cannot_be_written_or_read(job: Job, tmp_path: Path) -> None:
    answer = job.set_up(GITHUB_ENV=str(tmp_path))
    clean(job, answer)
    assert (
        f"error: cannot write {tmp_path}: Is a directory\nhint: name a file, or move the directory away\n"
        in answer.err.decode()
    )
    (job.home / ".docker").mkdir()
    config = job.home / ".docker" / "config.json"
    for content, why in ((b"{", "Expecting property name"), (b'"\xff"', "it is not UTF-8")):
        config.write_bytes(content)
        answer = job.set_up()
        clean(job, answer)
        assert f"error: {config} is damaged, so its settings cannot be copied: {why}" in answer.err.decode()


def test_control_character_in_path(job: Job) -> None:
    answer = job.set_up(PATH=f"{job.environ['PATH']}:/a\nb")
    clean(job, answer)
    assert b"error: PATH would hold a control character\nhint: check PATH\n" in answer.err


def test_cancelled_set_up(job: Job) -> None:
    """A runner that cancels a job sends TERM."""
    process = subprocess.Popen(
        [job.passhelper, "setup", "--ci"], env=job.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    until(lambda: agents(str(job.runtime)))
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=LIMIT)
    clean(job, Answer(process.returncode, out, err))
    assert err.endswith(b"error: interrupted\n")


KILLED = """\
set -m
passhelper setup --ci > /dev/null 2>&1 &
under_way='"agent": [1-9][0-9]*, "is_complete": false'
until grep -qs "$under_way" "$XDG_RUNTIME_DIR"/*/.passhelper-ci; do kill -0 $! || exit 9; done
kill -9 $!
wait $! || true
"""


@pytest.mark.parametrize("next_", ["set-up", "teardown"])
def test_what_a_killed_set_up_left_is_swept(job: Job, installed: Program, next_: str) -> None:
    """Its key and agent go with the next run; a job that is alive keeps its own, set up or being so."""
    alive = job.set_up()
    living = job.adopt(alive.text)["PASSHELPER_CI_DIR"]
    dead = {name: value for name, value in job.environ.items() if name != "PASSHELPER_CI_DIR"}
    assert run(["bash", "-c", KILLED], dead).code == 0
    left = [f"{job.runtime}/{name}" for name in job.left if f"{job.runtime}/{name}" != living]
    assert len(left) == 1
    assert agents(left[0]) != []
    assert list(Path(left[0], "gnupg", "private-keys-v1.d").iterdir()) != []
    if next_ == "teardown":
        answer = job.tear_down()
        assert answer.text == (
            f"removed {left[0]}, which a set-up that was killed had left\nended its gpg-agent and removed {living}\n"
        )
        assert job.left == []
    else:
        third = run([job.passhelper, "setup", "--ci"], dead)
        assert third.code == 0, third.err
        assert len(job.left) == 2
        assert Path(living).name in job.left
        assert agents(living) != []
    assert not Path(left[0]).exists()
    assert agents(left[0]) == []


def test_sockets_in_the_users_runtime_directory(make_job: Callable[..., Job], keys: KeyRing, registry: str) -> None:
    """Where /run/user/UID exists gpg keeps its sockets there; they go too."""
    job = make_job()
    job.give(secret_key(keys, "alice"))
    wrapper = without_memory("mode=1777")
    begin = "mount -t tmpfs none /run && mkdir -p -m 700 /run/user/0"
    # "d.*" is one directory for each GNUPGHOME.
    end = '"$@" && test -d /run/user/0/gnupg && test -z "$(find /run/user/0/gnupg -name "d.*")"'
    wrapper[4] = f"{begin} && {end}"
    life(job, registry, wrapper=wrapper)


@pytest.mark.parametrize("program", ["gpg", "git"])
def test_without_a_program(job: Job, installed: Program, tmp_path: Path, program: str) -> None:
    for path in ("gpg", "gpgconf", "gpg-connect-agent", "gpg-agent", "git", "sh"):
        if not path.startswith(program):
            (tmp_path / path).symlink_to(f"/usr/bin/{path}")
    answer = job.set_up(PATH=str(tmp_path), PASSHELPER_STORE_URL="/nonexistent")
    clean(job, answer)
    assert f"error: {program} not found in PATH\nhint: install " in answer.err.decode()


def test_a_terminal_is_not_asked(job: Job, keys: KeyRing) -> None:
    """On a terminal nobody is asked: the passphrase comes from the environment, or set-up fails."""
    job.give(secret_key(keys, "locked"))
    command = f"script -qec '{job.passhelper} setup --ci' /dev/null"
    require("script")
    answer = run(["sh", "-c", command], {**job.environ, "GPG_TTY": "/dev/tty"}, timeout=20)
    assert answer.code == 1
    assert b"has a passphrase" in answer.out
    assert b"\nfalse\r\n" in answer.out
    assert job.left == []
