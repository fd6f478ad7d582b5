"""The recipes of the CI systems, each run as its system would run it."""

from __future__ import annotations

import base64
import os
import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support import PASSPHRASE, KeyRing, Program, require, run
from support.machines.jobs import agents, for_user, secret_key
from support.machines.runners import DUMP, TOKEN, Site, private, shell, then_environ

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.project.recipes import Recipe


# GitHub Actions


class GitHub:
    """A job: every step is a process of its own, and only the files GITHUB_ENV and GITHUB_PATH join them."""

    def __init__(self, site: Site, place: Path) -> None:
        self.environ = site.environ(place)
        self.workspace = place / "w"
        self.workspace.mkdir()
        self.files = {name: place / name for name in ("GITHUB_ENV", "GITHUB_PATH", "GITHUB_OUTPUT")}
        del self.environ["PASSHELPER_REQUIREMENTS"]
        (place / "temp").mkdir()
        self.environ |= {
            "GITHUB_ACTIONS": "true", "GITHUB_ACTOR": "octocat", "GITHUB_WORKSPACE": str(self.workspace),
            "RUNNER_TEMP": str(place / "temp"), "RUNNER_OS": "Linux", "GITHUB_ACTION_PATH": str(site.requirements),
        }  # fmt: skip
        self.said = b""

    def step(self, script: str, environ: dict[str, str]) -> None:
        for file in self.files.values():
            file.write_text("")
        files = {name: str(file) for name, file in self.files.items()}
        file = self.workspace / "step.sh"
        file.write_text(script)
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(file)]
        answer = shell(command, {**self.environ, **environ, **files}, self.workspace)
        self.said += answer.out + answer.err
        self.environ |= dict(line.split("=", 1) for line in self.files["GITHUB_ENV"].read_text().splitlines())
        for line in self.files["GITHUB_PATH"].read_text().splitlines():
            self.environ["PATH"] = f"{line}:{self.environ['PATH']}"


def filled(values: dict[str, str] | None, context: dict[str, str]) -> dict[str, str]:
    """Replace the expressions of a workflow."""
    replace = lambda found: context[found[1]]  # noqa: E731
    return {name: re.sub(r"\$\{\{ ([\w.-]+) \}\}", replace, text) for name, text in (values or {}).items()}


def run_workflow(recipe: Recipe, site: Site, place: Path) -> None:
    workflow, action = recipe.document("workflow.yml"), recipe.document("action.yml")
    context = {
        "secrets.PASSHELPER_GPG_KEY": site.key, "secrets.PASSHELPER_PASSPHRASE": PASSPHRASE,
        "secrets.PASSHELPER_STORE_URL": str(site.remote), "vars.PASSHELPER_ACCEPT_RECIPIENTS": site.readers,
        "vars.IMAGE": site.image, "vars.REGISTRY": site.registry,
        "github.token": TOKEN,
    }  # fmt: skip
    job = GitHub(site, place)
    for number, step in enumerate(workflow["jobs"]["image"]["steps"]):
        if step.get("uses") == "./.github/actions/passhelper":
            given = filled(step["with"], context)
            assert {name for name, about in action["inputs"].items() if about.get("required")} <= set(given)
            inputs = {f"inputs.{name}": given.get(name, about.get("default", ""))
                      for name, about in action["inputs"].items()}  # fmt: skip
            for inner, part in enumerate(action["runs"]["steps"]):
                assert part["shell"] == "bash"
                job.step(recipe.take("action.yml", f"runs.steps.{inner}.run"), filled(part.get("env"), inputs))
        elif "run" in step:
            script = recipe.take("workflow.yml", f"jobs.image.steps.{number}.run")
            job.step(script, filled(step.get("env"), context))
    site.check(place, job.said)


def test_github_actions(recipe: Callable[[str], Recipe], site: Site, place: Path) -> None:
    github = recipe("github-actions")
    run_workflow(github, site, place)
    workflow: Any = github.document("workflow.yml")
    assert workflow["permissions"] == {}
    last = workflow["jobs"]["image"]["steps"][-1]
    assert (last["if"], last["run"]) == ("always()", "passhelper teardown")
    for step in workflow["jobs"]["image"]["steps"]:
        assert re.fullmatch(r"\./.*|[\w./-]+@[0-9a-f]{40}", step.get("uses", "./"))


# GitLab CI


