"""The protocol byte by byte: a small backend served by a process of its own."""

from __future__ import annotations

import io
import json
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import NOT_FOUND, Answer, run

from passhelper import Credentials, Helper, MemoryHelper, __version__, handle
from passhelper.errors import (
    CredentialsNotFoundError,
    InvalidRequestError,
    NoServerURLError,
    NoUsernameError,
    PasshelperError,
    printable,
)
from passhelper.protocol import MAX_REQUEST, parse_credentials

REPOSITORY = Path(__file__).parents[2]
USAGE = b"Usage: docker-credential-box <store|get|erase|list|version>\n"

# Writes down each call, so that a test can tell "refused" from "passed on".
BOX = f"""
import os, sys
sys.path[:0] = [{str(REPOSITORY)!r}]
from passhelper import Credentials, CredentialsNotFoundError, Helper, PasshelperError, serve

class Box(Helper):
    held = {{"https://b.example": "zoe", "https://a.example": "b\\u00f6b"}}
    def _note(self, *words):
        with open(os.environ["CALLS"], "a", encoding="utf-8") as file:
            print(*map(ascii, words), file=file)
    def _store(self, credentials):
        self._note("store", credentials.server, credentials.username, len(credentials.secret))
    def _get(self, server):
        self._note("get", server)
        if server not in self.held:
            raise CredentialsNotFoundError
        return Credentials(server, self.held[server], "s3cr\\u00e9t\\n\\u2028\\U0001f600")
    def _erase(self, server):
        self._note("erase", server)
    def _list(self):
        self._note("list")
        return dict(self.held)

class Broken(Box):
    def _get(self, server):
        exec(os.environ["RAISE"])
    _store = _erase = _get
    def _list(self):
        exec(os.environ["RAISE"])

class Odd(Box):
    def _get(self, server):
        return 17

class Number(Box):
    held = {{"https://a.example": 17}}

class Large(Box):
    def _get(self, server):
        return Credentials(server, "bob", "x" * 300000)

class Empty(Box):
    held = {{}}

sys.exit(serve(globals()[os.environ.get("BACKEND", "Box")](), ["/opt/bin/docker-credential-box", *sys.argv[1:]]))
"""


class Box:
    """Runs the backend above and knows which calls reached it."""

    def __init__(self, folder: Path) -> None:
        self.calls_file = folder / "calls"
        self.environ = {"CALLS": str(self.calls_file), "PATH": "/usr/bin:/bin", "LC_ALL": "C"}
        self.command = [sys.executable, "-I", "-S", "-c", BOX]

    def __call__(self, *arguments: str, stdin: bytes = b"", **environ: str) -> Answer:
        return run([*self.command, *arguments], {**self.environ, **environ}, stdin)

    def broken(self, code: str, verb: str = "get", **environ: str) -> Answer:
        return self(verb, stdin=b"https://a.example", BACKEND="Broken", RAISE=code, **environ)

    @property
    def calls(self) -> list[str]:
        return self.calls_file.read_text().splitlines() if self.calls_file.exists() else []


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def document(**changes: object) -> bytes:
    fields: dict[str, object] = {"ServerURL": "https://a.example", "Username": "bob", "Secret": "s3cret"}
    return json.dumps({**fields, **changes}).encode()


# Verbs, usage, version


@pytest.mark.parametrize(
    ("arguments", "code", "out"),
    [
        ((), 1, USAGE),
        (("get", "list"), 1, USAGE),
        (("",), 1, USAGE),
        (("--help",), 0, USAGE),
        (("-h",), 0, USAGE),
        (("foo",), 1, b"docker-credential-box: unknown action: foo\n" + USAGE),
        (("GET",), 1, b"docker-credential-box: unknown action: GET\n" + USAGE),
        (("fo\x1b[2Jo\n",), 1, b"docker-credential-box: unknown action: fo?[2Jo?\n" + USAGE),
        (("version",), 0, f"docker-credential-box (passhelper) {__version__}\n".encode()),
        (("--version",), 0, f"docker-credential-box (passhelper) {__version__}\n".encode()),
        (("-v",), 0, f"docker-credential-box (passhelper) {__version__}\n".encode()),
    ],
)
def test_usage_and_version_touch_no_backend(box: Box, arguments: tuple[str, ...], code: int, out: bytes) -> None:
    answer = box(*arguments)
    assert (answer.code, answer.out, answer.err) == (code, out, b"")
    assert box.calls == []


