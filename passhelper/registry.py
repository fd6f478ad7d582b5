"""Which server URLs mean the same registry.

Docker stores Docker Hub under ``https://index.docker.io/v1/``, podman under ``docker.io``; a private
registry comes as ``host``, ``https://host`` or ``https://host/v2/``. A helper that compares bytes
makes users log in once per spelling. Equivalence is tried only after the exact name has missed,
and is never looser than this: same scheme, host and port, and no path but a registry's root.
``https://index.docker.io/v1/access-token`` holds another kind of secret and equals only itself.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["equivalents", "normalize"]

_PORTS = {"https": 443, "http": 80}
_ROOTS = frozenset(("", "/", "/v1", "/v1/", "/v2", "/v2/"))
_DOCKER_HUB = frozenset(("docker.io", "index.docker.io", "registry-1.docker.io"))


def normalize(server: str) -> "tuple[str, str, int] | None":
    """Reduce a server URL to scheme, host and port.

    Args:
        server: the server URL; no scheme counts as https.

    Returns:
        two servers are equivalent when their results are equal; None for a name that equals only
        itself (another path or scheme, a query, user information, a port that is not a number).
    """
    scheme, separator, rest = server.partition("://")
    if not separator:
        scheme, rest = "https", server
    scheme = scheme.lower()
    cut = rest.find("/")
    authority, path = (rest, "") if cut < 0 else (rest[:cut], rest[cut:])
    if scheme not in _PORTS or path not in _ROOTS or not authority.isascii():
        return None
    host, colon, port = authority.rpartition(":")
    if not colon or authority.endswith("]"):  # no port, or the colons of an IPv6 address
        host, port = authority, str(_PORTS[scheme])
    if not _is_host(host) or not port.isdigit() or not 0 < int(port) < 1 << 16:
        return None
    host = host.lower()
    if host in _DOCKER_HUB and (scheme, int(port)) == ("https", 443):
        host = "docker.io"
    return scheme, host, int(port)


def equivalents(server: str, names: "Iterable[str]") -> "list[str]":
    """Pick the other names that mean the same registry, in byte order.

    Args:
        server: the server URL that was asked for.
        names: the server URLs that a backend holds.
    """
    wanted = normalize(server)
    if wanted is None:
        return []
    return sorted({name for name in names if name != server and normalize(name) == wanted}, key=str.encode)


def _is_host(host: str) -> bool:
    if host.startswith("[") and host.endswith("]"):
        return host[1:-1].replace(":", "").isalnum()
    return bool(host) and not any(char in "@?#[]:\\ " for char in host)
