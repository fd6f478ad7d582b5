"""Names and secrets that have broken helpers; in servers ``{}`` stands for a domain that nobody owns."""

SERVERS = (
    "https://hub.{}/v1/",
    "plain.{}",
    "http://plain-http.{}",
    "https://path.{}/team/app",
    "port.{}:5000",
    "https://b\u00fccher.{}",
    "UPPER.{}",
    "a b.{}",
    "-rf.{}",
    ">>>???.{}",
    "https://query.{}/v2/?n=1&last=x#part",
    "../../up.{}",
    f"https://{'long-' * 20}.{{}}",
)

USERNAMES = (
    "bob",
    "<token>",
    "_json_key",
    "oauth2accesstoken",
    "bob@example.test",
    "AWS",
    "dom\\bob",
    'it\'s "bob"',
    "a:b*c?",
    "%2F",
    "100%",
    " ",
    "-rf",
    ".gpg-id",
    ".hidden",
    "bob.gpg",
    "\u00fcn\u00ef \u2603 \U0001f600",
    "u" * 180,
)

SLASHES = ("tenancy/idcs/bob", "a/b", "a//b", "end/")  # Oracle's registry has such users

SECRETS = (
    "x",
    "",
    " ",
    'qu"ote \\ back<&>',
    "p\u00e4ss \u2603 \U0001f600",
    "\n leading and\ninner\r\nline ends",
    '{"type": "service_account",\n "key": "-----BEGIN-----\\n"}',
    "\u2028\u2029",
    "%s %n $HOME `id`",
    "-n",
)

TRAILING = ("end\n", "end\r\n", "a\n\n", "a\r")  # Docker's helper for pass trims CR and LF here

# Windows keeps 2,560 bytes in one credential; registry tokens grow beyond.
SIZES = (2560, 2561, 20_000)

# Names that are near to each one and never the same registry: asked for, they must not be found.
NEIGHBOURS = {
    "near.{}": ("http://near.{}", "near.{}:5000", "x.near.{}", "near.{}/team", "user@near.{}", "near.{}.example"),
    "https://far.{}/v1/": ("https://far.{}/v1/access-token", "https://far.{}/v1/x", "https://far.{}:444/v1/"),
    "mid.{}:5000": ("mid.{}:5001", "http://mid.{}:5000", "mid.{}:50"),
}