# Without a process


def answered(helper: Helper, verb: str, request: bytes = b"") -> bytes:
    stdout = io.BytesIO()
    handle(helper, verb, io.BytesIO(request), stdout)
    return stdout.getvalue()


def test_handle_answers_on_any_streams() -> None:
    helper = MemoryHelper()
    assert answered(helper, "store", document()) == b""
    assert json.loads(answered(helper, "get", b"https://a.example\n")) == json.loads(document())
    assert answered(helper, "list") == b'{"https://a.example":"bob"}\n'
    assert answered(helper, "version") == f"docker-credential-helper (passhelper) {__version__}\n".encode()
    assert answered(helper, "erase", b"https://a.example") == b""
    assert answered(helper, "list") == b"{}\n"


@pytest.mark.parametrize(
    ("verb", "request_", "error", "message"),
    [
        ("get", b"https://a.example", CredentialsNotFoundError, "credentials not found in native keychain"),
        ("get", b" \n", NoServerURLError, "no credentials server URL"),
        ("store", b"[]", InvalidRequestError, "request is not a JSON object"),
        ("erase", b"a" * (MAX_REQUEST + 1), InvalidRequestError, f"request larger than {MAX_REQUEST} bytes"),
        ("get\n", b"", InvalidRequestError, "unknown action: get?; use one of: store, get, erase, list, version"),
        ("-v", b"", InvalidRequestError, "unknown action: -v; use one of: store, get, erase, list, version"),
    ],
)
def test_handle_raises_and_writes_nothing(
    verb: str, request_: bytes, error: type[PasshelperError], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    stdin, stdout = io.BytesIO(request_), io.BytesIO()
    with pytest.raises(error) as caught:
        handle(MemoryHelper(), verb, stdin, stdout)
    assert (type(caught.value), str(caught.value), stdout.getvalue()) == (error, message, b"")
    assert stdin.read() == b""  # a client that still writes would die of EPIPE
    assert tuple(capfd.readouterr()) == ("", "")


def test_handle_leaves_alone_what_it_need_not_read() -> None:
    for verb in ("list", "version"):
        stdin = io.BytesIO(b"unused")
        handle(MemoryHelper(), verb, stdin, io.BytesIO())
        assert stdin.tell() == 0


def test_serve_is_handle_on_the_streams_of_the_process(box: Box) -> None:
    """Byte for byte, for each verb, and its errors are the lines that `serve` prints."""
    helper = MemoryHelper()
    helper.store(Credentials("https://a.example", "b\u00f6b", "s3cr\u00e9t\u2028\U0001f600"))
    helper.store(Credentials("https://b.example", "zoe", "s"))
    assert box("list").out == answered(helper, "list")
    assert box("get", stdin=b"https://nothing.example").text == f"{CredentialsNotFoundError()}\n"
    with pytest.raises(InvalidRequestError) as caught:
        answered(helper, "get", b"a\0")
    assert box("get", stdin=b"a\0").text == f"{caught.value}\n"


def test_get_is_one_line_of_ascii_json_and_nothing_on_stderr(box: Box) -> None:
    answer = box("get", stdin=b"https://a.example")
    expected = (
        b'{"ServerURL":"https://a.example","Username":"b\\u00f6b","Secret":"s3cr\\u00e9t\\n\\u2028\\ud83d\\ude00"}\n'
    )
    assert (answer.code, answer.out, answer.err) == (0, expected, b"")
    assert all(isinstance(value, str) for value in answer.json.values())


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n", b" \t\n\n"])
def test_get_echoes_the_server_url_without_white_space_around_it(box: Box, ending: bytes) -> None:
    assert box("get", stdin=b" https://a.example" + ending).json["ServerURL"] == "https://a.example"
    assert box.calls == ["'get' 'https://a.example'"]


def test_not_found_is_dockers_own_text_and_leaves_stderr_empty(box: Box) -> None:
    answer = box("get", stdin=b"https://elsewhere.example")
    assert (answer.code, answer.out, answer.err) == (1, NOT_FOUND, b"")


def test_not_found_says_nothing_more_in_debug_mode(box: Box) -> None:
    answer = box("get", stdin=b"https://elsewhere.example", PASSHELPER_DEBUG="1")
    assert (answer.code, answer.out, answer.err) == (1, NOT_FOUND, b"")


def test_list_is_one_object_with_sorted_keys(box: Box) -> None:
    answer = box("list")
    assert (answer.code, answer.err) == (0, b"")
    assert answer.out == b'{"https://a.example":"b\\u00f6b","https://b.example":"zoe"}\n'


def test_list_of_nothing_is_an_empty_object(box: Box) -> None:
    answer = box("list", BACKEND="Empty")
    assert (answer.code, answer.out, answer.err) == (0, b"{}\n", b"")


@pytest.mark.parametrize(("verb", "stdin"), [("store", document()), ("erase", b"https://a.example")])
def test_store_and_erase_are_silent(box: Box, verb: str, stdin: bytes) -> None:
    answer = box(verb, stdin=stdin)
    assert (answer.code, answer.out, answer.err) == (0, b"", b"")
    assert len(box.calls) == 1


@pytest.mark.parametrize("verb", ["get", "erase"])
@pytest.mark.parametrize("stdin", [b"", b"\n", b" \t\r\n "])
def test_empty_url_is_dockers_own_text(box: Box, verb: str, stdin: bytes) -> None:
    answer = box(verb, stdin=stdin)
    assert (answer.code, answer.out) == (1, b"no credentials server URL\n")
    assert answer.err == b"docker-credential-box: no credentials server URL\n"
    assert box.calls == []


# Standard input


@pytest.mark.parametrize("verb", ["list", "version"])
def test_list_and_version_return_while_stdin_stays_open(box: Box, verb: str) -> None:
    ours, theirs = os.pipe()
    try:
        done = subprocess.run(
            [*box.command, verb], env=box.environ, stdin=ours, capture_output=True, timeout=5, check=False
        )
    finally:
        os.close(ours)
        os.close(theirs)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout


@pytest.mark.parametrize("verb", ["get", "erase", "store"])
@pytest.mark.parametrize("start", [b"{", b"\xff", b"https://a.example\n\n{x"])
def test_a_request_that_fails_is_still_read_to_its_end(box: Box, verb: str, start: bytes) -> None:
    size = 4 << 20
    process = subprocess.Popen(
        [*box.command, verb], env=box.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdin
    sent = process.stdin.write(start + b"x" * size)  # raises BrokenPipeError if the helper hangs up
    out, _ = process.communicate()
    assert sent == len(start) + size
    assert (process.returncode, out) == (1, b"request larger than 2097152 bytes\n")
    assert box.calls == []


def test_a_request_of_the_greatest_size_is_taken_and_one_byte_more_is_not(box: Box) -> None:
    frame = len(document(Secret=""))
    fits = document(Secret="x" * (MAX_REQUEST - frame))
    assert len(fits) == 2 << 20
    assert box("store", stdin=fits).code == 0
    assert box.calls == [f"'store' 'https://a.example' 'bob' {MAX_REQUEST - frame}"]
    answer = box("store", stdin=fits + b"\n")
    assert (answer.code, answer.out) == (1, b"request larger than 2097152 bytes\n")
    assert answer.err == b"docker-credential-box: request larger than 2097152 bytes\n"
    assert len(box.calls) == 1


def test_a_request_in_many_small_pieces_is_put_together(box: Box) -> None:
    with subprocess.Popen(
        [*box.command, "get"], env=box.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdin
        assert child.stdout
        for piece in (b"https", b"://a.", b"example", b"\n"):
            child.stdin.write(piece)
            child.stdin.flush()
            time.sleep(0.01)
        child.stdin.close()
        assert json.loads(child.stdout.read())["Username"] == "böb"


@pytest.mark.parametrize("verb", ["get", "erase"])
def test_a_person_at_a_terminal_is_told_what_to_type_and_types_one_line(box: Box, verb: str) -> None:
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            [*box.command, verb], env=box.environ, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stderr
        ready, _, _ = select.select([process.stderr], [], [], 10)
        assert ready
        os.write(ours, b"https://a.example\n")  # and no end of file
        out, err = process.communicate(timeout=10)
    finally:
        os.close(ours)
        os.close(theirs)
    assert process.returncode == 0
    assert err == b"docker-credential-box: type the server URL, then Enter\n"
    assert (b"Secret" in out) == (verb == "get")
    assert box.calls == [f"'{verb}' 'https://a.example'"]


# Requests to store


@pytest.mark.parametrize(
    "request_",
    [
        b'{"serverurl":"https://a.example","USERNAME":"bob","sEcReT":"s3cret"}',
        b'\xef\xbb\xbf{"ServerURL":"https://a.example","Username":"bob","Secret":"s3cret"}',
        b'{\n  "ServerURL": "https://a.example",\r\n\t"Username": "bob",\n  "Secret": "s3cret"\n}\n\n',
        b'{"Other":{"a":[1,2.5e3,true,null]},"ServerURL":"https://a.example","Username":"bob","Secret":"s3cret"}',
        b'{"Secret":"first","ServerURL":" https://a.example\\n","Username":"bob","Secret":"s3cret"}',
        b'  {"ServerURL":"https:\\/\\/a.example","Username":"b\\u006fb","Secret":"s3cret"}',
    ],
    ids=["case", "bom", "pretty", "unknown-keys", "last-key-counts", "escapes"],
)
def test_json_is_read_as_liberally_as_docker_writes_it(request_: bytes) -> None:
    found = parse_credentials(request_)
    assert (found.server, found.username, found.secret) == ("https://a.example", "bob", "s3cret")


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "a\n\nb",
        "\n leading",
        "a\r\n",
        "\u2028",
        "\U0001f600",
        "\x1b\x7f\x85",
        '{"type":"service_account"}',
        "x" * 1_000_000,
    ],
)
def test_a_secret_is_taken_as_it_is(secret: str) -> None:
    assert parse_credentials(document(Secret=secret)).secret == secret


def test_null_and_absent_secrets_are_empty() -> None:
    assert parse_credentials(document(Secret=None)).secret == ""
    assert parse_credentials(b'{"ServerURL":"a.example","Username":"bob"}').secret == ""


NOT_JSON = "request is not valid JSON: "

REFUSED = [
    pytest.param(b"", NOT_JSON + "Expecting value: character 0", id="nothing"),
    pytest.param(b" \n ", NOT_JSON + "Expecting value: character 3", id="white-space"),
    pytest.param(b"s3cret", NOT_JSON + "Expecting value: character 0", id="word"),
    pytest.param(b'{"Secret":"s3cret"', NOT_JSON + "Expecting ',' delimiter: character 18", id="truncated"),
    pytest.param(b'{"Secret":"s3cr', NOT_JSON + "Unterminated string starting at: character 10", id="open-string"),
    pytest.param(b'{"Secret":"a\nb"}', NOT_JSON + "Invalid control character at: character 12", id="raw-line-end"),
    pytest.param(b'{"Secret":"\\u12"}', NOT_JSON + "Invalid \\uXXXX escape: character 12", id="short-escape"),
    pytest.param(document() + b" x", NOT_JSON + "text after the JSON document: character 73", id="trailing-text"),
    pytest.param(document() + document(), NOT_JSON + "text after the JSON document: character 73", id="two"),
    pytest.param(b"[" * 100_000, NOT_JSON + "nested too deeply", id="deep"),
    pytest.param(b"[]", "request is not a JSON object", id="list"),
    pytest.param(b'"https://a.example"', "request is not a JSON object", id="string"),
    pytest.param(b"null", "request is not a JSON object", id="null"),
    pytest.param(b"17", "request is not a JSON object", id="number"),
    pytest.param(b'{"ServerURL":"\xed\xa0\x80"}', "request is not UTF-8: byte 14", id="raw-surrogate"),
    pytest.param(b"\xff\xfe{}", "request is not UTF-8: byte 0", id="utf-16"),
    pytest.param(document(ServerURL=1), "ServerURL in the request is not a string", id="server-number"),
    pytest.param(document(ServerURL=["a"]), "ServerURL in the request is not a string", id="server-list"),
    pytest.param(document(Username={}), "Username in the request is not a string", id="user-object"),
    pytest.param(document(Username=False), "Username in the request is not a string", id="user-false"),
    pytest.param(document(Secret=0), "Secret in the request is not a string", id="secret-zero"),
    pytest.param(document(Secret=1.5), "Secret in the request is not a string", id="secret-float"),
    pytest.param(document(Secret="a\0b"), "the secret holds a NUL character", id="secret-nul"),
    pytest.param(document(Secret="a\ud800"), "the secret holds an unpaired surrogate", id="secret-surrogate"),
    pytest.param(document(Secret="\ude00\ud83d"), "the secret holds an unpaired surrogate", id="swapped-pair"),
    pytest.param(document(ServerURL=""), "no credentials server URL", id="no-server"),
    pytest.param(document(ServerURL=" \n"), "no credentials server URL", id="blank-server"),
    pytest.param(document(ServerURL=None), "no credentials server URL", id="null-server"),
    pytest.param(document(Username=""), "no credentials username", id="no-user"),
    pytest.param(document(Username=None), "no credentials username", id="null-user"),
    pytest.param(b"{}", "no credentials server URL", id="empty-object"),
]


@pytest.mark.parametrize(("request_", "message"), REFUSED)
def test_a_request_that_cannot_be_stored_is_refused_with_the_reason(request_: bytes, message: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_credentials(request_)
    assert str(caught.value) == message
    assert "s3cr" not in message


def test_a_number_too_long_for_python_is_one_more_member_that_nobody_asked_for() -> None:
    number = b"7" * 5000
    request = b'{"n":' + number + b"," + document()[1:]
    assert parse_credentials(request).username == "bob"
    with pytest.raises(InvalidRequestError, match=r"^Secret in the request is not a string$"):
        parse_credentials(b'{"Secret":' + number + b"}")


CONTROLS = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0))]


