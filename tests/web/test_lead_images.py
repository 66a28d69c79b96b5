"""Images of documents: what is shown, what is refused, and how politely they are fetched. Real sockets on loopback IP addresses."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from image_site import PNG, ImageSite, image_site, png
from receiver import canary
from rows import Mill, document_of, good
from site_of_tests import RunningApp

from newsmill.model import Link
from newsmill.settings import Settings
from newsmill.storage.private_files import make_image_mark
from newsmill.storage.publishers import Publishers
from newsmill.web import lead_images
from newsmill.web.config import WebConfig
from newsmill.web.lead_images import ImageCache
from newsmill.web.raster import Raster, read_raster

ALLOWED = ("127.0.0.2/32",)


@pytest.fixture
def site() -> Iterator[ImageSite]:
    with image_site() as site:
        yield site


def add(web: RunningApp, *images: str | None) -> list[str]:
    """Documents with these images; the paths of our route for them."""
    mill = Mill(web.context.ledger, now=web.context.now())
    claims = mill.fetch(*(Link(f"https://paper.example/{number}") for number in range(len(images))))
    stored = [document_of(claim.url, content=claim.url, image=image) for claim, image in zip(claims, images, strict=True)]
    mill.store(*(good(claim, document) for claim, document in zip(claims, stored, strict=True)))
    return [f"/documents/{document.id}/image" for document in stored]


def test_an_image_is_shown_by_its_bytes_and_kept(make_web: Callable[..., RunningApp], site: ImageSite, tmp_path: Path) -> None:
    web = make_web(WebConfig(allow_nets=ALLOWED), Settings(data=tmp_path))
    good_path, moved, none, stopped = add(web, f"{site.url}/good?a=%C3%A9&b", f"{site.url}/moved", None, f"{site.url}/later")
    client = web.browser()
    for path in (good_path, moved, good_path):
        answer = client.get(path)
        assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, PNG, "image/png")
        assert answer.headers["content-security-policy"] == "sandbox; default-src 'none'"
        assert answer.headers["x-content-type-options"] == "nosniff" and "set-cookie" not in answer.headers
    assert site.paths == {"/good?a=%C3%A9&b": 1, "/moved": 1, "/good": 1}
    assert all("cookie" not in headers and "referer" not in headers for headers in site.headers)
    Publishers(web.context.engine).give_order(urlsplit(site.url).netloc, is_stopped=True, delay=None, now=web.context.now())
    assert client.get(stopped).status_code == 404 and "/later" not in site.paths
    assert client.get(none).status_code == client.get(f"/documents/{'0' * 32}/image").status_code == 404
    assert sorted(path.read_bytes() for path in (tmp_path / "images").iterdir() if not path.suffix) == [b"", PNG, PNG]
    assert "/image" in client.get("/search").text


@pytest.mark.parametrize("path", ["/svg", "/page", "/huge", "/cut", "/empty", "/gone", "/loop", "/file", "/endless"])
def test_what_is_no_image_is_not_shown_and_not_asked_for_again(
    make_web: Callable[..., RunningApp], site: ImageSite, tmp_path: Path, path: str
) -> None:
    web = make_web(WebConfig(allow_nets=ALLOWED), Settings(data=tmp_path))
    (ours,) = add(web, site.url + path)
    for _ in range(2):
        answer = web.reader.get(ours)
        assert answer.status_code == 404 and b"hit()" not in answer.content
    assert site.paths[path] == (1 + lead_images.MAX_REDIRECTS if path == "/loop" else 1)


def test_no_request_leads_into_a_private_network(make_web: Callable[..., RunningApp]) -> None:
    """Neither by the image's URL nor by a redirect from an allowed one."""
    with canary() as forbidden, image_site(elsewhere=f"http://127.0.0.1:{forbidden.port}/image.png") as site:
        web = make_web(WebConfig(allow_nets=ALLOWED))
        direct = [f"http://{host}:{forbidden.port}/a.png" for host in ("127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]")]
        for path in add(web, *direct, f"{site.url}/elsewhere", "http://169.254.169.254/latest/meta-data/"):
            assert web.reader.get(path).status_code == 404
        assert forbidden.connects == 0 and site.paths == {"/elsewhere": 1}


