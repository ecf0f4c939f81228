from __future__ import annotations

import datetime as dt
import gzip
import ipaddress
import json
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from dataflow_assets.errors import ConfigurationError, CredentialError, FetchFailed, ItemRefused
from dataflow_assets.source_settings import NetworkSettings
from dataflow_assets.sources.http import (
    AddressRefused,
    HttpClient,
    RedirectRefused,
    RequestFailed,
    RequestRefused,
    RequestUnauthorized,
)
from dataflow_assets_tests.sources.site import Site, proxy, site

Opened = Callable[..., HttpClient]


@pytest.fixture
def there() -> Iterator[Site]:
    with site() as made:
        yield made


@pytest.fixture
def naps() -> list[float]:
    return []


@pytest.fixture
def client(naps: list[float]) -> Iterator[Opened]:
    with ExitStack() as stack:

        def opened(**changes: Any) -> HttpClient:
            resolve = changes.pop("resolve", None)
            own = {name: changes.pop(name) for name in ("user_agent", "per_second") if name in changes}
            settings = NetworkSettings(type="x", **({"allow_hosts": ("127.0.0.1",), "retries": 2} | changes))
            return stack.enter_context(HttpClient(settings, resolve=resolve, sleep=naps.append, **own))

        yield opened


def hosts(**names: str) -> Callable[[str, int], list[str]]:
    """A name service: of names with `_` for the dot."""

    def resolve(host: str, port: int) -> list[str]:
        try:
            return [str(ipaddress.ip_address(host.strip("[]")))]
        except ValueError:
            pass
        if (found := names.get(host.replace(".", "_"))) is None:
            raise OSError("Name or service not known")
        return found.split()

    return resolve


def test_an_answer_is_given_as_it_came(there: Site, client: Opened) -> None:
    there.put("/page?a=1&b=x+y", "Grüße", headers={"X-Odd": "Yes"})
    answer = client(user_agent="librarian/2").get(f"{there.url}/page?a=1", params={"b": "x y"}, headers={"X-Mine": "1"})
    assert (answer.status, answer.text, answer.headers["x-odd"]) == (200, "Grüße", "Yes")
    assert answer.url == f"{there.url}/page?a=1&b=x+y"
    sent = there.asked[0].headers
    assert (sent["user-agent"], sent["x-mine"], sent["host"]) == ("librarian/2", "1", f"127.0.0.1:{there.port}")
    assert "cookie" not in sent


def test_forms_and_json_are_posted(there: Site, client: Opened) -> None:
    there.put("/token", '{"token": "t"}')
    asking = client()
    assert asking.post(f"{there.url}/token", data={"grant": "a b"}).json() == {"token": "t"}
    asking.post(f"{there.url}/token", json={"q": ["ü"]})
    form, body = there.asked
    assert (form.method, form.body, form.headers["content-type"]) == (
        "POST", b"grant=a+b", "application/x-www-form-urlencoded",
    )  # fmt: skip
    assert json.loads(body.body) == {"q": ["ü"]}


@pytest.mark.parametrize("said", ["", "<html>", "[" * 100_000, '{"a": 1'])
def test_what_is_no_json_says_so(there: Site, client: Opened, said: str) -> None:
    there.put("/x", said)
    with pytest.raises(FetchFailed, match="did not answer with JSON"):
        client().get(f"{there.url}/x").json()


def test_text_of_an_unknown_charset_is_read_all_the_same(there: Site, client: Opened) -> None:
    for charset, body in (("klingon", "ä".encode()), ("latin-1", "ä".encode("latin-1")), ("base64", "ä".encode())):
        there.put("/x", body, headers={"Content-Type": f"text/plain; charset={charset}"})
        assert client().get(f"{there.url}/x").text == "ä"


def test_a_page_that_did_not_change_is_an_answer(there: Site, client: Opened) -> None:
    there.put("/x", "same")
    tag = client().get(f"{there.url}/x").headers["etag"]
    answer = client().get(f"{there.url}/x", headers={"If-None-Match": tag})
    assert (answer.status, answer.content) == (304, b"")


