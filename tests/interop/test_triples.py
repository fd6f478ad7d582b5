"""One credential written by one program and read by the others, over a table of awkward ones."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, NamedTuple

import pytest
from support import FOLDER, NOT_FOUND, Answer, Helper, require_go_helper, run

if TYPE_CHECKING:
    from pathlib import Path

_JSON_KEY = json.dumps(
    {
        "type": "service_account",
        "project_id": "example",
        "private_key": "-----BEGIN PRIVATE KEY-----\nMIIEvQ==\n-----END PRIVATE KEY-----\n",
        "client_email": "bot@example.iam.gserviceaccount.test",
    },
    indent=2,
)


class Triple(NamedTuple):
    """One row: what is stored, and the file name where it is not the username itself."""

    server: str
    username: str
    secret: str
    file: str = ""

    @property
    def entry(self) -> str:
        """The entry's name for ``pass``."""
        return f"{self.folder}/{self.file or self.username}"

    @property
    def folder(self) -> str:
        return f"{FOLDER}/{base64.urlsafe_b64encode(self.server.encode()).decode()}"


TRIPLES = {
    "docker hub": Triple("https://index.docker.io/v1/", "alice", "dckr_pat_0123456789"),
    "hub access token": Triple("https://index.docker.io/v1/access-token", "alice", "eyJhbGciOi.J9.x-_"),
    "identity token": Triple("registry.example", "<token>", "refresh-token-1"),
    "json key": Triple("gcr.example", "_json_key", _JSON_KEY),
    "json key base64": Triple("eu-docker.pkg.example", "_json_key_base64", "eyJrZXkiOiAiISEifQ=="),
    "oauth2 access token": Triple("https://gcr.example", "oauth2accesstoken", "ya29." + "x" * 1000),
    "aws": Triple("https://123456789012.dkr.ecr.eu-west-1.amazonaws.example", "AWS", "QVdT" * 600),
    "azure nil uuid": Triple("team.azurecr.example", "00000000-0000-0000-0000-000000000000", "a/b+c=="),
    "e-mail": Triple("https://registry.example/v2/", "first.last@example.com", "s3cret"),
    "e-mail with a tag": Triple("quay.example", "first.last+ci@example.com", "s3cret"),
    "robot account": Triple("harbor.example", "robot$project+deploy", "$HOME `id` $(id)"),
    "gitlab deploy token": Triple("registry.gitlab.example", "gitlab+deploy-token-1", "gldt-x_y"),
    "github": Triple("ghcr.io", "octocat", "ghp_0123456789abcdefABCDEF"),
    "port": Triple("127.0.0.1:5000", "alice", "s3cret-Pw!"),
    "ipv6": Triple("[::1]:5000", "alice", "six"),
    "localhost http": Triple("http://localhost:5000", "alice", "plain"),
    "upper case host": Triple("Registry.EXAMPLE", "Alice", "Upper"),
    "path": Triple("registry.example/team/app", "alice", "path"),
    "query": Triple("nerdctl-experimental://registry.example?ns=a&b=c", "alice", "query"),
    "base64 with - and _": Triple("https://a.example/??>>~~", "alice", "alphabet"),
    "unicode server": Triple("https://bücher.example/ñ", "alice", "server"),
    "unicode user": Triple("u1.example", "Zoë-日本語-🐳", "user"),
    "unicode secret": Triple("u2.example", "alice", "pässwörd-日本語-🐳-\u2028-end"),
    "space in user": Triple("sp1.example", "Alice B. Cooper", "space"),
    "spaces around the secret": Triple("sp2.example", "alice", "  two on each side  "),
    "percent": Triple("pc1.example", "100%", "100%s %d %%"),
    "percent and no hex": Triple("pc2.example", "50%zz", "s"),
    "percent and hex": Triple("pc3.example", "a%2fb", "literal", file="a%252fb"),
    "percent at the start": Triple("pc4.example", "%41bc", "literal", file="%2541bc"),
    "colon": Triple("co.example", "domain:alice", "pass:word:with:colons"),
    "backslash": Triple("bs.example", "DOMAIN\\alice", "back\\slash\\n"),
    "quotes": Triple("qu.example", 'o\'brien "bob"', "'\"`"),
    "shell characters": Triple("sh.example", "a;b&c|d>e<f*?", "$(reboot) ; rm -rf / #"),
    "leading dash": Triple("da.example", "--help", "-n -e"),
    "dots inside": Triple("do.example", "a..b.gpg", "dots"),
    "leading dot": Triple("ld.example", ".hidden", "dot", file="%2Ehidden"),
    "slash": Triple("sl1.example", "tenancy/alice", "slash", file="tenancy%2Falice"),
    "slashes and an e-mail": Triple(
        "https://fra.ocir.example",
        "tenancy/oracleidentitycloudservice/a@b.example",
        "ocir-token",
        file="tenancy%2Foracleidentitycloudservice%2Fa@b.example",
    ),
    "inner line ends": Triple("nl1.example", "alice", "one\ntwo\r\nthree"),
    "leading line end": Triple("nl2.example", "alice", "\n a"),
    "trailing line ends": Triple("nl3.example", "alice", "a\r\n\n"),
    "tabs": Triple("tab.example", "alice", "\ta\tb\t"),
    "one character": Triple("o", "u", "p"),
    "longest server": Triple("https://" + "l" * 177 + ".com", "alice", "long"),
    "longest user": Triple("lu.example", "u" * 251, "long"),
    "60 kB secret": Triple("big.example", "alice", "0123456789abcdef" * 3750),
}