def test_a_host_gets_one_request_at_a_time(make_web: Callable[..., RunningApp], site: ImageSite) -> None:
    web = make_web(WebConfig(allow_nets=ALLOWED))
    paths = add(web, *(f"{site.url}/slow?{number // 2}" for number in range(12)))
    with ThreadPoolExecutor(12) as pool:
        assert {answer.status_code for answer in pool.map(web.reader.get, paths)} == {200}
    assert site.most_running == 1
    assert not web.app.state.lead_images._locks and not web.app.state.lead_images._fetching


def test_images_can_be_switched_off(make_web: Callable[..., RunningApp], site: ImageSite) -> None:
    web = make_web(WebConfig(allow_nets=ALLOWED, shows_images=False))
    (path,) = add(web, f"{site.url}/good")
    assert web.reader.get(path).status_code == 404
    for page in ("/search", path.removesuffix("/image")):
        assert "<img" not in web.reader.get(page).text
    assert not site.paths


def test_the_cache_is_bounded_and_works_without_a_disk(tmp_path: Path) -> None:
    cache = ImageCache(tmp_path / "images", max_bytes=100_000)
    for number in range(60):
        cache.get(f"https://a.example/{number}", "1f")
        cache.put(f"https://a.example/{number}", bytes(5000))
    sizes = [path.stat().st_size for path in (tmp_path / "images").iterdir()]
    assert 0 < sum(sizes) <= 100_000
    assert cache.get("https://a.example/59", "1f") == bytes(5000) and cache.get("https://a.example/0", "1f") is None
    assert (tmp_path / "images" / make_image_mark("https://a.example/59", "1f")).stat().st_size == 0, "of which document it is"
    nowhere = ImageCache(tmp_path / "no" / "folder")
    nowhere.put("https://a.example/", b"x")
    assert nowhere.get("https://a.example/", "1f") is None


def test_the_size_of_each_kind_of_image() -> None:
    jpeg = b"\xff\xd8\xff\xe0\0\x04ab\xff\xff\xc2\0\x11\x08" + struct.pack(">HH", 30, 40)
    webp = b"RIFF\0\0\0\0WEBP"
    assert read_raster(jpeg) == Raster("image/jpeg", 40, 30)
    assert read_raster(png(7, 5)) == Raster("image/png", 7, 5)
    assert read_raster(webp + b"VP8X\0\0\0\0\0\0\0\0" + bytes((39, 0, 0, 29, 0, 0))) == Raster("image/webp", 40, 30)
    assert read_raster(webp + b"VP8L\0\0\0\0\x2f" + struct.pack("<I", 39 | 29 << 14)) == Raster("image/webp", 40, 30)
    assert read_raster(webp + b"VP8 " + bytes(10) + struct.pack("<HH", 40, 30)) == Raster("image/webp", 40, 30)
    for broken in (b"", b"\xff\xd8\xff", jpeg[:-3], b"RIFF", webp, webp + b"VP8X", b"BM" + bytes(60), b"GIF89a" + bytes(4)):
        assert read_raster(broken) is None


@pytest.mark.parametrize("filling", [b"\xff", b"\xff\xe0\0\x02", b"\xff\xd0"])
def test_a_jpeg_with_endless_segments_before_its_size_is_no_image(filling: bytes) -> None:
    """The event loop reads the size: eight megabytes of fill bytes would hold all requests up for most of a second."""
    size = b"\xff\xc0\0\x11\x08" + struct.pack(">HH", 30, 40)
    assert read_raster(b"\xff\xd8" + 100 * filling + size) == Raster("image/jpeg", 40, 30)
    assert read_raster(b"\xff\xd8\xff" + lead_images.MAX_IMAGE_BYTES // len(filling) * filling + size) is None
