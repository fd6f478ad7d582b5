"""What Docker's clients rely on when they run a helper: exit status, streams, exact messages, odd requests.

They need a program; a backend in this process has no exit status and no streams.
"""

from __future__ import annotations

import json
import os
import threading
from typing import TYPE_CHECKING

from passhelper.client import ProgramHelper
from passhelper.contract.laws import Law
from passhelper.contract.place import LawBrokenError, NotApplicableError
from passhelper.errors import NO_SERVER_URL, NO_USERNAME, NOT_FOUND, PasshelperError, printable

if TYPE_CHECKING:
    from passhelper.client import Answer
    from passhelper.contract.place import Place

_CANARY = "canary-31415926535"  # a secret that no message may repeat
_CRASHES = (b"Traceback (most recent call last)", b"goroutine ", b"panic:", b"SIGSEGV")
_HUGE = 1_000_000  # bytes; the largest secret that any client was seen to send is far smaller
_TOO_LONG = 1 << 20  # bytes of a request that no helper can serve, more than a pipe holds
_AT_ONCE = 4


def _program(place: Place) -> ProgramHelper:
    if not isinstance(place.helper, ProgramHelper):
        raise NotApplicableError("there is no program")
    return place.helper


def _document(server: str, username: str, secret: str) -> bytes:
    return json.dumps({"ServerURL": server, "Username": username, "Secret": secret}).encode()


def _brief(data: bytes) -> str:
    return repr(printable(" ".join(data.decode(errors="replace").split())))


def _expect_success(answer: Answer, what: str) -> None:
    if answer.code != 0:
        raise LawBrokenError(f"{what} ends with exit status {answer.code}: {_brief(answer.out or answer.err)}")


def _expect_failure(answer: Answer, what: str) -> None:
    if any(mark in answer.out + answer.err for mark in _CRASHES) or answer.code not in (0, 1):
        raise LawBrokenError(f"{what} makes it crash, exit status {answer.code}: {_brief(answer.err or answer.out)}")
    if answer.code == 0:
        raise LawBrokenError(f"{what} is not refused")
    if not answer.out.strip():
        raise LawBrokenError(f"{what} is refused without a word on stdout, where clients look")


def _expect_message(answer: Answer, message: str, what: str) -> None:
    if answer.code != 1 or answer.out.strip().decode(errors="replace") != message:
        raise LawBrokenError(f"{what}: exit status {answer.code} and {_brief(answer.out)}, not 1 and {message!r}")


def _version(place: Place) -> None:
    answer = _program(place).run("version")
    _expect_success(answer, "version")
    if len(answer.out.splitlines()) != 1:
        raise LawBrokenError(f"version does not say one line but {_brief(answer.out)}")


def _usage(place: Place) -> None:
    for verb in ("", "no-such-verb"):
        _expect_failure(_program(place).run(verb), f"the verb {verb!r}")


def _streams(place: Place) -> None:
    program, server = _program(place), place.server("https://streams.{}/v1/")
    for verb, request in (("store", _document(server, "bob", "s")), ("get", server.encode()), ("list", b""),
                          ("erase", server.encode())):  # fmt: skip
        answer = program.run(verb, request)
        _expect_success(answer, verb)
        if answer.err:
            raise LawBrokenError(f"{verb} succeeds and says {_brief(answer.err)} on stderr, which goes to the terminal")
        if verb in ("store", "erase"):
            if answer.out:
                raise LawBrokenError(f"{verb} succeeds and says {_brief(answer.out)} on stdout")
            continue
        try:
            document = json.loads(answer.out)
        except ValueError:
            document = None
        if not isinstance(document, dict) or not all(isinstance(value, str) for value in document.values()):
            raise LawBrokenError(f"{verb} does not answer with one JSON object of strings")
        if verb == "get" and document != {"ServerURL": server, "Username": "bob", "Secret": "s"}:
            raise LawBrokenError("get does not answer with exactly ServerURL, Username and Secret, as they were stored")


def _list_stdin(place: Place) -> None:
    program = _program(place)
    place.keep(place.server("list-stdin.{}"), "bob")
    for verb in ("list", "version"):
        reader, writer = os.pipe()  # held open: some clients never close it
        try:
            answer = program.run(verb, reader)
        finally:
            os.close(reader)
            os.close(writer)
        _expect_success(answer, f"{verb} with stdin left open")


def _not_found_message(place: Place) -> None:
    program = _program(place)
    answer = program.run("get", place.server("https://not-found.{}").encode())
    _expect_message(answer, NOT_FOUND, "get of an unknown server")
    if answer.err:
        raise LawBrokenError(f"a miss says {_brief(answer.err)} on stderr, though it is not a failure")


def _no_server_url(place: Place) -> None:
    program = _program(place)
    for verb, request in (("get", b""), ("erase", b""), ("get", b" \n"), ("store", _document("", "bob", "s"))):
        _expect_message(program.run(verb, request), NO_SERVER_URL, f"{verb} without a server URL")


def _no_username(place: Place) -> None:
    server = place.server("no-username.{}")
    answer = _program(place).run("store", _document(server, "", "s"))
    _expect_message(answer, NO_USERNAME, "store without a username")
    place.expect_nothing(server)


def _line_end(place: Place) -> None:
    program, server = _program(place), place.server("https://line-end.{}/v1/")
    place.keep(server, "bob")
    for request in (f"{server}\n", f"{server}\r\n", f" {server} "):
        _expect_success(program.run("get", request.encode()), f"get of {request!r}")
    _expect_success(program.run("erase", f"{server}\n".encode()), "erase with a line end")
    place.expect_nothing(server)


