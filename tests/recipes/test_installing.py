"""What recipes install: what is in a file with hashes, and images by their digests."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

from support import run
from support.machines.jobs import BARE_PATH
from support.machines.registries import serve_registry
from support.project.recipes import CONTRIB, Recipe

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.machines.engines import Engine
    from support.machines.runners import Site

_INSTALLS = re.compile(r'pip"? install (.*?)\n', re.DOTALL)
RECIPES = ("buildkite", "devcontainer", "docker-runner", "github-actions", "gitlab-ci", "jenkins")


def test_no_recipe_installs_without_hashes() -> None:
    found = {
        name: [" ".join(line.split()) for line in _INSTALLS.findall(text.replace("\\\n", ""))]
        for name in (path.name for path in CONTRIB.iterdir() if path.is_dir() and path.name != "bench")
        for text in ["\n".join(Recipe(name).blocks.values()) + "\n"]
        if _INSTALLS.search(text)
    }
    assert sorted(found) == sorted(RECIPES)
    for name, lines in found.items():
        for line in lines:
            assert re.match(
                r"--quiet --require-hashes --only-binary=:all: (--no-cache-dir )?--requirement \S+", line
            ), name


def test_another_wheel_is_not_installed(site: Site, place: Path) -> None:
    """Somebody has put one of the same name and version into the repository or the index."""
    requirements = place / "requirements"
    shutil.copytree(site.requirements, requirements)
    with next(requirements.glob("*.whl")).open("ab") as file:
        file.write(b"\0")
    step = Recipe("github-actions").take("action.yml", "runs.steps.0.run")
    environ = site.environ(place) | {
        "RUNNER_TEMP": str(place), "GITHUB_PATH": str(place / "path"), "GITHUB_ACTION_PATH": str(requirements),
    }  # fmt: skip
    answer = run(["bash", "-eo", "pipefail", "-c", step], environ, timeout=60)
    assert answer.code == 1
    assert b"DO NOT MATCH THE HASHES" in answer.err
    assert not (place / "path").exists()


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def pinned(recipe: Callable[[str], Recipe], engine: Engine, *words: str) -> tuple[int, str, str]:
    environ = {"PATH": BARE_PATH, "HOME": str(engine.folder), "DOCKER_HOST": engine.host}
    script = recipe("pin-images").take("pin-images", "whole")
    answer = run(["sh", "-c", script, "pin-images", *words], environ, timeout=60)
    return answer.code, answer.text, answer.err.decode()


def test_the_digest_of_an_image(recipe: Callable[[str], Recipe], engine: Engine, tmp_path: Path) -> None:
    for registry in serve_registry(_made(tmp_path / "registry"), password=False):
        image, file = f"{registry}/team/app:1", tmp_path / "Dockerfile"
        for number in (1, 2):  # the tag means another image the second time
            engine.make_image(image, {"bin/sh": "/bin/busybox"}, f"ENV NUMBER={number}")
            engine.push(image, "", "")
            engine.remove_images(f"{registry}/*/*")
            if number == 1:
                file.write_text(f"# a comment\nFROM {image} AS base\nRUN x\nFROM base\n")
                file.chmod(0o640)
            code, out, err = pinned(recipe, engine, str(file))
            assert (code, err) == (0, "")
            found = re.search(rf"^FROM ({image}@sha256:[0-9a-f]{{64}}) AS base$", file.read_text(), re.MULTILINE)
            assert found
            assert out == f"{found[1]}\n"
            assert file.read_text() == f"# a comment\nFROM {found[1]} AS base\nRUN x\nFROM base\n"
            engine.remove_images(f"{registry}/*/*")
            engine.docker("pull", found[1])
            variables = engine.docker("image", "inspect", "--format", "{{.Config.Env}}", found[1]).stdout
            assert f"NUMBER={number}".encode() in variables
            engine.remove_images(f"{registry}/*/*")
        assert file.stat().st_mode & 0o777 == 0o640


def test_what_is_not_pulled_stays(recipe: Callable[[str], Recipe], engine: Engine, tmp_path: Path) -> None:
    file = tmp_path / "Dockerfile"
    file.write_text("FROM localhost:1/team/app:1\n")
    code, out, err = pinned(recipe, engine, str(file))
    assert (code, out) == (1, "")
    assert err.endswith(f"pin-images: localhost:1/team/app:1 was not pulled, so {file} keeps what it says of it\n")
    assert file.read_text() == "FROM localhost:1/team/app:1\n"
    assert pinned(recipe, engine) == (2, "", "usage: pin-images DOCKERFILE...\n")