@pytest.mark.parametrize(
    ("status", "kind"),
    [(404, RequestRefused), (410, RequestRefused), (400, RequestRefused), (451, RequestRefused), (300, RequestRefused)]
    + [(status, RequestFailed) for status in (408, 425, 429, 500, 502, 503, 504, 529)],
)
def test_what_stays_is_told_from_what_passes(
    there: Site, client: Opened, naps: list[float], status: int, kind: type[Exception]
) -> None:
    there.put("/x?token=secret", status=status)
    with pytest.raises(kind) as caught:
        client().get(f"{there.url}/x?token=secret")
    assert caught.value.status == status  # type: ignore[attr-defined]
    assert "secret" not in str(caught.value)
    assert len(there.asked) == (3 if kind is RequestFailed else 1)


def test_a_failure_that_passes_is_not_seen(there: Site, client: Opened, naps: list[float]) -> None:
    troubles: list[str] = ["hang up", "500", "half"]

    def act(handler: BaseHTTPRequestHandler) -> None:
        trouble = troubles.pop(0) if troubles else ""
        if trouble == "hang up":
            handler.close_connection = True
            return
        handler.send_response(500 if trouble == "500" else 200)
        handler.send_header("Content-Length", "4")
        handler.end_headers()
        handler.wfile.write(b"do" if trouble == "half" else b"done")
        handler.close_connection = trouble == "half"

    there.act("/x", act)
    assert client(retries=3).get(f"{there.url}/x").content == b"done"
    assert len(there.asked) == 4
    assert naps == sorted(naps)
    assert all(0.25 * 2**n <= nap <= 0.5 * 2**n for n, nap in enumerate(naps))


@pytest.mark.parametrize(("said", "expected"), [("7", 7.0), ("86400", 60.0), ("-1", None), ("soon", None)])
def test_a_server_says_how_long_to_wait(
    there: Site, client: Opened, naps: list[float], said: str, expected: float | None
) -> None:
    there.put("/x", status=503, headers={"Retry-After": said})
    with pytest.raises(RequestFailed):
        client(retries=1).get(f"{there.url}/x")
    assert len(naps) == 1
    assert naps[0] == pytest.approx(expected, abs=1) if expected else naps[0] <= 0.5


def test_a_host_that_asks_to_wait_is_left_alone_by_all(there: Site, client: Opened, naps: list[float]) -> None:
    there.put("/x", status=429, headers={"Retry-After": "20"})
    there.put("/y", "fine")
    asking = client(retries=0)
    with pytest.raises(RequestFailed):
        asking.get(f"{there.url}/x")
    asking.get(f"{there.url}/y")
    assert naps == [pytest.approx(20, abs=1)]