@pytest.mark.parametrize("char", CONTROLS, ids=[f"{ord(char):02x}" for char in CONTROLS])
def test_control_characters_in_names_are_refused(char: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_credentials(document(ServerURL=f"https://a.exa{char}mple"))
    assert str(caught.value) == "invalid character in server URL: control characters are refused"
    for username in (f"b{char}b", char, f"bob{char}"):
        with pytest.raises(InvalidRequestError) as caught:
            parse_credentials(document(Username=username))
        assert str(caught.value) == "invalid character in username: control characters are refused"


@pytest.mark.parametrize("code", [0xD800, 0xDFFF])
def test_unpaired_surrogates_in_names_are_refused(code: int) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_credentials(document(ServerURL=f"https://{chr(code)}.example"))
    assert str(caught.value) == "invalid character in server URL: unpaired surrogate"
    with pytest.raises(InvalidRequestError) as caught:
        parse_credentials(document(Username=f"b{chr(code)}"))
    assert str(caught.value) == "invalid character in username: unpaired surrogate"


@pytest.mark.parametrize("verb", ["get", "erase"])
@pytest.mark.parametrize(
    ("stdin", "message"),
    [
        (b"a.exa\nmple", b"invalid character in server URL: control characters are refused"),
        (b"https://a.example\nhttps://b.example\n", b"invalid character in server URL: control characters are refused"),
        (b"a\0b", b"invalid character in server URL: control characters are refused"),
        (b"a\xc2\x85b", b"invalid character in server URL: control characters are refused"),
        (b"\xed\xa0\x80", b"request is not UTF-8: byte 0"),
    ],
)
def test_get_and_erase_refuse_what_no_server_is_called(box: Box, verb: str, stdin: bytes, message: bytes) -> None:
    answer = box(verb, stdin=stdin)
    assert (answer.code, answer.out) == (1, message + b"\n")
    assert answer.err == b"docker-credential-box: " + message + b"\n"
    assert box.calls == []


@pytest.mark.parametrize(("request_", "message"), REFUSED[:2] + REFUSED[12:13] + REFUSED[-4:])
def test_a_refused_store_says_why_twice_and_reaches_no_backend(box: Box, request_: bytes, message: str) -> None:
    answer = box("store", stdin=request_)
    assert (answer.code, answer.out.decode()) == (1, message + "\n")
    assert answer.err.decode() == f"docker-credential-box: {message}\n"
    assert box.calls == []


def test_dockers_own_texts_have_classes_of_their_own() -> None:
    with pytest.raises(NoServerURLError):
        parse_credentials(document(ServerURL=""))
    with pytest.raises(NoUsernameError):
        parse_credentials(document(Username=""))


# Failures of the backend


@pytest.mark.parametrize("verb", ["get", "erase", "list"])
def test_an_unexpected_exception_is_one_line_without_its_text(box: Box, verb: str) -> None:
    answer = box.broken("raise RuntimeError('s3cret in here')", verb)
    message = b"internal error: RuntimeError; set PASSHELPER_DEBUG=1 to see where\n"
    assert (answer.code, answer.out, answer.err) == (1, message, b"docker-credential-box: " + message)


def test_debug_adds_the_traceback_on_stderr_only(box: Box) -> None:
    answer = box.broken("raise RuntimeError('x')", PASSHELPER_DEBUG="1")
    assert answer.out == b"internal error: RuntimeError; set PASSHELPER_DEBUG=1 to see where\n"
    assert b"Traceback (most recent call last)" in answer.err
    assert answer.err.endswith(b"RuntimeError: x\n")


@pytest.mark.parametrize("value", ["", "0", "false"])
def test_debug_is_off_when_it_says_so(box: Box, value: str) -> None:
    assert b"Traceback" not in box.broken("raise RuntimeError('x')", PASSHELPER_DEBUG=value).err


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("raise PasshelperError('it  broke\\n here', 'run: mend it')", b"it broke here; run: mend it"),
        ("raise PasshelperError('')", b"PasshelperError"),
        ("raise PasshelperError('caf\\u00e9 \\ud800')", "café ?".encode()),
        ("raise SystemExit(0)", b"internal error: SystemExit; set PASSHELPER_DEBUG=1 to see where"),
        ("raise MemoryError", b"internal error: MemoryError; set PASSHELPER_DEBUG=1 to see where"),
    ],
)
def test_every_failure_is_one_line_on_each_stream(box: Box, code: str, message: bytes) -> None:
    answer = box.broken(code)
    assert answer.code == 1
    assert answer.out == message + b"\n"
    assert answer.err == b"docker-credential-box: " + message + b"\n"


