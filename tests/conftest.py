"""Real gpg, real git and the installed program for every test; nothing of the caller's own environment.

Keys are made once per run, in a directory whose path is short enough for the agent's socket. Tests that
only read them share it (``keys``); tests that lock, unlock or change keys take a copy
(``own_keys``), whose agent ends with the test.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support import OLD_PIP, OWN_GIT, Helper, KeyRing, Once, Program, require
from support.clients.callers import Client, Recorder
from support.machines.engines import Engine, NoEngineError
from support.processes import begin_counting
from support.project.workswith import PROPERTY, WorksWith
from support.worlds.disks import exfat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytest_plugins = ["support.fixtures.installed", "support.fixtures.stores"]
collect_ignore = ["thirdparty"]  # another distribution, with tests of its own: see scenarios/test_thirdparty.py

REPOSITORY = Path(__file__).parent.parent
_SHARED = "passhelper_shared"
_ENGINE, _CLIENTS = "PASSHELPER_TEST_ENGINE", "PASSHELPER_TEST_CLIENTS"
_NO_ENGINE = "the Docker engine does not start: "
_NO_CLIENT = " is not here: run `.ci/clients"
_FOREIGN = ("PASSHELPER_", "PASSWORD_STORE_", "GIT_", "DOCKER_", "GPG_", "PYTHON", "XDG_")


@pytest.fixture(autouse=True)
def clean_environ(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Start every test from an environment in which nothing of the caller's is set."""
    for name in list(os.environ):
        if name.startswith(_FOREIGN) or name in ("CI", "DISPLAY", "WAYLAND_DISPLAY", "GNUPGHOME", "LANGUAGE"):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PASSHELPER_NONINTERACTIVE", "1")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    for name, value in OWN_GIT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(autouse=True)
def own_children() -> None:
    """Leave the servers that tests share out of ``support.processes.children``."""
    begin_counting()


@pytest.fixture(scope="session")
def short_tmp() -> Iterator[Path]:
    """A directory with a short path: unix sockets have 107 bytes."""
    path = Path(tempfile.mkdtemp(prefix="ph-", dir="/tmp"))
    path.chmod(0o755)
    yield path
    _remove(path)


def _remove(folder: Path) -> None:
    """Remove what a run has made, and end the engine that it may have started there."""
    Engine(folder / "engine").stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def made_once(request: pytest.FixtureRequest, short_tmp: Path) -> Once:
    """Makes what costs seconds once for all workers of a run."""
    given = getattr(request.config, "workerinput", {}).get(_SHARED)
    return Once(Path(given) if given else short_tmp)


@pytest.fixture(scope="session")
def keys(made_once: Once, short_tmp: Path) -> Iterator[KeyRing]:
    """The run's keys, made once: see :class:`support.KeyRing`. Each worker has a copy and an agent."""
    require("gpg")
    ring = KeyRing.load(made_once("keys", KeyRing.generate)).copy(short_tmp / "g")
    yield ring
    ring.stop_agent()


@pytest.fixture
def own_keys(keys: KeyRing, short_tmp: Path) -> Iterator[KeyRing]:
    """A copy of the keys with an agent of its own, which holds no passphrase yet."""
    home = Path(tempfile.mkdtemp(prefix="o", dir=short_tmp))
    ring = keys.copy(home)
    yield ring
    ring.stop_agent()
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def environ(keys: KeyRing, tmp_path: Path, clean_environ: None) -> dict[str, str]:
    """An environment with the shared keys and a store of its own that is not initialised yet."""
    return {
        "HOME": os.environ["HOME"],
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LC_ALL": "C.UTF-8",
        "GNUPGHOME": str(keys.home),
        "PASSWORD_STORE_DIR": str(tmp_path / "store"),
        "PASSHELPER_NONINTERACTIVE": "1",
        **OWN_GIT,
    }


@pytest.fixture
def store(environ: dict[str, str], keys: KeyRing) -> Path:
    """An initialised store without git, readable by ``alice``."""
    path = Path(environ["PASSWORD_STORE_DIR"])
    path.mkdir(mode=0o700)
    (path / ".gpg-id").write_text(keys["alice"] + "\n")
    return path


@pytest.fixture
def git_store(store: Path, environ: dict[str, str]) -> Path:
    """The same store as a git repository with its first commit."""
    require("git")
    git = ["git", "-C", str(store), "-c", "user.name=t", "-c", "user.email=t@example.test"]
    subprocess.run(["git", "init", "-q", "-b", "main", str(store)], check=True, env=environ)
    subprocess.run([*git, "add", "."], check=True, env=environ)
    subprocess.run([*git, "commit", "-q", "-m", "Begin"], check=True, env=environ)
    return store


@pytest.fixture
def folding_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk that takes ``Bob`` and ``bob`` for one name, as those of macOS and Windows do."""
    folder = tmp_path / "folding"
    folder.mkdir()
    with exfat(folder) as disk:
        yield disk


@pytest.fixture
def folding_store(folding_disk: Path, environ: dict[str, str], keys: KeyRing) -> Path:
    """An initialised store without git on such a disk, readable by ``alice``."""
    path = folding_disk / "store"
    path.mkdir()
    (path / ".gpg-id").write_text(keys["alice"] + "\n")
    environ["PASSWORD_STORE_DIR"] = str(path)
    return path


@pytest.fixture(scope="session")
def wheel(made_once: Once) -> Path:
    """The project's wheel, built once per run."""

    def build(folder: Path) -> None:
        command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(REPOSITORY)]
        subprocess.run(command, check=True, capture_output=True)

    return next(made_once("dist", build).glob("*.whl"))


