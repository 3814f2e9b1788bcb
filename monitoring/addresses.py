"""The client address of a request: the one place that decides whether to trust forwarded headers."""

import ipaddress
from collections.abc import Iterable, Mapping, MutableMapping
from functools import lru_cache
from typing import Any

from django.conf import settings

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
# More than any real chain of proxies has.
_MAX_HOPS = 20


def client_address(meta: Mapping[str, Any]) -> str | None:
    """Return the IP address of the client from the META of a request, None where it is unknown.

    X-Forwarded-For is trusted only behind a unix socket (no REMOTE_ADDR: only our proxy can open it) or from a peer
    in TRUSTED_PROXIES; the client is then the rightmost hop that is no trusted proxy. A proxied request without
    the header has no address: it must never pass for one of the proxy itself.
    """
    if not is_from_proxy(meta):
        peer = _parse(str(meta["REMOTE_ADDR"]))
        return None if peer is None else str(peer)
    for hop in reversed(str(meta.get("HTTP_X_FORWARDED_FOR") or "").split(",")[-_MAX_HOPS:]):
        address = _parse(hop.strip())
        if address is None:
            return None
        if not _is_in_networks(address, settings.TRUSTED_PROXIES):
            return str(address)
    return None


def is_from_proxy(meta: Mapping[str, Any]) -> bool:
    """Return whether the peer of a request is a proxy whose X-Forwarded-* headers are trusted."""
    remote = str(meta.get("REMOTE_ADDR") or "")
    if not remote:
        return True
    peer = _parse(remote)
    return peer is not None and _is_in_networks(peer, settings.TRUSTED_PROXIES)


def drop_forged_scheme(meta: MutableMapping[str, Any]) -> None:
    """Remove X-Forwarded-Proto from META unless a trusted proxy wrote it: Django itself believes any peer."""
    if "HTTP_X_FORWARDED_PROTO" in meta and not is_from_proxy(meta):
        del meta["HTTP_X_FORWARDED_PROTO"]


def meta_from_scope(scope: Mapping[str, Any]) -> dict[str, str]:
    """Return the part of META that `client_address` reads, from an ASGI scope."""
    client = scope.get("client")
    meta = {"REMOTE_ADDR": client[0] if client else ""}
    forwarded_for = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
    return meta | {"HTTP_X_FORWARDED_FOR": ",".join(forwarded_for)} if forwarded_for else meta


def is_within(meta: Mapping[str, Any], networks: Iterable[IPNetwork]) -> bool:
    """Return whether the client address is known and in one of the networks.

    A loopback peer that forwards a request without being a trusted proxy is not local.
    """
    address = _parse(client_address(meta) or "")
    if address is None or (address.is_loopback and "HTTP_X_FORWARDED_FOR" in meta and not is_from_proxy(meta)):
        return False
    return _is_in_networks(address, networks)


@lru_cache(maxsize=4096)
def _parse(text: str) -> IPAddress | None:
    """Return the address, None where it is none or has a zone; an IPv4-mapped address becomes IPv4."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id:
            return None
        return address.ipv4_mapped or address
    return address


def _is_in_networks(address: IPAddress, networks: Iterable[IPNetwork]) -> bool:
    return any(address in network for network in networks)
