"""The alert rules: promtool reads and tries them, and meets the metrics that a real exporter makes of a real store."""

from __future__ import annotations

import re
import signal
import subprocess
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from support import Helper, KeyRing, Program, require, run
from support.machines.jobs import git
from support.project.recipes import Recipe

if TYPE_CHECKING:
    from collections.abc import Callable

RULES, TESTS = "passhelper.rules.yml", "passhelper.tests.yml"
ENVIRON = {"PATH": "/usr/bin:/bin"}


def rules(document: Any) -> list[dict[str, Any]]:
    return [rule for group in document["groups"] for rule in group["rules"]]


def parsed(series: str) -> tuple[str, dict[str, str]]:
    """Take a time series apart, as it is written: its name and its labels."""
    name, _, labels = series.partition("{")
    return name, dict(re.findall(r'(\w+)="([^"]*)"', labels))


def test_promtool(recipe: Callable[[str], Recipe]) -> None:
    require("promtool")
    files = recipe("prometheus")
    answer = run(["sh", "-euc", files.take("README.md", "block 0")], ENVIRON, cwd=files.folder)
    assert (answer.code, answer.err) == (0, b""), answer.out + answer.err
    readme = (files.folder / "README.md").read_text()
    listed = re.findall(r"^\| `(\w+)` \|", readme, re.MULTILINE)
    assert listed == [rule["alert"] for rule in rules(files.document(RULES))]
    assert f"/{RULES}\n" in readme


@pytest.mark.parametrize("bend", ["never", "always", "at once"])
def test_the_unit_tests_notice_a_bent_rule(tmp_path: Path, bend: str) -> None:
    """So each alert has been seen to fire, not to fire short of its threshold, and not to fire too early."""
    require("promtool")
    files = Recipe("prometheus")
    (tmp_path / TESTS).write_text((files.folder / TESTS).read_text())
    for number, good in enumerate(rules(files.document(RULES))):
        document = files.document(RULES)
        rule = rules(document)[number]
        if bend == "never":
            rule["expr"] = f"({good['expr']}) unless on() vector(1)"
        elif bend == "always":
            rule["expr"] = re.sub(r" [<>]=? \d.*$", "", good["expr"])
        else:
            rule["for"] = "0s"
        assert rule != good
        (tmp_path / RULES).write_text(yaml.safe_dump(document))
        answer = run(["promtool", "test", "rules", TESTS], ENVIRON, cwd=tmp_path)
        assert answer.code == 1, good
        assert f"alertname: {good['alert']}," in answer.err.decode()


def through_the_exporter(folder: Path) -> dict[str, float]:
    """Let a node exporter read the text files of a directory; gives what Prometheus would scrape of them."""
    require("prometheus-node-exporter")
    options = ["--web.listen-address=127.0.0.1:0", "--collector.disable-defaults", "--web.disable-exporter-metrics"]
    textfile = ["--collector.textfile", f"--collector.textfile.directory={folder}"]
    exporter = subprocess.Popen(["prometheus-node-exporter", *options, *textfile], stderr=subprocess.PIPE, text=True)
    try:
        assert exporter.stderr
        found = (re.search(r'msg="Listening on" address=([\d.]+:\d+)', line) for line in exporter.stderr)
        address = next(match[1] for match in found if match)
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=20) as answer:
            text = answer.read().decode()
    finally:
        exporter.send_signal(signal.SIGTERM)
        exporter.communicate()
    ours = re.findall(r"^((?:passhelper|node_textfile_mtime)_\w+(?:\{.*\})?) (\S+)$", text, re.MULTILINE)
    return {series: float(value) for series, value in ours}


def test_real_metrics(
    installed: Program, environ: dict[str, str], own_keys: KeyRing, git_store: Path, tmp_path: Path
) -> None:
    """A store that is synced and has a reader whose key ends in five days."""
    require("promtool")
    files = Recipe("prometheus")
    ends = ["--passphrase", "", "--quick-generate-key", "Ann <ann@example.test>", "future-default", "default", "5d"]
    own_keys.gpg("--pinentry-mode", "loopback", *ends)
    colons = own_keys.gpg("--with-colons", "--list-keys", "ann@example.test").stdout.decode()
    ann = re.findall(r"^fpr:+(\w+):", colons, re.MULTILINE)[0]
    (git_store / ".gpg-id").write_text(f"{own_keys['alice']}\n{ann}\n")
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker" / "config.json").write_text('{"credsStore": "pass"}\n')
    environ |= {
        "GNUPGHOME": str(own_keys.home), "DOCKER_CONFIG": str(tmp_path / "docker"),
        "PATH": f"{installed.folder}/bin:{environ['PATH']}",
    }  # fmt: skip
    git(git_store, "commit", "-q", "-a", "-m", "Ann")
    assert Helper(installed.helper, environ).store("registry.example", "alice", "s").code == 0
    subprocess.run(["git", "clone", "-q", "--bare", str(git_store), str(tmp_path / "remote.git")], check=True)
    git(git_store, "remote", "add", "origin", str(tmp_path / "remote.git"))
    git(git_store, "fetch", "-q")
    git(git_store, "branch", "-q", "--set-upstream-to", "origin/main")
    assert run([installed.passhelper, "sync"], environ).code == 0
    textfiles = tmp_path / "textfiles"
    textfiles.mkdir()
    metrics = run([installed.passhelper, "doctor", "--prometheus"], environ)
    (textfiles / "passhelper.prom").write_bytes(metrics.out)
    real = through_the_exporter(textfiles)

    # The rules and their unit tests speak of what there is.
    there = [parsed(series) for series in real]
    alerts = rules(files.document(RULES))
    named = {name for rule in alerts for name in re.findall(r"\b(?:passhelper|node)_\w+", rule["expr"])}
    assert named == {name for name, _ in there} - {"passhelper_entries"}
    for rule in alerts:
        for name, labels in re.findall(r"(\w+)\{(.*?)\}", rule["expr"]):
            for label, is_pattern, value in re.findall(r'(\w+)=(~?)"(.*?)"', labels):
                values = [found[label] for other, found in there if other == name]
                assert any(re.fullmatch(value, one) if is_pattern else value == one for one in values)
    for test in files.document(TESTS)["tests"]:
        for given in test["input_series"]:
            name, labels = parsed(given["series"])
            assert (name, labels.keys() - {"instance"}) in [(other, set(found)) for other, found in there]

    # Two and a half hours of them: promtool's clock begins at 0, which leaves the file's time out.
    document = files.document(RULES)
    for rule in rules(document):
        del rule["annotations"]
    (tmp_path / RULES).write_text(yaml.safe_dump(document))
    series = [{"series": one, "values": f"{value:f}+0x30".replace("inf", "Inf")} for one, value in real.items()]
    expires = [labels for _, labels in there if labels.get("fingerprint") == ann]
    assert len(expires) == 1
    expected = {"PasshelperKeyExpires": [{"exp_labels": {**expires[0], "severity": "warning"}}]}
    checks = [{"eval_time": "2h", "alertname": rule["alert"], "exp_alerts": expected.get(rule["alert"], [])}
              for rule in alerts]  # fmt: skip
    test = {"interval": "5m", "input_series": series, "alert_rule_test": checks}
    (tmp_path / TESTS).write_text(yaml.safe_dump({"rule_files": [RULES], "tests": [test]}))
    answer = run(["promtool", "test", "rules", TESTS], ENVIRON, cwd=tmp_path)
    assert answer.code == 0, answer.err.decode()
