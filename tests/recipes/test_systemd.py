"""The systemd units: what they start is started, with their own environment; systemd itself reads them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from support import Helper, Program, require, run
from support.machines.jobs import git
from support.project.recipes import CONTRIB, command, unit

from passhelper.cli import _COMMANDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.project.recipes import Recipe


def start(recipe: Recipe, name: str, environ: dict[str, str]) -> int:
    """Run what a service runs, in its order, up to the first that fails; returns what that exits with."""
    settings = unit(recipe.folder / name)
    home = environ["HOME"]
    own = [value.replace("%h", home).split("=", 1) for key, value in settings if key == "Environment"]
    environ = dict(own) | environ | {"PATH": dict(own)["PATH"]}
    code = 0
    for number, (key, _) in enumerate(settings):
        if "Exec" in key:
            line = recipe.take(name, f"{key} {number}")
            if code == 0 or key == "ExecStopPost":
                answer = run(command(line, environ), environ)
                code = code or answer.code
    return code


def at_home(environ: dict[str, str], installed: Program, clone: Path) -> dict[str, str]:
    """Put passhelper into ~/.local/bin in the README's own words; systemd sets no PATH of ours."""
    words = re.search(r"mkdir -p ~/\.local/bin && ln -sf [^&\n]+", (CONTRIB.parent / "README.md").read_text())
    assert words
    clone.mkdir()
    (clone / ".venv").symlink_to(installed.folder)
    assert run(["sh", "-euc", words[0]], environ, cwd=clone).code == 0
    return {name: value for name, value in environ.items() if name not in ("PATH", "PASSHELPER_NONINTERACTIVE")}


def test_units(
    recipe: Callable[[str], Recipe], installed: Program, environ: dict[str, str], helper: Helper, git_store: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    units = recipe("systemd")
    assert helper.store("registry.example", "alice", "s").code == 0
    textfiles = tmp_path / "textfiles"
    textfiles.mkdir()
    environ = at_home(environ, installed, tmp_path / "clone") | {"TEXTFILE_DIRECTORY": str(textfiles)}
    assert start(units, "passhelper-metrics.service", environ) == 0
    metrics = textfiles / "passhelper.prom"
    assert list(textfiles.iterdir()) == [metrics]
    assert "\npasshelper_entries 1\n" in metrics.read_text()
    require("promtool")
    with metrics.open("rb") as file:
        subprocess.run(["promtool", "check", "metrics"], stdin=file, check=True)
    # The exporter keeps the last good file where the next one cannot be written.
    metrics_before = metrics.read_text()
    (Path(environ["HOME"]) / ".local" / "bin" / "passhelper").unlink()
    assert start(units, "passhelper-metrics.service", environ) != 0
    assert (list(textfiles.iterdir()), metrics.read_text()) == ([metrics], metrics_before)
    (Path(environ["HOME"]) / ".local" / "bin" / "passhelper").symlink_to(installed.passhelper)
    remote = tmp_path / "remote.git"
    subprocess.run(["git", "clone", "-q", "--bare", str(git_store), str(remote)], check=True)
    git(git_store, "remote", "add", "origin", str(remote))
    git(git_store, "fetch", "-q")
    git(git_store, "branch", "-q", "--set-upstream-to", "origin/main")
    helper.store("registry.example", "alice", "another")
    code = start(units, "passhelper-sync.service", environ)
    if "sync" in _COMMANDS:
        assert code == 0
        assert git(remote, "rev-parse", "main") == git(git_store, "rev-parse", "HEAD")


def test_systemd_reads_the_units(tmp_path: Path) -> None:
    require("systemd-analyze")
    units = sorted(path for path in (CONTRIB / "systemd").iterdir() if path.suffix != ".md")
    for path in units:
        shutil.copy(path, tmp_path)
    files = [str(tmp_path / path.name) for path in units]
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    answer = run(["systemd-analyze", "--user", "--man=no", "verify", *files], environ)
    assert (answer.code, answer.out, answer.err) == (0, b"", b"")
    for path in units:
        if path.suffix == ".timer":
            assert path.with_suffix(".service") in units
            assert ("WantedBy", "timers.target") in unit(path)
            assert re.search(r"OnUnitActiveSec=\d+min", path.read_text())
