"""The page: nothing from elsewhere, no markup out of data, and what a person sees and does in a browser."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from dataflow_assets.serving.keys import KeyStore
from dataflow_assets_tests.serving.test_connections import running
from dataflow_assets_tests.serving.worlds import World, chunk_id
from tools.browser import CHROMIUM, Browser

FILES = {
    "/": "text/html", "/page.css": "text/css", "/page.js": "text/javascript", "/reader.js": "text/javascript",
    "/service.js": "text/javascript", "/text.js": "text/javascript",
}  # fmt: skip
EVIL = "# Evil\n\nA cellar with <img src=x onerror=document.title='owned'> and \U0001f34e teh end."
CODE = "# Code\n\n```python\ncellar = open('door')  # recieve teh apples\n```\n\n## After\n\nThe code ends."
LONG = "".join(f"Line {i} of a long chronicle \U0001f34e.\n" for i in range(1700)) + "At teh end a gooseberry.\n"
COUNT = "document.querySelectorAll('#results li').length"
TITLES = "[...document.querySelectorAll('#results h3')].map(x => x.textContent)"
SAID = "document.querySelector('#status').textContent"
FOCUS = "document.activeElement.textContent.trim() || document.activeElement.id"
READ = "document.querySelector('#reader-text').textContent"
OPEN = "document.querySelector('#reader').open"


# ---- as a program sees it


def test_it_is_served_with_a_strict_policy(client: TestClient) -> None:
    for path, kind in FILES.items():
        answer = client.get(path)
        assert answer.headers["content-type"].startswith(kind)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "*" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_it_asks_nobody_else_and_makes_no_markup(client: TestClient) -> None:
    for path in FILES:
        text = client.get(path).text
        assert not re.search(r"""(src|href|url|import|fetch)\s*[=(]\s*["']?(https?:)?//""", text)
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|DOMParser|\son\w+=", text)
    assert "<style" not in client.get("/").text
    assert not re.search(r"<script(?! src=)", client.get("/").text)


def test_every_file_that_it_names_is_there_without_a_key(locked: TestClient) -> None:
    named = set()
    for path in FILES:
        answer = locked.get(path)
        assert answer.status_code == 200
        named |= {
            f"/{name}"
            for name in re.findall(r"""(?:src|href)="(\w+\.\w+)"|from "\./(\w+\.js)\"""", answer.text)
            for name in name
            if name
        }
    assert named == FILES.keys() - {"/"}


def test_every_element_that_the_scripts_ask_for_is_there(client: TestClient) -> None:
    ids = set(re.findall(r'id="([\w-]+)"', client.get("/").text))
    for path in FILES:
        assert set(re.findall(r'byId\("([\w-]+)"\)', client.get(path).text)) <= ids


# ---- as a person sees it


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if CHROMIUM is None:
        if os.environ.get("CHROMIUM_REQUIRED"):
            pytest.fail("There is no Chromium, and CHROMIUM_REQUIRED is set. On Debian: apt-get install chromium")
        pytest.skip("There is no Chromium.")
    with Browser(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture(scope="module")
def address(made: World, tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[str]:
    """A service over a library of awkward pages, that no test changes."""
    world = World(tmp_path_factory.mktemp("awkward"))
    apples = {f"apples {i:02}": f"# Apples\n\nApples of sort {i} keep in a cool cellar." for i in range(15)}
    world.make({"fruit": {**apples, "<b>evil</b>": EVIL, "code": CODE}, "long": {"chronicle": LONG}})
    with running(world) as found:
        yield f"http://127.0.0.1:{found.address[1]}/"


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Browser]:
    """A tab at the beginning, that must not complain or ask anybody else."""
    browser.look(1280, 900)
    browser.evaluate("localStorage.clear(), sessionStorage.clear()") if "127.0.0.1" in browser.evaluate(
        "location.href"
    ) else None
    browser.requests.clear()
    browser.complaints.clear()
    browser.open(address)
    browser.wait("document.querySelector('.card')")
    yield browser
    assert not [url for url in browser.requests if not url.startswith((address, "data:", "about:"))]
    assert not browser.complaints
    assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth")


def find(page: Browser, words: str) -> None:
    page.click("#query")
    page.evaluate("document.querySelector('#query').select()")
    page.type(words)
    page.wait(
        f"{COUNT} && location.hash.includes({json.dumps(quote(words.split()[0]))}) && !document.querySelector('[aria-busy]')"
    )


def test_libraries_are_seen_at_a_glance_and_one_is_chosen(page: Browser) -> None:
    card = page.evaluate("document.querySelector('#libraries li').innerText")
    assert card.startswith("fruit")
    assert "90 of 100 quality" in card.replace("\n", " ")
    page.click("#libraries summary")
    page.wait("document.querySelector('details table td')")
    page.click("#libraries li:nth-child(2) button")
    assert page.wait("document.querySelector('#library').value") == "long"
    assert page.evaluate(FOCUS) == "query"


def test_results_come_as_one_types_and_more_on_demand(page: Browser) -> None:
    find(page, "apples cellar")
    assert page.evaluate(COUNT) == 10
    assert re.match(r"10 results in [0-9.]+ ms", page.evaluate(SAID))
    assert page.evaluate("document.title") == "apples cellar - dataflow"
    assert page.evaluate("document.querySelector('#glance').hidden")
    page.click("#more")
    page.wait(f"{COUNT} > 15")
    assert page.evaluate("[...document.querySelectorAll('#results h3 button')].indexOf(document.activeElement)") == 10
    assert len(set(page.evaluate(TITLES))) == page.evaluate(COUNT)


def test_filters_narrow_and_are_cleared(page: Browser) -> None:
    find(page, "cellar")
    page.evaluate("document.querySelector('#doc_type').value = 'changelog'")
    page.evaluate("document.querySelector('#doc_type').dispatchEvent(new Event('input'))")
    page.wait(f"{SAID}.startsWith('No results')")
    assert "fewer filters" in page.evaluate(SAID)
    assert "doc_type=changelog" in page.evaluate("location.hash")
    page.click("#unfilter")
    page.wait(COUNT)
    assert "doc_type" not in page.evaluate("location.hash")


def test_the_keyboard_is_enough(page: Browser) -> None:
    find(page, "apples cellar")
    titles = page.evaluate(TITLES)
    page.press("ArrowDown")
    page.press("ArrowDown")
    assert page.evaluate(FOCUS) == titles[1]
    page.press("Enter")
    page.wait(OPEN)
    assert page.evaluate("document.querySelector('#reader-title').textContent") == titles[1]
    assert page.evaluate("document.querySelector('#where').textContent") == "2 of 10"
    page.press("ArrowRight")
    page.wait(f"document.querySelector('#reader-title').textContent === {json.dumps(titles[2])}")
    page.press("Escape")
    page.wait(f"!{OPEN} && !location.hash.includes('open')")
    assert page.evaluate(FOCUS) == titles[2]
    page.press("/")
    assert page.evaluate(FOCUS) == "query"


def test_what_has_the_focus_is_not_hidden_behind_the_field(page: Browser) -> None:
    find(page, "apples cellar")
    for key in ["ArrowDown"] * 10 + ["ArrowUp"] * 9:
        page.press(key)
        edge = page.evaluate("document.querySelector('header').getBoundingClientRect().bottom")
        assert page.evaluate("document.activeElement.getBoundingClientRect().top") >= edge


def test_back_closes_a_document_and_its_address_opens_it(page: Browser, address: str) -> None:
    find(page, "apples cellar")
    page.click("#results li:nth-child(3) button")
    page.wait(OPEN)
    shared, title = page.evaluate("[location.href, document.querySelector('#reader-title').textContent]")
    page.evaluate("history.back()")
    page.wait(f"!{OPEN}")
    assert page.evaluate(COUNT) == 10
    page.evaluate("history.forward()")
    page.wait(OPEN)
    page.open(shared)
    page.wait(OPEN)
    assert page.evaluate("document.querySelector('#reader-title').textContent") == title
    page.press("Escape")
    page.wait(f"!{OPEN} && !location.hash.includes('open')")
    page.open(f"{address}#query=gooseberry&open={chunk_id('fruit', 'code')}")  # which that question does not find first
    page.wait(OPEN)
    assert "cellar = open" in page.evaluate(READ)


def test_an_address_that_names_nothing_says_so(page: Browser, address: str) -> None:
    for wrong in ("f" * 32, "../../metrics", "%00"):
        page.open(f"{address}#query=apples&open={quote(wrong)}")
        page.wait(f"{SAID}.includes('not there any more')")
        assert page.evaluate(COUNT) == 10
    page.complaints.clear()  # the browser notes each 404


def test_an_address_names_the_tab_and_a_library_that_is_not_there_is_said(page: Browser, address: str) -> None:
    page.open(f"{address}#query=apples&library=nowhere")
    page.wait(f"{SAID}.includes('no library nowhere')")
    assert page.evaluate("document.title") == "apples - dataflow"
    assert page.evaluate("document.querySelector('#library').selectedOptions[0].textContent") == "all"
    find(page, "cellar")
    assert "nowhere" not in page.evaluate(SAID)


def test_text_stays_text_and_marks_stand_where_they_belong(page: Browser) -> None:
    find(page, "onerror cellar teh")
    assert page.evaluate(TITLES)[0] == "<b>evil</b>"
    page.click("#results h3 button")
    page.wait(OPEN)
    assert page.evaluate(READ) == EVIL
    assert page.evaluate("document.images.length") == 0
    # A character beyond UTF-16's first plane stands before the last of them.
    assert page.evaluate("[...document.querySelectorAll('.passage mark')].map(x => x.textContent)") == [
        "cellar",
        "onerror",
        "teh",
    ]


def test_the_original_stands_beside_the_corrected_text(page: Browser) -> None:
    find(page, "onerror cellar teh")
    page.click("#results h3 button")
    page.wait(OPEN)
    assert "1 of 1 passages here mended" in page.evaluate("document.querySelector('#reader-facts').textContent")
    page.click("[data-view=beside]")
    left, right = page.evaluate("[...document.querySelectorAll('.pair > *')].map(x => x.textContent)")
    assert left == EVIL
    assert right == EVIL.replace("teh", "the")
    assert page.evaluate("[...document.querySelectorAll('ins, del')].map(x => x.textContent)") == ["teh", "the"]
    page.click("[data-view=corrected]")
    assert page.evaluate(READ) == EVIL.replace("teh", "the")
    page.click("#change")
    assert page.evaluate("document.querySelector('.here').textContent") == "the"
    page.click("[data-view=original]")
    page.press("ArrowRight")


def test_code_is_set_apart_to_the_letter(page: Browser) -> None:
    find(page, "code cellar door")
    page.wait(f"{TITLES}[0] === 'code'")
    page.click("#results h3 button")
    page.wait(OPEN)
    assert page.evaluate(READ) == CODE
    assert (
        page.evaluate("document.querySelector('#reader-text .code').textContent")
        == CODE[CODE.index("```") : CODE.index("\n## After")].rstrip("\n") + "\n"
    )
    assert page.evaluate("[...document.querySelectorAll('#reader-text .heading')].map(x => x.textContent)") == [
        "# Code\n",
        "## After\n",
    ]


def test_a_long_document_is_read_window_by_window(page: Browser) -> None:
    find(page, "gooseberry chronicle")
    page.click("#results h3 button")
    page.wait(OPEN)
    while page.evaluate("document.querySelector('.more') !== null"):
        before = page.evaluate(f"{READ}.length")
        page.click(".more")
        page.wait(f"{READ}.length !== {before}")
    assert page.evaluate(READ) == LONG


def test_a_service_that_is_gone_is_said_and_asked_again(page: Browser) -> None:
    find(page, "cellar")
    page.call("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=-1, uploadThroughput=-1)
    page.click("#query")
    page.type(" apples")
    page.wait(f"{SAID}.startsWith('The service does not answer.')")
    assert page.evaluate(COUNT) > 0  # what was found stays
    page.call("Network.emulateNetworkConditions", offline=False, latency=0, downloadThroughput=-1, uploadThroughput=-1)
    page.click("#again")
    page.wait(f"/results? in/.test({SAID}) && document.querySelector('#again').hidden")
    page.complaints.clear()


@pytest.mark.parametrize("dark", [False, True])
def test_on_a_phone_nothing_sticks_out_and_contrast_is_enough(page: Browser, dark: bool) -> None:
    page.look(390, 844, phone=True, dark=dark)
    find(page, "onerror cellar teh")
    assert page.evaluate("getComputedStyle(document.querySelector('#filters')).display") == "none"
    page.click("#filters-shown")
    assert page.evaluate("getComputedStyle(document.querySelector('#filters')).display") == "grid"
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.click("#results h3 button")
    page.wait(OPEN)
    page.click("[data-view=beside]")
    assert page.evaluate("document.querySelector('#reader').scrollWidth <= 390")
    for selector in (
        "#reader-facts",
        "#reader-text .text",
        "ins",
        "del",
        "#results h3 button",
        "#results .facts",
        "#status",
        "#results mark",
        "[aria-pressed=true]",
    ):
        assert contrast(page, selector) >= 4.5, selector


def contrast(page: Browser, selector: str) -> float:
    """Give the contrast of a text with its ground, as WCAG 2.2 defines it."""
    found = page.evaluate(
        f"(() => {{ let at = document.querySelector({json.dumps(selector)}); const ink = getComputedStyle(at).color; let ground;"
        "do { ground = getComputedStyle(at).backgroundColor; at = at.parentElement; } while (ground === 'rgba(0, 0, 0, 0)');"
        "return [ink, ground]; })()"
    )

    def luminance(colour: str) -> float:
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    dark, light = sorted(map(luminance, found))
    return (light + 0.05) / (dark + 0.05)


def test_a_key_is_asked_for_and_kept_by_the_tab(world: World, browser: Browser) -> None:
    _, token = KeyStore(world.home).add("somebody", libraries=["fruit"])
    with running(world, require_key=True) as found:
        browser.look(1280, 900)
        browser.open(f"http://127.0.0.1:{found.address[1]}/#query=cellar")
        browser.wait("document.querySelector('#door').open")
        browser.type("df_wrong")
        browser.press("Enter")
        browser.wait("document.querySelector('#door-said').textContent.includes('does not know')")
        browser.wait("document.querySelector('#door').open")
        browser.type(token)
        browser.press("Enter")
        browser.wait(COUNT)
        assert "secret" not in browser.evaluate("document.body.textContent")
        assert token not in browser.evaluate("document.documentElement.outerHTML + location.href + document.cookie")


def test_a_key_that_asks_too_often_is_told_so_and_keeps_its_results(world: World, browser: Browser) -> None:
    _, token = KeyStore(world.home).add("hasty", libraries=None, per_minute=2)
    with running(world, require_key=True) as found:
        browser.look(1280, 900)
        browser.open(f"http://127.0.0.1:{found.address[1]}/#query=cellar")
        browser.wait("document.querySelector('#door').open")
        browser.type(token)
        browser.press("Enter")
        browser.wait(COUNT)  # the libraries were asked for first
        browser.click("#query")
        browser.type(" apples")
        browser.wait(f"{SAID}.startsWith('This key may ask 2 times a minute.')")
        assert browser.evaluate("document.querySelector('#again').checkVisibility()")
        assert browser.evaluate(COUNT) > 0


def test_a_home_without_libraries_says_what_to_do(tmp_path: Path, browser: Browser) -> None:
    world = World(tmp_path)
    world.make({})
    with running(world) as found:
        browser.open(f"http://127.0.0.1:{found.address[1]}/")
        browser.wait(f"{SAID}.includes('dataflow run')")


# ---- what the page makes of texts

WORDS = st.lists(
    st.sampled_from(["a", "b", "the", "\U0001f34e", "```", "# c", "~~~", " ", "\n", "\n\n", "`"]), max_size=25
).map("".join)
PLAIN = "({parts}).map(x => typeof x === 'string' ? x : x.textContent).join('')"


@settings(max_examples=40)
@given(before=WORDS, after=WORDS)
def test_a_difference_loses_no_letter(page_of_texts: Browser, before: str, after: str) -> None:
    left, right, kept = page_of_texts.evaluate(
        f"import('./text.js').then(m => {{ const [l, r] = m.difference({json.dumps(before)}, {json.dumps(after)});"
        f"const kept = x => x.filter(y => typeof y === 'string').join('|');"
        f"return [{PLAIN.format(parts='l')}, {PLAIN.format(parts='r')}, kept(l) === kept(r)]; }})"
    )
    assert (left, right) == (before, after)
    assert kept


@settings(max_examples=40)
@given(text=WORDS, data=st.data())
def test_a_dressed_text_is_the_text_with_its_marks(page_of_texts: Browser, text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8, unique=True)))
    spans = list(zip(cuts[::2], cuts[1::2], strict=False))
    shown, found = page_of_texts.evaluate(
        f"import('./text.js').then(m => {{ const box = m.element('div', {{}}, ...m.dressed({json.dumps(text)}, {json.dumps(spans)}, {{}}));"
        "return [box.textContent, [...box.querySelectorAll('mark')].map(x => x.textContent).join('')]; })"
    )
    assert shown == text
    assert found == "".join(text[start:end] for start, end in spans)


@pytest.fixture(scope="module")
def page_of_texts(browser: Browser, address: str) -> Browser:
    browser.open(address)
    return browser