def gitlab(site: Site, place: Path, slot: str = "0", installed: Program | None = None) -> tuple[dict[str, str], Path]:
    """A job's variables, and its CI_PROJECT_DIR, of which every job at the same time has its own."""
    project = place / "builds" / slot / "app"
    project.mkdir(parents=True)
    files = Path(f"{project}.tmp")
    environ = site.environ(place) | {
        "GITLAB_CI": "true", "CI_PROJECT_DIR": str(project), "CI_JOB_ID": f"1{slot}", "CI_JOB_TOKEN": TOKEN,
        "CI_REGISTRY": site.registry, "CI_REGISTRY_IMAGE": site.image.rpartition(":")[0], "IMAGE": site.image,
        "PASSHELPER_STORE_URL": str(site.remote), "PASSHELPER_ACCEPT_RECIPIENTS": site.readers,
        # As GitLab's runner writes them in a container.
        "PASSHELPER_GPG_KEY_FILE": private(files / "PASSHELPER_GPG_KEY_FILE", site.key, 0o666),
        "PASSHELPER_PASSPHRASE_FILE": private(files / "PASSHELPER_PASSPHRASE_FILE", PASSPHRASE, 0o666),
    }  # fmt: skip
    if installed is not None:  # the image has passhelper already
        environ["PATH"] = f"{installed.folder}/bin:{environ['PATH']}"
    return environ, project


def run_gitlab(recipe: Recipe, environ: dict[str, str], project: Path) -> bytes:
    """Run a job: before_script and script are one shell, after_script is another."""
    template = "passhelper.gitlab-ci.yml"
    before, after = (recipe.take(template, f".passhelper.{name}_script") for name in ("before", "after"))
    script = recipe.take("example.gitlab-ci.yml", "image.script")
    first = shell(["bash", "-eo", "pipefail", "-c", f"{before}\n{script}"], environ, project)
    last = shell(["bash", "-eo", "pipefail", "-c", after], environ, project)
    return first.out + first.err + last.out + last.err


def test_gitlab_ci(recipe: Callable[[str], Recipe], site: Site, place: Path) -> None:
    files = recipe("gitlab-ci")
    assert files.document("example.gitlab-ci.yml")["image"]["extends"] == ".passhelper"
    environ, project = gitlab(site, place)
    site.check(place, run_gitlab(files, environ, project))
    assert not Path(f"{project}.tmp/passhelper/settings").exists()


def test_gitlab_job_that_fails(recipe: Callable[[str], Recipe], site: Site, place: Path, installed: Program) -> None:
    """The job's script fails, or set-up does: after_script leaves nothing either way."""
    files = recipe("gitlab-ci")
    template = "passhelper.gitlab-ci.yml"
    before, after = (files.take(template, f".passhelper.{name}_script") for name in ("before", "after"))
    files.take("example.gitlab-ci.yml", "image.script")
    environ, project = gitlab(site, place, installed=installed)
    for script, broken in (("exit 7", {}), ("exit 0", {"PASSHELPER_STORE_URL": "/nonexistent"})):
        job = {**environ, **broken}
        failed = run(["bash", "-eo", "pipefail", "-c", f"{before}\n{script}"], job, cwd=project)
        assert failed.code == (6 if broken else 7), failed.err
        run(["bash", "-eo", "pipefail", "-c", after], job, cwd=project)
        assert os.listdir(place / "r") == []


_STORE_AND_GET = """
printf '{"ServerURL":"registry.example","Username":"u","Secret":"s"}' | docker-credential-pass store
printf registry.example | docker-credential-pass get
"""


@pytest.mark.parametrize(
    ("sh", "locked"), [("bash -xeo pipefail", True), ("dash -xe", False), ("busybox sh -xe", True)]
)
def test_gitlab_job_that_is_not_root(
    recipe: Callable[[str], Recipe], site: Site, place: Path, installed: Program, keys: KeyRing, sh: str,
    locked: bool,
) -> None:  # fmt: skip
    """The Runner's files are root's and everybody may write to them; a trace shows no secret."""
    require("setpriv", sh.partition(" ")[0])
    if os.geteuid() != 0:
        pytest.skip("only root starts a job as another user")
    user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]
    files = recipe("gitlab-ci")
    template = "passhelper.gitlab-ci.yml"
    before, after = (files.take(template, f".passhelper.{name}_script") for name in ("before", "after"))
    files.take("example.gitlab-ci.yml", "image.script")
    environ, project = gitlab(site, place)
    environ["PATH"] = f"{for_user(installed, user, place)}:{environ['PATH']}"
    if not locked:
        Path(environ["PASSHELPER_GPG_KEY_FILE"]).write_bytes(base64.b64encode(secret_key(keys, "alice")))
        del environ["PASSHELPER_PASSPHRASE_FILE"]
    del environ["PASSHELPER_STORE_URL"], environ["PASSHELPER_ACCEPT_RECIPIENTS"]
    for folder in (project, Path(f"{project}.tmp"), place / "h", place / "r"):
        os.chown(folder, 65534, 65534)
    first = run([*user, *sh.split(), "-c", f"{before}\n{_STORE_AND_GET}{DUMP}"], environ, cwd=project)
    assert first.code == 0, first.err
    assert b'"Username":"u","Secret":"s"' in first.out
    last = run([*user, *sh.split(), "-c", after], environ, cwd=project)
    assert last.code == 0, last.err
    said = (first.out + first.err + last.out + last.err).decode()
    assert "passhelper setup --ci\n" in said
    for secret in (PASSPHRASE, Path(environ["PASSHELPER_GPG_KEY_FILE"]).read_text()[200:260]):
        assert secret not in said
    assert os.listdir(place / "r") == []
    assert agents(str(place)) == []