def test_table_is_long_enough() -> None:
    assert len(TRIPLES) >= 30


@pytest.mark.parametrize("triple", TRIPLES.values(), ids=list(TRIPLES))
def test_everybody_reads_what_anybody_wrote(
    helper: Helper, store: Path, environ: dict[str, str], triple: Triple
) -> None:
    go = Helper(require_go_helper(), environ)
    read_back = triple.secret.rstrip("\r\n")
    ours = {"ServerURL": triple.server, "Username": triple.username, "Secret": read_back}
    shown_by_go = {**ours, "Username": triple.file or triple.username}

    # Ours, read by ours, by pass and by the Go helper, which shows an escaped username as it is written.
    assert_stored(helper.store(*triple[:3]))
    assert helper.get(triple.server).json == ours
    assert show(environ, triple.entry) == triple.secret.encode()
    assert go.get(triple.server).json == shown_by_go
    assert go.list().json == {triple.server: triple.file or triple.username}
    assert helper.erase(triple.server).code == 0

    # Theirs, which the Go helper hands to pass, read and erased by ours.
    assert go.store(*triple[:3]).code == 0
    assert helper.get(triple.server).json == ours
    assert_stored(helper.erase(triple.server))
    assert helper.get(triple.server).out == NOT_FOUND
    assert not list((store / FOLDER).iterdir())

    # Written with pass by hand, which names the file as we would, and erased by the Go helper.
    inserted = run(["pass", "insert", "-m", "-f", triple.entry], environ, triple.secret.encode())
    assert inserted.code == 0, inserted
    assert helper.get(triple.server).json == ours
    assert helper.list().json == {triple.server: triple.username}
    assert go.erase(triple.server).code == 0
    assert helper.get(triple.server).out == NOT_FOUND


def test_documented_ambiguity(helper: Helper, store: Path, environ: dict[str, str]) -> None:
    """A literal ``%2F`` that the Go helper wrote is read as the slash that we would have escaped so."""
    go = Helper(require_go_helper(), environ)
    assert go.store("h.example", "a%2Fb", "s").code == 0
    assert helper.get("h.example").json["Username"] == "a/b"
    # Written by ours it is unmistakable.
    assert_stored(helper.store("h.example", "a%2Fb", "s"))
    assert helper.get("h.example").json["Username"] == "a%2Fb"
    assert helper.list().json == {"h.example": "a%2Fb"}


def assert_stored(answer: Answer) -> None:
    assert (answer.code, answer.out, answer.err) == (0, b"", b"")


def show(environ: dict[str, str], entry: str) -> bytes:
    shown = run(["pass", "show", entry], environ)
    assert shown.code == 0, shown
    return shown.out