def test_an_interruption_is_one_line_on_each_stream(box: Box) -> None:
    """The exit status is the one that shells give: 128 and the number of SIGINT."""
    answer = box.broken("raise KeyboardInterrupt")
    assert (answer.code, answer.out, answer.err) == (
        130, b"interrupted\n", b"docker-credential-box: interrupted\n",
    )  # fmt: skip


def test_a_backend_that_returns_nonsense_is_named(box: Box) -> None:
    answer = box("get", stdin=b"https://a.example", BACKEND="Odd")
    assert (answer.code, answer.out) == (1, b"Odd answers with int instead of Credentials\n")


def test_a_number_in_a_credential_reaches_no_client(box: Box) -> None:
    """Some of them take nothing but strings, and drop the whole answer."""
    answer = box("get", stdin=b"https://a.example", BACKEND="Number")
    why = b"what is kept for https://a.example cannot be served: the username is int and not text"
    assert (answer.code, answer.out) == (1, why + b"; store it again: docker login\n")
    assert box("list", BACKEND="Number").out == b"{}\n"


@pytest.mark.parametrize("verb", ["get", "list", "version"])
def test_a_client_that_has_gone_gets_no_traceback(box: Box, verb: str) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    try:
        done = subprocess.run(
            [*box.command, verb], env=box.environ, input=b"https://a.example", stdout=theirs, stderr=subprocess.PIPE,
            check=False,
        )  # fmt: skip
    finally:
        os.close(theirs)
    assert (done.returncode, done.stderr) == (1, b"")


def test_an_answer_larger_than_a_pipe_is_written_to_its_end(box: Box) -> None:
    answer = box("get", stdin=b"https://a.example", BACKEND="Large")
    assert answer.json["Secret"] == "x" * 300000


@pytest.mark.parametrize(
    ("text", "shown"),
    [("plain", "plain"), ("\x1b[2J\n\u202e\ud800", "?[2J???"), ("é" * 201, "é" * 200 + "..."), ("x" * 200, "x" * 200)],
)
def test_printable_shows_foreign_text_without_harm(text: str, shown: str) -> None:
    assert printable(text) == shown