def test_gitlab_jobs_side_by_side(recipe: Callable[[str], Recipe], site: Site, place: Path, installed: Program) -> None:
    """Two jobs of one shell runner: the same user, home and runtime directory."""
    files = recipe("gitlab-ci")
    jobs = [gitlab(site, place, slot, installed) for slot in "01"]
    said: list[bytes] = []
    threads = [threading.Thread(target=lambda job=job: said.append(run_gitlab(files, *job))) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    site.check(place, b"".join(said), logins=2)


# Jenkins


def test_jenkins(recipe: Callable[[str], Recipe], site: Site, place: Path) -> None:
    """Every sh step is a shell of its own; only the steps inside withCredentials see those."""
    files = recipe("jenkins")
    text = (files.folder / "Jenkinsfile").read_text()
    secrets = {
        "passhelper-gpg-key": private(place / "secret" / "key", site.key),
        "passhelper-passphrase": PASSPHRASE,
        "passhelper-store-url": str(site.remote),
    }
    bound = {name: secrets[credential] for credential, name
             in re.findall(r"(?:file|string)\(credentialsId: '([\w-]+)', variable: '(\w+)'\)", text)}  # fmt: skip
    login = re.search(r"usernameVariable: '(\w+)', passwordVariable: '(\w+)'", text)
    assert len(bound) == len(secrets)
    assert login
    workspace = place / "workspace"
    workspace.mkdir()
    environ = site.environ(place) | {
        "WORKSPACE": str(workspace), "WORKSPACE_TMP": f"{workspace}@tmp", "BUILD_ID": "1", "JENKINS_URL": "http://j/",
        "PASSHELPER_ACCEPT_RECIPIENTS": site.readers, "IMAGE": site.image, "REGISTRY": site.registry,
    }  # fmt: skip
    said = b""
    for number, more in enumerate((bound, {}, {login[1]: "octocat", login[2]: TOKEN}, {})):
        script = place / f"script{number}.sh"
        script.write_text(files.take("Jenkinsfile", f"sh {number}"))
        answer = shell(["sh", "-xe", str(script)], {**environ, **more}, workspace)
        said += answer.out + answer.err
    site.check(place, said)
    assert re.search(r"post \{\s+always \{\s+sh '''.*passhelper teardown", text, re.DOTALL)


# Buildkite


def test_buildkite(recipe: Callable[[str], Recipe], site: Site, place: Path) -> None:
    """The agent sources the hooks and carries what they export from one to the next."""
    files = recipe("buildkite")
    checkout = place / "checkout"
    checkout.mkdir()
    agent = place / "bin" / "buildkite-agent"
    agent.parent.mkdir()
    agent.write_text(
        '#!/bin/sh\ncase "$1 $2 $3" in\n'
        f"'secret get PASSHELPER_GPG_KEY') echo '{site.key}';;\n"
        f"'secret get PASSHELPER_PASSPHRASE') echo '{PASSPHRASE}';;\n"
        f"'secret get PASSHELPER_STORE_URL') echo '{site.remote}';;\n"
        f"'oidc request-token --audience') printf %s \"{TOKEN}\";;\n"
        "*) exit 1;;\nesac\n"
    )
    agent.chmod(0o755)
    environ = site.environ(place) | {
        "BUILDKITE": "true", "BUILDKITE_JOB_ID": "1", "BUILDKITE_BUILD_CHECKOUT_PATH": str(checkout),
        "PASSHELPER_ACCEPT_RECIPIENTS": site.readers, "IMAGE": site.image, "REGISTRY": site.registry,
        "REGISTRY_USER": "octocat",
    }  # fmt: skip
    environ["PATH"] = f"{agent.parent}:{environ['PATH']}"
    before, after = files.take("hooks/pre-command", "whole"), files.take("hooks/pre-exit", "whole")
    said = b""
    for place_ in files.places("pipeline.yml"):
        script = files.take("pipeline.yml", place_)
        assert not re.search(r"(?<!\$)\$(?!\$)", script), "the upload of the pipeline would fill this in"
        answer = shell(["bash", "-c", before + DUMP], environ, checkout)
        said += answer.err
        job = then_environ(answer)
        assert {"PASSHELPER_GPG_KEY", "PASSHELPER_PASSPHRASE", "PASSHELPER_STORE_URL"}.isdisjoint(job)
        for command in (script.replace("$$", "$"), after):
            answer = shell(["bash", "-e", "-c", command], job, checkout)
            said += answer.out + answer.err
    site.check(place, said)
