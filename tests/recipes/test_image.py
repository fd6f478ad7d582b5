"""The Dockerfile, built without Docker: its instructions run on a copy-on-write view of this machine's files."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from support import PASSPHRASE, require
from support.machines.jobs import agents
from support.machines.runners import TOKEN, Site, View, private
from support.project.recipes import APT, build

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.project.recipes import Recipe

_JOB = """\
settings=$(passhelper setup --ci)
eval "$settings"
echo "dir=$PASSHELPER_CI_DIR"
ssh -V
docker manifest inspect "$IMAGE"
printf %s "$TOKEN" | docker login --username octocat --password-stdin "$REGISTRY"
passhelper teardown
echo "left=$(ls -A /dev/shm)"
"""


def test_the_runner_image(recipe: Callable[[str], Recipe], site: Site, place: Path, view: View) -> None:
    require("dpkg-query")
    environ = site.environ(place) | {
        "PATH": f"{place}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "PASSHELPER_GPG_KEY": site.key, "PASSHELPER_PASSPHRASE": PASSPHRASE, "TOKEN": TOKEN,
        "PASSHELPER_STORE_URL": f"file://{site.remote}", "PASSHELPER_ACCEPT_RECIPIENTS": site.readers,
        "IMAGE": site.image, "REGISTRY": site.registry, "PASSHELPER_NONINTERACTIVE": "1",
    }  # fmt: skip
    del environ["XDG_RUNTIME_DIR"]
    del environ["PASSHELPER_REQUIREMENTS"]
    private(place / "bin" / "apt-get", APT, 0o755)
    lines, user = build(recipe("docker-runner"), site.requirements)
    # git reads no remote of another owner; in this view it belongs to the image's user.
    # Debian's image has nobody of that number.
    nobody = "sed -i /:x:1000:/d /etc/passwd /etc/group"
    lines = ["set -eu", nobody, f"chown -R 1000:1000 {site.remote}", *lines, f"{user}/bin/sh -ec {shlex.quote(_JOB)}"]
    script = private(place / "build.sh", "\n".join(lines) + "\n")
    answer = view(["sh", script], environ, timeout=90)
    assert answer.code == 0, answer.out + answer.err
    said = answer.text
    assert "docker-credential-pass (passhelper)" in said
    assert b"OpenSSH" in answer.err
    assert '"mediaType"' in said
    assert "Login Succeeded" in said
    assert said.endswith("left=\n")
    folder = said.partition("\ndir=")[2].partition("\n")[0]
    assert folder.startswith("/dev/shm/passhelper-ci-")
    assert agents(folder) == []
