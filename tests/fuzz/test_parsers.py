"""Every parser of what others have written: only the errors it names, and time that grows with the size alone.

``PASSHELPER_TEST_FUZZ=20000`` tries more inputs for each; ``-s`` prints how many there were, and how long it took.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from io import BytesIO

import httpx
import pytest
from hypothesis import given
from support.faults.hostile import FUZZ, SECONDS, changed, is_linear

from passhelper import jsontext, protocol, registry
from passhelper.docker import config, jsonedit, plaintext, registrycheck
from passhelper.errors import PasshelperError
from passhelper.store import anatomy, gitwords, keynames, layout, packets, recipients
from passhelper.team.git import history, remoteurl
from passhelper.team.git.objects import Objects
from passhelper.team.keyring import keypackets
from passhelper_backends.secretservice import _wire  # noqa: TID251 - what is tested

KEY = b"0123456789ABCDEF0123456789ABCDEF01234567"
MESSAGE = b"\x84\x5e\x03\x01\x23\x45\x67\x89\xab\xcd\xef\x12" + b"x" * 84 + b"\xd2\x80rest"
ARMOR = b"-----BEGIN PGP MESSAGE-----\n\nhF4DASNFZ4mrze8SAQdA\n=abcd\n-----END PGP MESSAGE-----\n"
KEY_FILE = (
    b"\x98\x07\x04\x5e\x0b\xe1\x00\x16k\xb4\x05alice"
    b"\x88\x0c\x04\x13\x16\x0a\x00\x01a\x00\x00\x12\x34x\xb8\x07\x04\x5e\x0b\xe1\x00\x12s"
)
CONFIG = b'{"credsStore": "pass", "auths": {"r.example": {"auth": "Ym9iOnM="}, "h": {}}, "credHelpers": {"r": "pass"}}'
COMMIT = b"\0".join((b"a" * 40, b"1700000000", b"Alice", b"alice@example.test", b"Subject"))
CHANGE = b":100644 100644 " + b"b" * 40 + b" " + b"c" * 40 + b" M\0docker-credential-helpers/cg==/bob.gpg\0"
CHALLENGE = b'Bearer realm="https://auth.example/token",service="r.example",scope="a b, c"'


@dataclass
class Parser:
    """What is fuzzed.

    Attributes:
        parse: takes the bytes.
        seeds: inputs that it takes.
        words: what means something to it.
        errors: what it may raise.
        growing: inputs of about so many bytes that ask much of it.
        size: the smaller of the two sizes that are compared, in bytes.
    """

    parse: Callable[[bytes], object]
    seeds: Sequence[bytes]
    words: Sequence[bytes] = ()
    errors: tuple[type[Exception], ...] = ()
    growing: Sequence[Callable[[int], bytes]] = field(default_factory=list)
    size: int = 20_000

    def run(self, data: bytes) -> None:
        try:
            self.parse(data)
        except self.errors as error:
            assert str(error).isprintable(), error  # noqa: PT017 - what is raised may end in a terminal


def repeated(*parts: bytes) -> Callable[[int], bytes]:
    """Make inputs of a beginning, a middle over and over, and an end."""
    begin, middle, end = (*parts, b"", b"")[:3] if len(parts) > 1 else (b"", parts[0], b"")
    return lambda size: begin + middle * (size // len(middle)) + end


def text(parse: Callable[[str], object]) -> Callable[[bytes], object]:
    return lambda data: parse(data.decode(errors="surrogateescape"))


def clean(parse: Callable[[str], object]) -> Callable[[bytes], object]:
    return lambda data: parse(data.decode(errors="replace"))


def _credentials(data: bytes) -> None:
    found = protocol.parse_credentials(data)
    again = json.dumps({"ServerURL": found.server, "Username": found.username, "Secret": found.secret}).encode()
    assert protocol.parse_credentials(again) == found


def _servers(name: str) -> None:
    server = layout.decode_server(name)
    if server is not None:
        assert layout.decode_server(layout.encode_server(server)) == server
        assert "/" not in layout.encode_server(server)


def _usernames(name: str) -> None:
    username = layout.decode_username(name)
    if username is not None:
        assert layout.decode_username(layout.encode_username(username)) == username


def _config(data: str) -> None:
    jsonedit.check(data)
    put = jsonedit.put(data, "credsStore", "pass")
    assert {key: value for key, value in json.loads(put).items() if key.lower() != "credsstore"} == {
        key: value for key, value in json.loads(data).items() if key.lower() != "credsstore"
    }
    config.helper_for(data, "r.example")
    document = plaintext.document_of(data, "config.json")
    assert set(plaintext.document_of(plaintext.blanked(data, set(document)), "config.json")) == set(document)
    plaintext.credentials(data, "config.json")


def _objects(data: bytes) -> None:
    reader = Objects.__new__(Objects)
    reader._limit = 1 << 20
    reader.close = lambda: None  # type: ignore[method-assign] # there is no process
    pipe = BytesIO(data)
    while pipe.tell() < len(data):
        if reader._answer(pipe) is None:
            break


def _challenge(header: str) -> None:
    for name in registrycheck._parameters(header.strip().partition(" ")[2]):
        assert name == name.strip().lower()


def _token(data: bytes) -> None:
    registrycheck._token(httpx.Response(200, content=data), "https://r.example")


PARSERS = {
    "protocol": Parser(
        _credentials,
        [b'{"ServerURL":"https://r.example","Username":"bob","Secret":"s"}'],
        [b"\\u0000", b"\\ud800", b"\xef\xbb\xbf", b'"', b"{", b"}", b",", b"null", b"[", b"serverurl"],
        (PasshelperError,),
        [
            repeated(b'{"a":"', b"\\n", b'"}'),
            repeated(b"[", b"[", b""),
            repeated(b'{"ServerURL":1,', b'"a":1,', b'"b":2}'),
        ],
    ),
    "jsontext": Parser(
        clean(jsontext.parse), [CONFIG], [b"{", b"[", b'"', b"\\"], (ValueError,), [repeated(b"[", b"1,", b"1]")]
    ),
    "packets": Parser(
        packets.key_ids,
        [MESSAGE, MESSAGE[:96] * 3 + MESSAGE[96:], ARMOR],
        [b"\xff\xff\xff\xff\xff", b"\xe0", b"\xd2", b"\xc1", b"\xd5\x01", b"\xca\x03PGP"],
        (packets.PacketError,),
        [
            repeated(b"", MESSAGE[:96], MESSAGE[96:]),
            repeated(b"", b"\xd5\x01x", MESSAGE),
            repeated(b"", b"\xca\x03PGP", b""),
            repeated(b"\xd2\xe0", b"x\xe0", b""),
        ],
    ),
    "armor": Parser(
        packets.key_ids,
        [ARMOR],
        [b"\r\n", b"\n\n", b"=", b": ", b"-----"],
        (packets.PacketError,),
        [
            repeated(ARMOR[:29], b"ab\n", b"=abcd\n-----END PGP MESSAGE-----\n"),
            repeated(ARMOR[:28], b"A: b\n", ARMOR[28:]),
            repeated(ARMOR[:29], b"\n", ARMOR[29:]),
            repeated(ARMOR[:29], b"=\n", b""),
            repeated(b"", b" \n", ARMOR),
        ],
    ),
    "anatomy": Parser(
        lambda data: anatomy.Anatomy(data).foreign(),
        [MESSAGE, MESSAGE[:96] * 3 + MESSAGE[96:], ARMOR],
        [b"\xff\xff\xff\xff\xff", b"\xe0", b"\xd2", b"\xc1"],
        (packets.PacketError,),
        [repeated(b"", MESSAGE[:96], MESSAGE[96:]), repeated(MESSAGE[:96] + b"\xd2", b"\xe0x", b"\x01x")],
    ),
    "key files": Parser(
        lambda data: (keypackets.material(data), keypackets.fingerprints(data)),
        [KEY_FILE, KEY_FILE * 3],
        [b"\xff\xff\xff\xff\xff", b"\x99", b"\xb8", b"\x88", b"\x06", b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n"],
        (),
        [
            repeated(b"", b"\x98\x00", b""),
            repeated(b"", KEY_FILE, b""),
            repeated(b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n", b"mAA=\n", b"-----END"),
        ],
    ),
    "gpg-id": Parser(
        lambda data: [keynames.normalize(key) for key in recipients.parse(data, ".gpg-id")] and recipients.header(data),
        [b"# passhelper .gpg-id 3\n# Alice\n" + KEY + b"\n" + KEY + b"!\n"],
        [b"0x", b"!", b"\xef\xac\x80", b"\xe2\x80\xa8", b"#", b"-", b"\r\n", b"\xef\xbb\xbf"],
        (PasshelperError,),
        [
            repeated(b"", b"A\n", b""),
            lambda size: b"".join(b"%040X\n" % n for n in range(size // 41)),
            repeated(b"#", b"#", b"\n"),
        ],
    ),
    "server names": Parser(
        text(_servers),
        [b"aHR0cHM6Ly9yLmV4YW1wbGU=", b"ci5leGFtcGxl"],
        [b"=", b"_", b"-", b"+", b"/", b"\n"],
        (PasshelperError,),
        [repeated(b"YWFh"), repeated(b"", b"=", b"")],
    ),
    "usernames": Parser(
        text(_usernames),
        [b"bob.gpg", b"%2Ea%2Fb.gpg", b".x.gpg"],
        [b"%25", b"%2f", b"/", b".", b".gpg"],
        (PasshelperError,),
        [repeated(b"", b"%2F", b".gpg"), repeated(b"", b"%", b".gpg"), repeated(b"", b" (conflicted copy", b".gpg")],
    ),
    "registry": Parser(
        clean(registry.normalize),
        [b"https://r.example:443/v2/", b"index.docker.io", b"[::1]:5000", b"http://u@r.example"],
        [b"://", b":", b"@", b"[", b"]", b"/v1/", b"?", b"#", b"%"],
        (),
        [repeated(b"https://", b"a.", b"/v2/"), repeated(b"", b":", b""), repeated(b"[", b":", b"]")],
    ),
    "config.json": Parser(
        clean(_config),
        [CONFIG],
        [b'"auths"', b'"credsStore"', b"{", b"}", b"null", b'"', b",", b"AUTHS", b"\\u0061", b"\t"],
        (ValueError, PasshelperError),
        [
            lambda size: b'{"auths":{' + b",".join(b'"h%d":{"auth":"Ym9iOnM="}' % n for n in range(size // 28)) + b"}}",
            repeated(b'{"a":1', b" ", b"}"),
        ],
    ),
    "history": Parser(
        lambda data: list(history._parse(data.split(b"\0"))),
        [b"\x01" + COMMIT + b"\0" + CHANGE, history._MARK + COMMIT + b"\0" + CHANGE * 2],
        [history._MARK, b"\0", b":", b" ", b"\n"],
        (ValueError,),
        [lambda size: (history._MARK + COMMIT + b"\0" + CHANGE) * (size // 250)],
    ),
    "git objects": Parser(
        _objects,
        [b"a" * 40 + b" blob 3\nabc\n" + b"b" * 40 + b" missing\n"],
        [b"blob", b"\n", b" ", b"-1", b"99999999"],
        (EOFError, ValueError),
        [lambda size: (b"a" * 40 + b" blob 3\nabc\n") * (size // 52)],
    ),
    "D-Bus": Parser(
        lambda data: _wire.decode("a{sv}(oay)uva(yv)", data),
        [
            bytes(
                _wire.encode(
                    "a{sv}(oay)uva(yv)", [{"a": ("s", "b")}, ("/a", b"x"), 7, ("as", ["c"]), [(1, ("o", "/b"))]]
                )
            )
        ],
        [b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x01v\0", b"\x02aa\0", b"\x01(\0"],
        (ValueError,),
        [
            lambda size: bytes(_wire.encode("a{sv}", [{f"k{n}": ("s", "v") for n in range(size // 20)}])),
            repeated(b"\0" * 32, b"\x01v\0", b""),
        ],
    ),
    "signatures": Parser(
        lambda data: _wire.decode(data.decode("latin-1"), bytes(512)),
        [b"a{sv}(oay)uv", b"aaaas"],
        [b"(", b")", b"{", b"}", b"a"],
        (ValueError,),
        [repeated(b"", b"a", b"s"), repeated(b"(", b"(", b")"), repeated(b"u")],
    ),
    "challenges": Parser(
        clean(_challenge),
        [CHALLENGE],
        [b'"', b"\\", b",", b"=", b" ", b"realm"],
        (PasshelperError,),
        [
            repeated(b"Bearer ", b"a", b""),
            repeated(b'Bearer a="', b"\\", b""),
            repeated(b"Bearer ", b'a="b",', b""),
            repeated(b'Bearer a="', b'\\"', b""),
            repeated(b"Bearer ", b"a=", b""),
            repeated(b"Bearer", b" ", b"x"),
        ],
    ),
    "tokens": Parser(
        _token,
        [b'{"token": "abc", "access_token": "d"}'],
        [b"{", b"[", b'"', b"null", b"\xff"],
        (PasshelperError,),
        [repeated(b"[", b"[", b""), repeated(b'{"token":"', b"a", b'"}')],
    ),
    "URLs": Parser(
        clean(lambda url: (remoteurl.split(url), remoteurl.shown(url))),
        [b"https://bob:s3cret@git.example:8443/a.git", b"ssh://git@h/p", b"git@h:p"],
        [b"@", b":", b"/", b"[", b"]", b"?", b"#", b"%40", b"\n"],
        (PasshelperError,),
        [repeated(b"https://", b"@", b"/p"), repeated(b"https://a:", b"%41", b"@h/p")],
    ),
    "git's words": Parser(
        clean(
            lambda words: (
                gitwords.without_passwords(words),
                gitwords.reason(words.encode(), 1),
            )
        ),
        [b"fatal: unable to access 'https://bob:s3cret@h/p/': Could not resolve host: h\n"],
        [b"://", b"@", b":", b"/", b"'", b"error: ", b"remote: ", b"! [rejected]"],
        (),
        [
            repeated(b"://"),
            repeated(b"", b"://a:b@c ", b""),
            repeated(b"https://", b"@", b""),
            repeated(b"", b"error: x\n", b""),
            repeated(b"https://a:/", b"@/", b""),
        ],
    ),
}


@pytest.mark.timeout(SECONDS)
@pytest.mark.parametrize("name", PARSERS)
def test_whatever_comes(name: str) -> None:
    parser = PARSERS[name]
    executions = 0

    @FUZZ
    @given(changed(parser.seeds, parser.words))
    def fuzz(data: bytes) -> None:
        nonlocal executions
        executions += 1
        parser.run(data)

    for seed in parser.seeds:
        parser.run(seed)
    begin = time.process_time()
    fuzz()
    sys.stdout.write(f"{name}: {executions} executions in {time.process_time() - begin:.1f} s\n")


@pytest.mark.parametrize(
    ("name", "number"), [(name, number) for name, parser in PARSERS.items() for number in range(len(parser.growing))]
)
def test_time_grows_with_the_size(name: str, number: int) -> None:
    parser = PARSERS[name]
    assert is_linear(parser.run, parser.growing[number], parser.size)
