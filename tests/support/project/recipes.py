"""The recipes in ``contrib/``: what shell each file holds, and whether a test has run all of it."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from support import run

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTRIB = Path(__file__).parents[3] / "contrib"
# There is no network: a package that Debian does not have, or that is not installed here, fails.
APT = """\
#!/bin/sh
case "$1" in
update) ;;
install) shift; for word; do case "$word" in -*) ;; *) dpkg-query --status "$word" > /dev/null || exit 1;; esac; done;;
*) exit 1;;
esac
"""
# The keys of all these systems under which a file of theirs holds shell.
_SHELL = (
    "run",
    "script",
    "before_script",
    "after_script",
    "command",
    "commands",
    "initializeCommand",
    "postCreateCommand",
)


class Recipe:
    """One directory of ``contrib/``, or the file ``README.md`` in it.

    Attributes:
        folder: the directory.
        blocks: every piece of shell in it, by file and place, such as ``action.yml: runs.steps.0.run``.
    """

    def __init__(self, name: str) -> None:
        whole = CONTRIB / name
        self.folder = whole if whole.is_dir() else CONTRIB
        self.blocks = {
            f"{path.relative_to(self.folder)}: {place}": text
            for path in (sorted(whole.rglob("*")) if whole.is_dir() else [whole])
            if path.is_file()
            for place, text in _blocks(path)
        }
        self._taken: set[str] = set()

    def take(self, file: str, place: str) -> str:
        """Give a block that the caller is about to run."""
        key = f"{file}: {place}"
        self._taken.add(key)
        return self.blocks[key]

    def places(self, file: str) -> list[str]:
        """List the places of a file's blocks, in their order."""
        return [key.removeprefix(f"{file}: ") for key in self.blocks if key.startswith(f"{file}: ")]

    def document(self, file: str) -> Any:
        """Parse a YAML file."""
        return yaml.safe_load((self.folder / file).read_text())

    @property
    def left(self) -> list[str]:
        """What nobody has run."""
        return sorted(set(self.blocks) - self._taken)


def _blocks(path: Path) -> Iterator[tuple[str, str]]:
    text = path.read_text()
    if path.suffix in (".yml", ".json"):
        yield from _in_yaml(yaml.safe_load(text), "")
    elif path.name == "Vagrantfile":
        assert "inline" not in text  # and so no shell
    elif path.name == "Jenkinsfile":
        yield from _in_groovy(text)
    elif path.name == "Dockerfile":
        yield from ((f"RUN {number}", rest) for number, (word, rest) in enumerate(instructions(path)) if word == "RUN")
    elif path.suffix in (".service", ".timer", ".conf"):
        yield from ((f"{key} {number}", value) for number, (key, value) in enumerate(unit(path)) if "Exec" in key)
    elif text.startswith("#!"):
        yield "whole", text
    elif path.suffix == ".md":
        yield from (
            (f"block {number}", found)
            for number, found in enumerate(re.findall(r"^```sh\n(.*?)^```$", text, re.DOTALL | re.MULTILINE))
        )
    elif path.suffix in (".hcl", ".toml"):
        pass  # no shell in what these configure here
    else:
        raise AssertionError(f"{path} is not a kind of file that the tests of recipes know")


def _in_yaml(node: Any, place: str) -> Iterator[tuple[str, str]]:
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        inner = f"{place}.{key}" if place else str(key)
        if key in _SHELL and isinstance(value, str):
            yield inner, value
        elif key in _SHELL and all(isinstance(line, str) for line in value):
            yield inner, "\n".join(value)  # one shell runs them all
        else:
            yield from _in_yaml(value, inner)


def _in_groovy(text: str) -> Iterator[tuple[str, str]]:
    found = re.findall(r"^ *sh '''\n(.*?)^ *'''$", text, re.DOTALL | re.MULTILINE)
    assert len(found) == len(re.findall(r"\bsh\b *['\"(]", text)), "shell in another form than sh '''...'''"
    assert not any("\\" in block for block in found), "Groovy takes backslashes out"
    return ((f"sh {number}", block) for number, block in enumerate(found))


def instructions(path: Path) -> list[tuple[str, str]]:
    """List the instructions of a Dockerfile, each of which may go over several lines."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text(), flags=re.MULTILINE).replace("\\\n", "")
    return [(line.split()[0], line.partition(" ")[2]) for line in text.splitlines() if line.strip()]


def build(recipe: Recipe, context: Path) -> tuple[list[str], str]:
    """Turn a Dockerfile into a script, instruction by instruction, with :data:`APT` as its ``apt-get``.

    Args:
        recipe: where it is.
        context: the directory of the files that it copies.

    Returns:
        its lines, and what a command begins with that runs as the image's user.
    """
    lines, user = [], ""
    for number, (word, rest) in enumerate(instructions(recipe.folder / "Dockerfile")):
        if word == "RUN":
            lines.append(f"{user}/bin/sh -ec {shlex.quote(recipe.take('Dockerfile', f'RUN {number}'))}")
        elif word == "ENV":
            name, _, value = rest.partition("=")
            lines.append(f"export {name}={shlex.quote(value)}")
        elif word == "USER":
            owner, group = rest.split(":")
            user = f"setpriv --reuid={owner} --regid={group} --clear-groups -- "
        elif word == "WORKDIR":
            lines.append(f"cd {rest}")
        elif word == "COPY" and not rest.startswith("--from="):
            *sources, target = rest.split()
            lines.append(f"mkdir -p {target}; cd {context}; cp {' '.join(sources)} {target}; cd /")
        elif word == "COPY":
            lines.append(f"test -x {rest.split()[-1]} || command -v {Path(rest.split()[-1]).name}")
        else:
            assert word == "FROM"
    return lines, user


def unit(path: Path) -> list[tuple[str, str]]:
    """List the settings of a systemd unit."""
    lines = [line for line in path.read_text().splitlines() if "=" in line and not line.startswith("#")]
    return [(line.partition("=")[0], line.partition("=")[2]) for line in lines]


def environment(path: Path, home: str = "%h") -> dict[str, str]:
    """Read the variables that a unit or drop-in sets.

    Args:
        path: its file.
        home: what ``%h`` stands for.
    """
    lines = [value.replace("%h", home) for key, value in unit(path) if key == "Environment"]
    return {line.partition("=")[0]: line.partition("=")[2] for line in lines}


def check_drop_in(path: Path, service: str, folder: Path) -> None:
    """Let systemd read a drop-in beside a service that does nothing.

    Args:
        path: the drop-in.
        service: the service that it is for, which is not installed here.
        folder: an empty directory.
    """
    place = folder / f"{service}.service.d"
    place.mkdir()
    shutil.copy(path, place)
    (folder / f"{service}.service").write_text("[Service]\nExecStart=/bin/true\n")
    words = ["systemd-analyze", "--man=no", "verify", f"{service}.service"]
    answer = run(words, {"PATH": "/usr/bin:/bin"}, cwd=folder)
    assert (answer.code, answer.out, answer.err) == (0, b"", b"")


def command(line: str, environ: dict[str, str]) -> list[str]:
    """Split a command of a unit as systemd.service(5) has it: ``${NAME}`` is one word, ``$$`` a dollar."""

    def value(found: re.Match[str]) -> str:
        return "$" if found[0] == "$$" else environ[found[1]]

    return [re.sub(r"\$\$|\$\{(\w+)\}", value, word) for word in shlex.split(line)]
