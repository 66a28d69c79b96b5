"""Which IP addresses may be connected to, whatever a name server says."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any

import pytest

from newsmill.network.address_guard import MAX_REFUSED_HOSTS, REFUSED_HOSTS, Guard, make_guarded_getaddrinfo

PUBLIC = ["93.184.216.34", "8.8.8.8", "2606:4700::6810:84e5", "2a00:1450:4001:82b::200e"]
PRIVATE = [
    "127.0.0.1", "127.66.6.6", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "192.0.0.9", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.51.100.1", "203.0.113.9", "224.0.0.1", "239.255.255.250",
    "240.0.0.1", "255.255.255.255", "168.63.129.16", "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::7f00:1",
    "64:ff9b:1::7f00:1",
    "2002:7f00:1::", "2001:0:7f00:1::", "2001:db8::1", "3fff::1", "fc00::1", "fd12:3456::1", "fe80::1", "fe80::1%eth0", "fec0::1",
    "ff02::1", "5f00::1", "100::1",
]  # fmt: skip


@pytest.mark.parametrize("ip", PUBLIC)
def test_public_ips_are_open_on_web_ports_only(ip: str) -> None:
    guard = Guard()
    assert guard.find_refusal(ip, 80) is None
    assert guard.find_refusal(ip, 443) is None
    for port in (22, 25, 6379, 5432, 8080):
        assert guard.find_refusal(ip, port) == f"port {port} is not 80 or 443; NEWSMILL_ALLOW_NETS={ip} permits all ports of {ip}"


@pytest.mark.parametrize("ip", PRIVATE)
def test_private_ips_are_refused(ip: str) -> None:
    assert Guard().find_refusal(ip, 80) is not None


def test_the_operators_networks_are_open_on_every_port() -> None:
    guard = Guard.from_networks(["127.0.0.0/24", "fd00::/8"])
    assert guard.find_refusal("127.0.0.1", 8080) is None
    assert guard.find_refusal("fd12::1", 6379) is None
    assert guard.find_refusal("127.66.6.6", 80) is not None
    assert guard.find_refusal("::ffff:127.0.0.1", 80) is not None  # another spelling of an allowed IP address is not allowed


def test_an_invalid_ip_is_refused() -> None:
    assert Guard().find_refusal("None", 80) is not None


def answers(*ips: str) -> list[Any]:
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, 80)) for ip in ips]


def test_each_answer_of_a_name_is_judged() -> None:
    lookup = make_guarded_getaddrinfo(Guard(), lambda *_: answers("10.0.0.1", "93.184.216.34", "127.0.0.1"))
    assert lookup("mixed.example", 80) == answers("93.184.216.34")
    assert "mixed.example" not in REFUSED_HOSTS


def test_a_name_with_private_answers_only_is_refused_by_name() -> None:
    lookup = make_guarded_getaddrinfo(Guard(), lambda *_: answers("10.0.0.1"))
    assert lookup("inside.example", 80) == []
    assert REFUSED_HOSTS.pop("inside.example") == "10.0.0.1 is not a public IP address; NEWSMILL_ALLOW_NETS=10.0.0.1 permits it"


def test_a_wildcard_domain_does_not_fill_the_memory() -> None:
    lookup = make_guarded_getaddrinfo(Guard(), lambda *_: answers("10.0.0.1"))
    for number in range(MAX_REFUSED_HOSTS + 100):
        lookup(f"{number}.wild.example", 80)
    assert len(REFUSED_HOSTS) == MAX_REFUSED_HOSTS and f"{MAX_REFUSED_HOSTS + 99}.wild.example" in REFUSED_HOSTS
    REFUSED_HOSTS.clear()


def test_a_name_that_changes_its_answer_is_judged_each_time() -> None:
    turn = iter(["93.184.216.34", "127.66.6.6"] * 50)
    lookup = make_guarded_getaddrinfo(Guard(), lambda *_: answers(next(turn)))
    given = [answer[4][0] for _ in range(100) for answer in lookup("rebinding.example", 80)]
    assert given == ["93.184.216.34"] * 50
    REFUSED_HOSTS.pop("rebinding.example", None)


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0", "0251.0376.0251.0376", "::ffff:127.0.0.1"])
def test_odd_spellings_are_judged_by_what_they_resolve_to(host: str) -> None:
    """glibc resolves every one of them; the guard sees the result."""
    with suppress(socket.gaierror):  # another libc refuses them itself
        assert make_guarded_getaddrinfo(Guard())(host, 80, socket.AF_UNSPEC, socket.SOCK_STREAM) == []
    REFUSED_HOSTS.pop(host, None)


def test_a_name_that_cannot_be_asked_for_is_unknown() -> None:
    with pytest.raises(socket.gaierror):
        make_guarded_getaddrinfo(Guard())("a" * 70 + ".example", 80)
