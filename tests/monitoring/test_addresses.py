"""The client address of a request."""

from ipaddress import ip_network
from typing import Any

import pytest
from pytest_django import Settings

from monitoring.addresses import client_address, drop_forged_scheme, is_within

LOOPBACK = [ip_network("127.0.0.0/8"), ip_network("::1/128")]


@pytest.mark.parametrize(
    ("meta", "address"),
    [
        ({"REMOTE_ADDR": "198.51.100.9"}, "198.51.100.9"),
        ({"REMOTE_ADDR": "198.51.100.9", "HTTP_X_FORWARDED_FOR": "127.0.0.1"}, "198.51.100.9"),
        ({"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": "198.51.100.9"}, "198.51.100.9"),
        ({"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": "127.0.0.1, 198.51.100.9, 10.0.0.2"}, "198.51.100.9"),
        ({"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": "198.51.100.9, rubbish"}, None),
        ({"REMOTE_ADDR": "10.0.0.1"}, None),
        ({"HTTP_X_FORWARDED_FOR": "198.51.100.9"}, "198.51.100.9"),
        ({"REMOTE_ADDR": "", "HTTP_X_FORWARDED_FOR": "2001:db8::1"}, "2001:db8::1"),
        ({"HTTP_X_FORWARDED_FOR": "::ffff:198.51.100.9"}, "198.51.100.9"),
        ({"HTTP_X_FORWARDED_FOR": "fe80::1%eth0"}, None),
        ({"REMOTE_ADDR": "testclient"}, None),
        ({}, None),
    ],
)
def test_a_forwarded_address_counts_only_from_a_trusted_peer(
    settings: Settings, meta: dict[str, Any], address: str | None
) -> None:
    settings.TRUSTED_PROXIES = [ip_network("10.0.0.0/8")]

    assert client_address(meta) == address


@pytest.mark.parametrize(
    ("meta", "local"),
    [
        ({"REMOTE_ADDR": "127.0.0.1"}, True),
        ({"REMOTE_ADDR": "::1"}, True),
        ({"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": "198.51.100.9"}, False),
        ({"HTTP_X_FORWARDED_FOR": "127.0.0.1"}, True),
        ({"HTTP_X_FORWARDED_FOR": "198.51.100.9"}, False),
        ({}, False),
    ],
)
def test_a_proxied_request_of_another_client_is_never_local(
    settings: Settings, meta: dict[str, Any], local: bool
) -> None:
    settings.TRUSTED_PROXIES = []

    assert is_within(meta, LOOPBACK) == local


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [
        ({}, True),  # a unix socket
        ({"REMOTE_ADDR": "10.0.0.1"}, True),
        ({"REMOTE_ADDR": "198.51.100.9"}, False),
        ({"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": "10.0.0.1"}, False),
        ({"REMOTE_ADDR": "testclient"}, False),
    ],
)
def test_only_a_trusted_peer_says_by_which_scheme_a_client_came(
    settings: Settings, peer: dict[str, Any], trusted: bool
) -> None:
    settings.TRUSTED_PROXIES = [ip_network("10.0.0.0/8")]
    meta = peer | {"HTTP_X_FORWARDED_PROTO": "https"}

    drop_forged_scheme(meta)

    assert ("HTTP_X_FORWARDED_PROTO" in meta) == trusted