@pytest.fixture(scope="session")
def installed(wheel: Path, made_once: Once) -> Program:
    """The programs as this interpreter's pip installs the wheel, in a virtual environment of their own."""
    libraries = Path(sysconfig.get_path("purelib"))
    return Program(made_once("venv", lambda folder: Program.install(wheel, folder, libraries=libraries)))


@pytest.fixture(scope="session", params=[OLD_PIP, "pip"], ids=["pip 23", "newest pip"])
def any_installed(request: pytest.FixtureRequest, wheel: Path, made_once: Once) -> Program:
    """The programs as an old and as the newest pip install them, for tests of the installation itself."""
    pip, libraries = request.param, Path(sysconfig.get_path("purelib"))
    made = made_once(f"venv-{pip}", lambda folder: Program.install(wheel, folder, libraries=libraries, pip=pip))
    return Program(made)


@pytest.fixture
def helper(installed: Program, environ: dict[str, str]) -> Helper:
    """The installed ``docker-credential-pass`` in this test's environment."""
    return Helper(installed.helper, environ)


@pytest.fixture(scope="session")
def engine(made_once: Once) -> Engine:
    """The run's Docker engine: the one that ``.ci/run`` has started, or one that the first test starts."""
    require("dockerd", "docker", "busybox")
    given = os.environ.get(_ENGINE, "")
    if given.startswith("/"):
        return Engine(Path(given))
    if os.geteuid() != 0:
        pytest.skip("only root starts a Docker engine")
    try:
        return Engine(made_once("engine", Engine.start))
    except NoEngineError as error:
        pytest.skip(f"{_NO_ENGINE}{error}")


@pytest.fixture(scope="session")
def more_clients() -> Callable[[str], Path]:
    """Finds what ``.ci/clients`` has fetched, such as ``debian/usr/bin/crane``; skips where it has not."""
    folder = os.environ.get(_CLIENTS, "")

    def find(path: str) -> Path:
        found = Path(folder, path)
        if not folder or not found.exists():
            pytest.skip(f"{found.name}{_NO_CLIENT} DIR` and set {_CLIENTS}=DIR")
        return found

    return find


@pytest.fixture
def client(helper: Helper, environ: dict[str, str], tmp_path: Path) -> Client:
    """Runs programs that call the installed helper, and notes their calls."""
    return Client(environ, Recorder(tmp_path / "noted", helper.program))


@pytest.fixture
def works_with(client: Client, record_property: Callable[[str, object], None]) -> Iterator[Callable[..., None]]:
    """Says which program a test drives: the README's table gets its row if the test passes."""
    said: list[dict[str, object]] = []

    def say(name: str, version: str, *, how: str = "ran", verbs: tuple[str, ...] = ()) -> None:
        """Say it.

        Args:
            name: the client.
            version: what it prints as its version, or the commit of the source that a replay follows.
            how: ``ran`` or ``replayed``.
            verbs: what the test calls without :class:`support.clients.callers.Client`.
        """
        said.append({"client": name, "version": version, "how": how, "verbs": verbs})

    yield say
    for row in said:
        record_property(PROPERTY, {**row, "verbs": sorted({*row.pop("verbs"), *client.verbs})})  # type: ignore[misc]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that writes the README's table of clients."""
    parser.addoption("--works-with", metavar="README", help="put the clients that these tests drove into a table there")


def pytest_configure(config: pytest.Config) -> None:
    """Let Ctrl-C interrupt: a shell that started us in the background has told us, and our children, to ignore it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    readme = config.getoption("--works-with")
    if readme and not hasattr(config, "workerinput"):
        config.pluginmanager.register(WorksWith(Path(readme)))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of pytest-xdist where the things are that are made once for all of them."""
    if not hasattr(node.config, _SHARED):
        path = tempfile.mkdtemp(prefix="ph-", dir="/tmp")
        os.chmod(path, 0o755)
        setattr(node.config, _SHARED, path)
        node.config.add_cleanup(lambda: _remove(Path(path)))
    node.workerinput[_SHARED] = getattr(node.config, _SHARED)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run in a random order where ``PASSHELPER_TEST_SEED`` is set, to prove that no test needs another."""
    seed = os.environ.get("PASSHELPER_TEST_SEED")
    if seed:
        random.Random(seed).shuffle(items)


@pytest.hookimpl(tryfirst=True, hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Turn a skip into a failure where ``PASSHELPER_REQUIRE_ALL=1`` says that every real part is here."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    excused = any(reason in str(report.longrepr) for reason in _EXCUSED)
    if report.skipped and not hasattr(report, "wasxfail") and _REQUIRE_ALL and not excused:
        report.outcome = "failed"
        report.longrepr = f"skipped, which PASSHELPER_REQUIRE_ALL forbids: {report.longrepr}"


# Read before the tests clean their environment.
_REQUIRE_ALL = os.environ.get("PASSHELPER_REQUIRE_ALL") == "1"
# Programs that a release of Debian does not have: `.ci/world` names them.
_EXCUSED = [
    f"Skipped: {program} is not installed'" for program in os.environ.get("PASSHELPER_TEST_WITHOUT", "").split()
]
if os.environ.get(_ENGINE) == "none":  # `.ci/run` has seen for itself that no engine starts here, and has printed why
    _EXCUSED.append(_NO_ENGINE)
if os.environ.get(_CLIENTS) == "none":
    _EXCUSED.append(_NO_CLIENT)