@pytest.mark.parametrize("status", [401, 403])
def test_credentials_that_are_not_taken_name_their_variable(
    there: Site, client: Opened, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    there.put("/x", status=status)
    with pytest.raises(RequestRefused, match="not for everyone"):
        client().get(f"{there.url}/x")
    with pytest.raises(RequestUnauthorized, match="WIKI_TOKEN"):
        client().get(f"{there.url}/x", headers={"Authorization": "Bearer abcdef"}, credential="WIKI_TOKEN")
    monkeypatch.setenv("WIKI_HEADER", "Bearer qwertz")
    with pytest.raises(CredentialError, match="WIKI_HEADER") as caught:
        client(headers={"Authorization": "WIKI_HEADER"}).get(f"{there.url}/x")
    assert "qwertz" not in str(caught.value)
    assert there.asked[-1].headers["authorization"] == "Bearer qwertz"


def test_a_header_of_the_environment_must_be_there(
    there: Site, client: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking = client(headers={"X-Key": "THE_KEY"})
    for value in (None, "  ", "two\nlines", "schlüssel"):
        if value is not None:
            monkeypatch.setenv("THE_KEY", value)
        with pytest.raises(CredentialError, match="THE_KEY"):
            asking.get(f"{there.url}/x")
    assert there.asked == []


# ---- redirects


def test_redirects_are_followed(there: Site, client: Opened) -> None:
    there.redirect("/a", "b?x=1", 301)
    there.redirect("/b?x=1", f"{there.url}/c#part", 307)
    there.put("/c", "end")
    answer = client().get(f"{there.url}/a")
    assert (answer.url, answer.content) == (f"{there.url}/c", b"end")
    assert answer.redirects == (f"{there.url}/a", f"{there.url}/b?x=1")


def test_redirects_end(there: Site, client: Opened) -> None:
    there.redirect("/a", "/a")
    with pytest.raises(RequestRefused, match="more than 10 times"):
        client().get(f"{there.url}/a")
    assert len(there.asked) == 11


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/", "http://u:p@127.0.0.1/", "gopher://x"])
def test_redirects_lead_to_the_web_only(there: Site, client: Opened, target: str) -> None:
    there.redirect("/a", target)
    with pytest.raises(ItemRefused):
        client().get(f"{there.url}/a")
    assert len(there.asked) == 1


@pytest.mark.parametrize(
    "host",
    [
        "10.0.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "[::1]",
        "[fd00::1]",
        "[::ffff:10.0.0.1]",
        "[64:ff9b::a00:1]",
    ],
)
def test_redirects_into_a_private_network_are_not_followed(there: Site, client: Opened, host: str) -> None:
    there.redirect("/a", f"http://{host}/latest/meta-data")
    with pytest.raises(AddressRefused, match="allow_hosts"):
        client().get(f"{there.url}/a")


def test_whoever_asks_decides_which_redirects_are_followed(there: Site, client: Opened) -> None:
    there.redirect("/a", "/b")
    with pytest.raises(RedirectRefused) as caught:
        client().get(f"{there.url}/a", may_follow=lambda target: False)
    assert caught.value.target == f"{there.url}/b"
    assert there.paths() == ["/a"]


def test_secrets_do_not_follow_to_another_host(there: Site, client: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "shh")
    with site() as other:
        asking = client(headers={"X-Secret": "SECRET"})
        headers = {"Authorization": "Bearer shh", "Cookie": "shh", "X-Api-Key": "shh", "Accept": "text/html"}
        other.put("/b", "end")
        there.put("/b", "end")
        for target in (f"{other.url}/b", f"http://127.0.0.1:{there.port}/b"):
            there.redirect("/a", target)
            asking.get(f"{there.url}/a", headers=headers)
    assert "shh" not in str(other.asked[0].headers)
    assert other.asked[0].headers["accept"] == "text/html"
    assert there.asked[-1].headers["x-secret"] == there.asked[-1].headers["x-api-key"] == "shh"


def test_what_was_posted_does_not_follow_to_another_host(there: Site, client: Opened) -> None:
    with site() as other:
        there.redirect("/token", f"{other.url}/token", 307)
        with pytest.raises(RedirectRefused):
            client().post(f"{there.url}/token", data={"client_secret": "shh"})
        assert other.asked == []
    there.redirect("/token", "/done", 303)
    there.put("/done", "ok")
    assert client().post(f"{there.url}/token", data={"a": "b"}).content == b"ok"
    assert (there.asked[-1].method, there.asked[-1].body) == ("GET", b"")


# ---- which hosts


@pytest.mark.parametrize(
    "url",
    "http://127.0.0.1/ http://localhost/ http://2130706433/ http://0x7f.1/ http://127.1/ http://[::1]/ http://[::]/ http://0/ "
    "http://[::ffff:127.0.0.1]/ http://169.254.169.254/ http://[fe80::1]/".split(),
)
def test_private_hosts_are_not_asked(client: Opened, url: str) -> None:
    with pytest.raises(AddressRefused):
        client(allow_hosts=()).get(url)


@pytest.mark.parametrize(
    "url", ["", "x", "/x", "file:///x", "http://", "http:///x", "http://u@x/", "http://x:port/", "\0", "http://\n/"]
)
def test_what_is_no_address_of_the_web_is_refused(client: Opened, url: str) -> None:
    with pytest.raises(RequestRefused):
        client().get(url)


def test_a_name_is_resolved_once_and_what_was_checked_is_asked(there: Site, client: Opened) -> None:
    there.put("/x", "ok")
    answers = ["127.0.0.1", "10.0.0.1"]
    asked: list[str] = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return [answers[min(len(asked), 2) - 1]]

    asking = client(allow_hosts=("127.0.0.0/8",), resolve=resolve, retries=0)
    url = f"http://docs.example:{there.port}/x"
    assert asking.get(url).content == b"ok"
    assert asked == ["docs.example"]
    assert there.asked[0].headers["host"] == f"docs.example:{there.port}"
    asking.close()  # so that a new connection is needed, and the name stands for something else by now
    with pytest.raises(AddressRefused, match=r"docs\.example stands for 10\.0\.0\.1"):
        asking.get(url)


def test_one_private_address_among_public_ones_is_enough(client: Opened) -> None:
    asking = client(resolve=hosts(docs_example="93.184.216.34 10.0.0.1"))
    with pytest.raises(AddressRefused):
        asking.get("http://docs.example/")


def test_a_name_that_stands_for_nothing_fails_in_passing(client: Opened) -> None:
    with pytest.raises(RequestFailed, match=r"the name cannot be resolved.*3 times"):
        client(resolve=hosts()).get("http://docs.example/")


# ---- bodies


def test_bodies_are_read_up_to_the_limit(there: Site, client: Opened, tmp_path: Path) -> None:
    sent = 0

    def endless(handler: BaseHTTPRequestHandler) -> None:
        nonlocal sent
        handler.send_response(200)
        handler.end_headers()
        for _ in range(10_000):
            handler.wfile.write(b"x" * 10_000)
            sent += 1

    there.act("/endless", endless)
    there.put("/stated", headers={"Content-Length": "100000000"})
    there.put("/large", b"x" * 1001)
    there.put("/fits", b"x" * 1000)
    asking = client(max_bytes=1000)
    for path in ("/endless", "/stated", "/large"):
        with pytest.raises(RequestRefused, match="more than the 1,000 bytes"):
            asking.get(f"{there.url}{path}", to=tmp_path / "file")
        assert list(tmp_path.iterdir()) == []
    assert len(asking.get(f"{there.url}/fits").content) == 1000
    assert len(asking.get(f"{there.url}/large", max_bytes=1001).content) == 1001
    assert sent < 5_000


def test_a_body_can_be_written_to_a_file(there: Site, client: Opened, tmp_path: Path) -> None:
    there.put("/x", b"abc" * 100_000)
    answer = client().get(f"{there.url}/x", to=tmp_path / "file")
    assert answer.content == b""
    assert (tmp_path / "file").read_bytes() == b"abc" * 100_000


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        ("x-gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("identity", bytes),
        ("GZIP", lambda body: gzip.compress(body[:9]) + gzip.compress(body[9:])),
        ("deflate", lambda body: zlib.compress(body)[2:-4]),
    ],
)
def test_packed_bodies_are_unpacked(there: Site, client: Opened, encoding: str, pack: Callable[[bytes], bytes]) -> None:
    body = b"The text of a page. " * 10_000
    there.put("/x", pack(body), headers={"Content-Encoding": encoding})
    assert client().get(f"{there.url}/x").content == body


def test_a_bomb_is_unpacked_no_further_than_the_limit(there: Site, client: Opened) -> None:
    bomb = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = b"".join(bomb.compress(b"\0" * 1_000_000) for _ in range(40)) + bomb.flush()
    there.put("/x", packed, headers={"Content-Encoding": "gzip"})
    with pytest.raises(RequestRefused, match="more than the 1,000,000 bytes"):
        client().get(f"{there.url}/x", max_bytes=1_000_000)


def test_a_packing_that_was_not_asked_for_is_refused(there: Site, client: Opened) -> None:
    for encoding in ("br", "zstd", "gzip, gzip"):
        there.put("/x", b"x", headers={"Content-Encoding": encoding})
        with pytest.raises(RequestRefused, match="was not asked for"):
            client().get(f"{there.url}/x")
    assert there.asked[0].headers["accept-encoding"] == "gzip, deflate"


@pytest.mark.parametrize("body", [gzip.compress(b"x" * 1000)[:-9], b"no gzip at all"])
def test_a_damaged_body_fails_in_passing(there: Site, client: Opened, body: bytes) -> None:
    there.put("/x", body, headers={"Content-Encoding": "gzip"})
    with pytest.raises(RequestFailed):
        client().get(f"{there.url}/x")


def test_a_range_is_one_of_bytes_that_nobody_packed(there: Site, client: Opened) -> None:
    there.put("/x", b"x", status=206)
    assert client().get(f"{there.url}/x", headers={"Range": "bytes=0-0"}).status == 206
    assert there.asked[0].headers["accept-encoding"] == "identity"


def test_a_body_that_is_not_wanted_is_not_read(there: Site, client: Opened) -> None:
    there.put("/x", b"x" * 1_000_000, headers={"Content-Type": "image/png"})
    answer = client(max_bytes=10).get(f"{there.url}/x", wanted=lambda url, said: said["content-type"] != "image/png")
    assert (answer.content, answer.headers["content-type"]) == (b"", "image/png")


def test_a_body_that_is_longer_than_it_says_spoils_no_other(there: Site, client: Opened) -> None:
    there.put("/long", b"four and more than that", headers={"Content-Length": "4"})
    there.put("/x", b"mine")
    asking = client()
    assert asking.get(f"{there.url}/long").content == b"four"
    assert asking.get(f"{there.url}/x").content == b"mine"


@pytest.mark.parametrize("where", ["head", "body"])
def test_who_sends_byte_by_byte_is_not_waited_for(there: Site, client: Opened, where: str) -> None:
    def slowly(handler: BaseHTTPRequestHandler) -> None:
        said = b"HTTP/1.1 200 OK\r\nX: "
        handler.wfile.write(said if where == "head" else said + b"1\r\n\r\n")
        for _ in range(100):
            handler.wfile.write(b"x")
            handler.wfile.flush()
            time.sleep(0.05)

    there.act("/x", slowly)
    before = time.monotonic()
    with pytest.raises(RequestFailed, match=r"within 0\.2 seconds"):
        client(timeout_seconds=0.2, retries=0).get(f"{there.url}/x")
    assert time.monotonic() - before < 4


@pytest.mark.parametrize(
    "said",
    [
        b"\x00\x01\x02" * 100,
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50_000,
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 101 X\r\n\r\n",
    ],
)
def test_an_answer_that_is_no_http_fails_in_passing(there: Site, client: Opened, said: bytes) -> None:
    def act(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(said)
        handler.close_connection = True

    there.act("/x", act)
    with pytest.raises((RequestFailed, RequestRefused)):
        client().get(f"{there.url}/x")


# ---- proxies


def test_proxies_take_turns_and_nobody_sees_their_credentials(
    there: Site, client: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    there.put("/x", "ok")
    with proxy({"docs.example": there.port}, "user:p@ss word") as one, proxy({"docs.example": there.port}) as two:
        monkeypatch.setenv("PROXY_ONE", f"http://user:p%40ss%20word@127.0.0.1:{one.port}")
        monkeypatch.setenv("PROXY_TWO", f"http://127.0.0.1:{two.port}")
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        asking = client(proxies=("PROXY_ONE", "PROXY_TWO"), resolve=hosts())
        for _ in range(4):
            assert asking.get("http://docs.example/x").content == b"ok"
        assert len(one.asked) == len(two.asked) == 2
        monkeypatch.setenv("PROXY_ONE", f"http://user:wrong@127.0.0.1:{one.port}")
        with pytest.raises(CredentialError, match="PROXY_ONE") as caught:
            client(proxies=("PROXY_ONE",), resolve=hosts()).get("http://docs.example/x")
        assert "wrong" not in str(caught.value)


def test_no_proxy_is_used_that_the_settings_do_not_name(
    there: Site, client: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    there.put("/x", "ok")
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert client().get(f"{there.url}/x").content == b"ok"


def test_a_proxy_is_not_asked_for_private_hosts(client: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    with proxy() as there:
        monkeypatch.setenv("PROXY", f"http://127.0.0.1:{there.port}")
        asking = client(proxies=("PROXY",), resolve=hosts(wiki_corp="10.0.0.7"), allow_hosts=())
        for host in ("127.0.0.1", "169.254.169.254", "[::1]", "wiki.corp"):
            with pytest.raises(AddressRefused):
                asking.get(f"http://{host}/")
        assert there.asked == []


def test_the_next_proxy_stands_in_for_a_dead_one(there: Site, client: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    there.put("/x", "ok")
    with proxy({"docs.example": there.port}) as alive:
        monkeypatch.setenv("DEAD", "http://127.0.0.1:9")
        monkeypatch.setenv("ALIVE", f"http://127.0.0.1:{alive.port}")
        asking = client(proxies=("DEAD", "ALIVE"), resolve=hosts())
        assert asking.get("http://docs.example/x").content == b"ok"
    with pytest.raises(RequestFailed, match="through the proxy that DEAD names"):
        client(proxies=("DEAD",), resolve=hosts()).get("http://docs.example/x")


@pytest.mark.parametrize("value", [None, "", "nonsense", "ftp://x:1", "http://", "http://[", "socks5://x:1"])
def test_a_proxy_that_is_none_says_so(client: Opened, monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    if value is not None:
        monkeypatch.setenv("PROXY", value)
    with pytest.raises(CredentialError, match="PROXY"):
        client(proxies=("PROXY",), resolve=hosts()).get("http://docs.example/")


# ---- TLS


class Authority:
    """An authority that signs certificates of servers."""

    def __init__(self, folder: Path) -> None:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        key, now = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC)
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "docs.example")])
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("docs.example")]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        self.file = folder / "certificate.pem"
        self.file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        secret = folder / "key.pem"
        secret.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server.load_cert_chain(self.file, secret)


def test_a_certificate_that_nobody_vouches_for_is_refused(client: Opened, tmp_path: Path) -> None:
    with site(Authority(tmp_path).server) as there:
        there.put("/x", "secret")
        with pytest.raises(RequestFailed, match=r"certificate verify failed.*, once"):
            client().get(f"{there.url}/x")
        assert there.asked == []


def test_a_certificate_is_checked_against_the_name_and_not_the_address(
    client: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    resolve = hosts(docs_example="127.0.0.1", other_example="127.0.0.1")
    with site(authority.server) as there, proxy({"docs.example": there.port}) as between:
        there.put("/x", "ok")
        asking = client(resolve=resolve)
        assert asking.get(f"https://docs.example:{there.port}/x").content == b"ok"
        for host in ("other.example", "127.0.0.1"):
            with pytest.raises(RequestFailed, match="certificate verify failed"):
                asking.get(f"https://{host}:{there.port}/x")
        there.redirect("/down", "http://docs.example/x")
        with pytest.raises(RedirectRefused, match="from https to http"):
            asking.get(f"https://docs.example:{there.port}/down")
        monkeypatch.setenv("PROXY", f"http://127.0.0.1:{between.port}")
        through = client(resolve=hosts(), proxies=("PROXY",))
        assert through.get(f"https://docs.example:{there.port}/x").content == b"ok"
        assert between.asked == [f"CONNECT docs.example:{there.port}"]


def test_certificates_that_cannot_be_read_are_a_mistake_of_the_environment(
    client: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    with pytest.raises(ConfigurationError, match="SSL_CERT_FILE"):
        client(resolve=hosts(docs_example="127.0.0.1")).get("https://docs.example/")


# ---- many at once


def test_no_more_requests_are_under_way_than_allowed(there: Site, client: Opened) -> None:
    under_way, most, lock = 0, 0, threading.Lock()
    gate = threading.Barrier(2, timeout=10)

    def act(handler: BaseHTTPRequestHandler) -> None:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        gate.wait()  # two are under way at the same time, or this breaks
        with lock:
            under_way -= 1
        handler.send_response(200)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    there.act("/x", act)
    asking = client(concurrency=2, retries=0)
    threads = [threading.Thread(target=asking.get, args=(f"{there.url}/x",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(there.asked), most) == (8, 2)


def test_requests_to_one_host_keep_their_distance(there: Site, client: Opened, naps: list[float]) -> None:
    there.put("/x", "ok")
    asking = client(per_second=0.1)
    for _ in range(3):
        asking.get(f"{there.url}/x")
    assert naps == [pytest.approx(10, abs=2), pytest.approx(20, abs=3)]
    naps.clear()
    asking = client(per_second=0.1, requests_per_second=1000.0)
    asking.slow_down(there.url, 3.0)
    for _ in range(2):
        asking.get(f"{there.url}/x")
    assert naps == [pytest.approx(3, abs=1)]
