"""What the doctor prints: lines, the envelope, metrics; and that the README lists every check."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import time
from pathlib import Path

import pytest
from support import FOLDER, Helper, KeyRing, require, run
from support.worlds.doctors import Doctor, git

from passhelper.doctor import report
from passhelper.doctor.context import Context
from passhelper.doctor.registry import CHECKS

ROOT = Path(__file__).parent.parent.parent
README = ROOT / "README.md"
_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$")


def test_one_line_each(doctor: Doctor, store: Path) -> None:
    store.chmod(0o755)
    answer = doctor.run()
    assert (answer.code, answer.err) == (1, b"")
    lines = answer.text.splitlines()
    assert {line[14:30].strip() for line in lines[:-1]} == {check.id for check in CHECKS}
    assert (
        f"failed        store.modes       other users can look into the store {store}; run: passhelper doctor --fix"
        in (answer.text)
    )
    assert "not checked   git.lock          the store is not a git repository\n" in answer.text
    assert "\x1b" not in answer.text
    fixed = doctor.run("--fix")
    assert fixed.code == 0
    assert fixed.text.startswith("fixed         store.modes       closed 1 files and directories of the store")


def test_envelope(doctor: Doctor, store: Path) -> None:
    store.chmod(0o755)
    document = doctor.run("--json").json
    assert list(document) == ["version", "command", "data"]
    assert list(document["data"]) == ["checks", "repaired"]
    check = next(check for check in document["data"]["checks"] if check["id"] == "store.modes")
    assert list(check) == ["id", "status", "findings", "notes", "reason"]
    assert list(check["findings"][0]) == ["severity", "cause", "remedy"]
    assert [check["id"] for check in document["data"]["checks"]] == [check.id for check in CHECKS]


def test_usage(doctor: Doctor) -> None:
    answer = doctor.run("--json", "--prometheus")
    assert answer.code == 2
    assert answer.err.startswith(b"error: --json and --prometheus exclude each other\n")
    assert doctor.run("--lead", "soon").code == 2
    assert b"--fix" in doctor.run("--help").out


def samples(text: str) -> dict[tuple[str, str], float]:
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            match = _SAMPLE.match(line)
            assert match, line
            found[match[1], match[2] or ""] = float(match[3])
    return found


def promtool(text: bytes) -> None:
    require("promtool")
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_prometheus(doctor: Doctor, helper: Helper, repository: Path, own_keys: KeyRing) -> None:
    doctor.environ["GNUPGHOME"] = helper.environ["GNUPGHOME"] = str(own_keys.home)
    assert helper.store("b.example", "bob", "s").code == 0
    own_keys.gpg("--quick-set-expire", own_keys["bob"], "10d")
    (repository / ".gpg-id").write_text(f"{own_keys['alice']}\n{own_keys['bob']}\n")
    git(repository, "commit", "-q", "-a", "-m", "Add bob")
    (repository / ".git" / "passhelper" / "synced").write_text(f"{time.time() - 100:.0f}\n")
    answer = doctor.run("--prometheus")
    assert (answer.code, answer.err) == (0, b"")
    promtool(answer.out)
    found = samples(answer.text)
    assert found["passhelper_entries", ""] == 2
    assert found["passhelper_drifted_entries", ""] == 2
    assert 99 <= found["passhelper_last_sync_age_seconds", ""] < 160
    labels = 'fingerprint="{}",uid="{} <{}@example.test>",unit="days"'
    days = {name: found["passhelper_recipient_time_left", labels.format(own_keys[name], name, name)]
            for name in ("alice", "bob")}  # fmt: skip
    assert days["alice"] == float("inf")
    assert 9.9 < days["bob"] <= 10
    assert found["passhelper_findings", 'severity="expiring"'] == 1
    assert found["passhelper_findings", 'severity="not accepted"'] == 1
    assert found["passhelper_findings", 'severity="failed"'] == 0


def test_old_credentials(doctor: Doctor, helper: Helper, repository: Path) -> None:
    for server, days in (("old.example", 400), ("new.example", 2)):
        stamp = f"@{int(time.time()) - days * 86400 - 60} +0000"
        assert helper.store(server, "-u", "s", GIT_COMMITTER_DATE=stamp, GIT_AUTHOR_DATE=stamp).code == 0
    assert doctor().status("store.age") == "ok"
    assert doctor("--max-age", "400").code == 0
    report = doctor("--max-age", "399")
    remedy = "change it at its registry, then run: passhelper login old.example -u -u"
    assert report.code == 5
    assert report.finding("store.age") == ("expiring", "old.example (-u) was last changed 400 days ago", remedy)
    answer = doctor.run("--prometheus", "--max-age", "399")
    promtool(answer.out)
    assert 400 * 86400 < samples(answer.text)["passhelper_oldest_credential_age_seconds", ""] < 401 * 86400
    assert "passhelper_oldest_credential_age_seconds" not in doctor.run("--prometheus").text


def test_ages_without_a_history(doctor: Doctor, helper: Helper) -> None:
    report = doctor("--max-age", "1")
    assert (report.code, report.status("store.age")) == (0, "not checked")
    assert report.checks["store.age"]["reason"] == (
        "without the whole git history of the store nobody knows how old a credential is"
    )


def test_prometheus_without_anything(doctor: Doctor, tmp_path: Path) -> None:
    """What cannot be known has no line, and the output is still metrics."""
    answer = doctor.run("--prometheus", PASSWORD_STORE_DIR=str(tmp_path / "nowhere"))
    assert answer.code == 0
    promtool(answer.out)
    assert {name for name, _ in samples(answer.text)} == {"passhelper_findings"}


def test_odd_owner_in_a_label(doctor: Doctor, store: Path, own_keys: KeyRing) -> None:
    owner = 'The "odd" \\ one <odd@example.test>'
    own_keys.gpg("--passphrase", "", "--quick-gen-key", owner, "future-default", "default", "never")
    listing = own_keys.gpg("--with-colons", "--list-keys", "odd@example.test").stdout.decode()
    fingerprint = next(line.split(":")[9] for line in listing.splitlines() if line.startswith("fpr"))
    (store / ".gpg-id").write_text(fingerprint + "\n")
    answer = doctor.run("--prometheus", GNUPGHOME=str(own_keys.home))
    promtool(answer.out)
    assert 'uid="The \\"odd\\" \\\\ one <odd@example.test>"' in answer.text


def test_causes_come_before_what_needs_them() -> None:
    seen: set[str] = set()
    for check in CHECKS:
        assert seen.issuperset(check.needs), check.id
        assert check.id not in seen
        seen.add(check.id)


def test_the_readme_lists_every_check() -> None:
    table = README.read_text().partition("<!-- begin: checks -->")[2].partition("<!-- end: checks -->")[0]
    rows = re.findall(r"^\| `([a-z]+\.[a-z-]+)` \| (.*) \|$", table, re.MULTILINE)
    assert rows == [(check.id, check.looks_at) for check in CHECKS]


def test_no_remedy_names_a_command_that_there_is_not(doctor: Doctor) -> None:
    """``passhelper recipients add`` alone is still to come, and the verbs name it already."""
    sources = "\n".join(path.read_text() for path in (ROOT / "passhelper" / "doctor").glob("*.py"))
    named = set(re.findall(r"(?:run: |keep one: |again: |mean: |or )passhelper ([a-z]+)", sources))
    assert named >= {"setup", "doctor", "unlock", "login", "recipients", "import"}
    listed = run([doctor.program, "--help"], doctor.environ).text
    for name in named:
        assert f"\n  {name} " in listed, name


def test_a_bare_machine_stays_bare(doctor: Doctor, tmp_path: Path) -> None:
    """No home of gpg, no store, no configuration: three causes, and no file made by looking."""
    home = tmp_path / "bare"
    home.mkdir()
    for name in ("GNUPGHOME", "PASSWORD_STORE_DIR", "DOCKER_CONFIG"):
        del doctor.environ[name]
    report = doctor(HOME=str(home))
    assert report.code == 1
    assert report.troubled() >= {"gpg.home", "store.path"}
    assert list(home.iterdir()) == []


def test_no_remedy_is_cut(doctor: Doctor, store: Path, keys: KeyRing) -> None:
    (store / ".gpg-id").write_text(keys["stranger"] + "\n")
    (_, _, remedy) = doctor().finding("key.store")
    lines = doctor.run().text.splitlines()
    assert remedy.startswith("ask a member to run: passhelper recipients add ")
    assert any(line.endswith(remedy) for line in lines)
    assert not any(line.endswith("...") for line in lines)


def test_a_closing_count(doctor: Doctor, store: Path, keys: KeyRing) -> None:
    """How many checks there were and how they ended; what `--fix` does, and what it leaves."""

    def last(*options: str) -> str:
        return doctor.run(*options).text.splitlines()[-1]

    whole = rf"{len(CHECKS)} checks: \d+ ok(, \d+ [a-z ]+)*"
    assert re.fullmatch(whole, last())
    store.chmod(0o755)
    (store / ".gpg-id").write_text(f"{keys['alice']}\nnobody@nowhere.test")
    assert re.fullmatch(rf"{whole}; to repair 2 of them, run: passhelper doctor --fix", last())
    left = "; the rest needs a person: each line says what to type"
    assert re.fullmatch(rf"{whole}; repaired 2{left}", last("--fix"))
    lines = [line for line in doctor.run("--fix").text.splitlines() if "store.gpg-id" in line]
    assert [line.partition(";")[2] for line in lines] == [" write one full fingerprint per line"]
    (store / ".gpg-id").write_text(f"{keys['alice']}\n")
    assert re.fullmatch(rf"{whole}; repaired 0", last("--fix"))


def test_a_repair_that_fails_says_what_was_done(
    environ: dict[str, str], store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some modes can be changed, some cannot; the others are changed all the same."""
    store.joinpath(FOLDER).mkdir(exist_ok=True)
    store.joinpath(FOLDER).chmod(0o700)
    store.joinpath(".gpg-id").chmod(0o600)
    for name in ("a", "b", "c"):
        (store / FOLDER / name).mkdir(parents=True, exist_ok=True)
        (store / FOLDER / name).chmod(0o755)
    real = os.chmod

    def chmod(path: str, mode: int) -> None:
        if path.endswith("/b"):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)
        real(path, mode)

    monkeypatch.setattr(os, "chmod", chmod)
    (check,) = (check for check in CHECKS if check.id == "store.modes")
    assert check.fix is not None
    assert [phrase for _, phrase in report._repaired(check.id, check.fix, Context(environ, 30))] == [
        "closed 2 files and directories of the store to other users",
        (
            "could not repair: 1 files and directories of the store stay open, such as docker-credential-helpers/b: "
            "Read-only file system; mount its file system writable, or choose another place"
        ),
    ]