def _liberal_json(place: Place) -> None:
    program, server = _program(place), place.server("liberal.{}")
    document = {"serverurl": server, "USERNAME": "bob", "secret": "s3cret", "Extra": {"number": 1}}
    answer = program.run("store", json.dumps(document, indent=2).encode() + b"\n")
    _expect_success(answer, "store of pretty-printed JSON with keys in another case and one more")
    place.expect(server, "bob")


def _byte_order_mark(place: Place) -> None:
    program, server = _program(place), place.server("bom.{}")
    answer = program.run("store", b"\xef\xbb\xbf" + _document(server, "bob", "s3cret"))
    _expect_success(answer, "store after a UTF-8 byte order mark")
    place.expect(server, "bob")


def _control_characters(place: Place) -> None:
    program, server = _program(place), place.server("control.{}")
    place.keep(server, "bob")
    for glued in (f"{server[:3]}\n{server[3:]}", f"other.example\n{server}", f"{server}\0x"):
        _expect_failure(program.run("get", glued.encode()), f"get of {printable(glued)!r} with a control character")
    for name, username in ((f"{server[:3]}\x07{server[3:]}", "bob"), (server, "a\nb")):
        _expect_failure(program.run("store", _document(name, username, "s")), "store with a control character")
    place.expect(server, "bob")


def _invalid_json(place: Place) -> None:
    program, before = _program(place), place.listed()
    for request in (b"", b"nonsense", b"[]", b'{"ServerURL": 1}', b'{"ServerURL": "x.example", "Username": '):
        _expect_failure(program.run("store", request), f"store of {_brief(request)}")
    if place.listed() != before:
        raise LawBrokenError("a refused store left something")


def _lossless(place: Place) -> None:
    program = _program(place)
    for number, (secret, label) in enumerate((("a\0b", "a NUL"), ("a\ud800b", "half a surrogate pair"))):
        server = place.server(f"lossless{number}.{{}}")
        if program.run("store", _document(server, "bob", secret)).code == 0:
            answer = program.run("get", server.encode())
            if answer.code != 0 or json.loads(answer.out)["Secret"] != secret:
                raise LawBrokenError(f"a secret with {label} is kept, but changed")


def _hidden(place: Place) -> None:
    program, server = _program(place), place.server("hidden.{}")
    requests = (
        _document(server, "a\nb", _CANARY),
        _document("", "bob", _CANARY),
        _document(server, "", _CANARY),
        _document(server, "bob", _CANARY)[:-1],
        _document(server, "bob", f"{_CANARY}\0"),
    )
    for request in requests:
        answer = program.run("store", request)
        if _CANARY.encode() in answer.out + answer.err:
            raise LawBrokenError("a message about a failed store holds the secret")


def _reads_stdin(place: Place) -> None:
    program = _program(place)
    for verb in ("get", "store"):
        broken: list[bool] = []
        reader, writer = os.pipe()

        def write(into: int = writer, broken: list[bool] = broken) -> None:
            data = memoryview(b"x" * _TOO_LONG)
            try:
                while data:
                    data = data[os.write(into, data) :]
            except BrokenPipeError:
                broken.append(True)
            finally:
                os.close(into)

        writing = threading.Thread(target=write, daemon=True)
        writing.start()
        try:
            answer = program.run(verb, reader)
        finally:
            os.close(reader)  # ends the thread, too, if nobody reads
            writing.join()
        if broken:
            raise LawBrokenError(f"{verb} ends before it has read its request, so that the client's write fails")
        _expect_failure(answer, f"{verb} of a megabyte of nonsense")


def _huge(place: Place) -> None:
    _program(place)  # what a backend takes, its own contract says
    place.keep(place.server("huge.{}"), "bob", "x" * _HUGE)


def _parallel(place: Place) -> None:
    program = _program(place)
    servers = [place.server(f"parallel{number}.{{}}") for number in range(_AT_ONCE)]
    answers: dict[str, Answer] = {}

    def store(server: str) -> None:
        try:
            answers[server] = program.run("store", _document(server, "bob", f"of {server}"))
        except PasshelperError:
            pass  # no answer is told below

    threads = [threading.Thread(target=store, args=(server,)) for server in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for server in servers:
        if server not in answers:
            raise LawBrokenError(f"one of {_AT_ONCE} stores at once gives no answer")
        _expect_success(answers[server], f"one of {_AT_ONCE} stores at once")
    for server in servers:
        place.expect(server, "bob", f"of {server}")


LAWS = (
    Law("version", "version says one line", _version),
    Law("usage", "a verb that does not exist is an error with a message", _usage),
    Law("success-streams", "success is one JSON object or nothing on stdout, and nothing on stderr", _streams),
    Law("list-stdin", "list and version do not wait for stdin", _list_stdin),
    Law("not-found-message", "a miss is said in the exact words that clients compare", _not_found_message),
    Law("no-server-url", "an empty server URL is said in the exact words that clients compare", _no_server_url),
    Law("no-username", "an empty username is said in the exact words that clients compare", _no_username),
    Law("request-line-end", "white space around the server URL does not count", _line_end),
    Law("liberal-json", "store takes JSON as Docker's own helpers do", _liberal_json),
    Law("byte-order-mark", "store takes JSON after a byte order mark", _byte_order_mark),
    Law("control-characters", "a control character in a server URL or username is refused", _control_characters),
    Law("invalid-json", "a request that cannot be understood is refused with a message", _invalid_json),
    Law("lossless", "a secret that cannot be kept is refused, not changed", _lossless),
    Law("secret-hidden", "no message holds a secret", _hidden),
    Law("reads-stdin", "the whole request is read, also when it is refused", _reads_stdin),
    Law("huge-secret", "a secret of 1,000,000 bytes comes back", _huge),
    Law("parallel", "stores at the same time do not lose each other", _parallel),
)
