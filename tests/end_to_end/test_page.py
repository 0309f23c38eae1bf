"""The page in a real browser, beside a real service that real films are pushed to."""

import re
import statistics
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.end_to_end.accessibility import CONTRAST, unreached, violations
from tests.end_to_end.page_site import (
    ADMIN,
    MOST_WAIT,
    PASSWORD,
    READER,
    PageSite,
    Visitor,
    make_site,
    row,
    visitor,
)
from tests.servers.chromium import chromium
from tests.servers.ports import wait_until
from worker.accounts import Accounts

VISIBLE_SECONDS = 1.0  # after its flag


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all tests; each has a visitor of its own."""
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[PageSite]:
    """One service for all tests, so that the page is asked of something that moves."""
    built = make_site(tmp_path_factory.mktemp("page"))
    try:
        built.start()
        yield built
    finally:
        built.stop()


@pytest.fixture
def reader(browser: Browser, site: PageSite) -> Iterator[Visitor]:
    """A reader who is signed in."""
    with visitor(browser, site) as came:
        came.sign_in()
        yield came


@pytest.fixture
def study(site: PageSite, reader: Visitor) -> str:
    """A flagged study that the reader sees on the worklist; its UID."""
    uid = site.push("SEEN")
    reader.open_live_worklist()
    reader.wait_for_row(uid)
    return uid


def watch(page: Page, uid: str) -> None:
    """Let the page remember when a study became visible as raised, by the clock of this machine."""
    page.evaluate(
        """uid => { window.seen ??= {}; new MutationObserver((_, self) => {
             if (document.getElementById("r-" + uid)?.classList.contains("is-raised")) {
               window.seen[uid] = Date.now() / 1000; self.disconnect(); }
           }).observe(document.body, { subtree: true, childList: true, attributes: true }); }""",
        uid,
    )


def test_the_first_administrator_sees_a_pushed_study_appear(
    browser: Browser, site: PageSite, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the password printed once, which must be changed; a study is there within a second of its flag, unasked."""
    with visitor(browser, site) as admin:
        page = admin.page
        admin.sign_in("admin", site.first_password)
        page.goto("/")
        page.wait_for_url("**/password")
        page.fill("[name=old]", site.first_password)
        page.fill("[name=new]", PASSWORD)
        page.press("[name=new]", "Enter")
        page.wait_for_url(site.url + "/")
        admin.open_live_worklist()
        page.evaluate("window.loadedOnce = true")
        late = [seconds_until_seen(site, admin, f"LATE{number}") for number in range(3)]
        assert page.evaluate("window.loadedOnce")
    with capsys.disabled():
        print(f"\nvisible after its flag: {', '.join(f'{seconds:.2f} s' for seconds in late)}")  # noqa: T201
    assert statistics.median(late) <= VISIBLE_SECONDS


def seconds_until_seen(site: PageSite, somebody: Visitor, accession_number: str) -> float:
    """Push a study; returns the seconds from its flag in SQL to its row on the open page."""
    uid = site.push(accession_number)
    watch(somebody.page, uid)
    somebody.wait_for_row(uid)
    seen: float = somebody.page.evaluate("uid => window.seen[uid]", uid)
    return seen - site.flagged_at(uid).timestamp()


def test_a_reader_needs_no_mouse(browser: Browser, site: PageSite) -> None:
    """Signing in, a study, its heatmap, a withdrawal, a verdict and signing out, by keyboard alone."""
    uid = site.push("KEYS")
    with visitor(browser, site) as reader:
        page, keyboard = reader.page, reader.page.keyboard
        page.goto("/login")
        page.wait_for_selector("[name=name]:focus")
        keyboard.type(READER)
        reader.tab_to("[name=password]")
        keyboard.type(PASSWORD)
        keyboard.press("Enter")
        page.wait_for_selector('[data-live="on"]')
        reader.wait_for_row(uid)
        reader.tab_to(f"{row(uid)} a")
        keyboard.press("Enter")
        page.wait_for_url(f"**/studies/{uid}")
        show_heatmap(reader)
        reader.tab_to("form[action$='/withdraw'] [name=reason]")
        keyboard.type("a fold of the skin")
        keyboard.press("Enter")
        page.wait_for_selector("#yes:focus")  # what it will do is shown first
        keyboard.press("Enter")
        page.wait_for_url("**done=withdrawn*")
        assert page.locator("form[action$='/withdraw']").count() == 0
        say_something(reader)
        reader.tab_to("form[action='/logout'] button")
        keyboard.press("Enter")
        page.wait_for_url("**/login")
        page.goto(f"/studies/{uid}")
        assert page.url.endswith(f"/login?to=/studies/{uid}")


def show_heatmap(reader: Visitor) -> None:
    """Press the button of a film, and wait for another picture than before."""
    film = "figure img"
    wait_until(lambda: bool(reader.page.evaluate("s => document.querySelector(s).naturalWidth", film)), "the film")
    before = reader.page.get_attribute(film, "src")
    reader.tab_to("figure button[aria-pressed]")
    with reader.page.expect_response("**/heatmap.png") as answer:
        reader.page.keyboard.press("Space")
    assert answer.value.status == 200
    assert reader.page.locator("figure button[aria-pressed=true]").count() == 1
    assert reader.page.get_attribute(film, "src") != before


def say_something(reader: Visitor) -> None:
    """Record a verdict with a comment."""
    reader.tab_to("[name=verdict]")
    reader.page.keyboard.press("ArrowDown")
    reader.tab_to("[name=comment]")
    reader.page.keyboard.type("seen <b>twice</b>")
    reader.tab_to("form[action$='/verdict'] button")
    reader.page.keyboard.press("Enter")
    reader.page.wait_for_url("**done=answered*")
    assert "seen <b>twice</b>" in reader.page.inner_text("#verdicts")


def test_a_live_update_takes_nothing_from_the_reader(site: PageSite, reader: Visitor, study: str) -> None:
    """Focus, what was typed and the place in the list stay while another study appears above or below."""
    page = reader.page
    page.fill("[name=text]", "half typed")
    page.focus(f"{row(study)} a")
    reader.wait_for_row(site.push("NEXT"))
    assert page.evaluate("s => document.activeElement === document.querySelector(s)", f"{row(study)} a")
    assert page.input_value("[name=text]") == "half typed"
    page.focus("[name=text]")
    reader.wait_for_row(site.push("AFTER"))
    assert page.evaluate("document.activeElement.name") == "text"


def test_a_refresh_that_changes_nothing_moves_nothing(site: PageSite, reader: Visitor, study: str) -> None:
    """The layout does not shift at all, and the rows are the same as before."""
    page = reader.page
    page.evaluate(
        """() => { window.shift = 0; new PerformanceObserver(list => {
             for (const entry of list.getEntries()) window.shift += entry.value; }).observe({ type: "layout-shift" });
           }"""
    )
    before = page.locator("#worklist tbody tr").count()
    for _ in range(3):
        with page.expect_response(lambda answer: "x-live" in answer.request.headers, timeout=10_000):
            site.happen()
        page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert page.locator("#worklist tbody tr").count() == before
    assert page.evaluate("window.shift") == 0


def test_live_is_said_of_what_is_live(site: PageSite, reader: Visitor, study: str) -> None:
    """Not after one answer that failed, again after the next good one, and whatever is done to the computer's clock."""
    page = reader.page
    page.route("**/", lambda route: route.fulfill(status=503))
    site.happen()
    page.wait_for_selector('[data-live="off"]', timeout=MOST_WAIT)
    page.unroute("**/")
    page.evaluate("() => { const now = Date.now; Date.now = () => now() - 3600e3; }")
    site.happen()
    page.wait_for_selector('[data-live="on"]', timeout=MOST_WAIT)
    reader.complaints.clear()  # the answer that failed is one


def test_studies_in_the_background_leave_the_worklist_its_connection(reader: Visitor, study: str) -> None:
    """A browser has six to a host for all tabs: those that nobody looks at listen for no news until they are seen."""
    context = reader.page.context
    context.add_init_script("""Object.defineProperty(document, "hidden", { get: () => window.unseen ?? true });""")
    tabs = [context.new_page() for _ in range(7)]
    for tab in tabs:
        tab.goto(f"/studies/{study}", timeout=MOST_WAIT)
    tabs[0].evaluate("() => { window.unseen = false; document.dispatchEvent(new Event('visibilitychange')); }")
    tabs[0].wait_for_selector('[data-live="on"]')
    assert [tab.locator('[data-live="on"]').count() for tab in tabs[1:]] == [0] * 6


def test_who_is_signed_out_elsewhere_sees_no_study_any_more(site: PageSite, reader: Visitor, study: str) -> None:
    """The open worklist turns into the form by itself, without a reload by hand."""
    Accounts(site.database).change_password(READER, PASSWORD, by="test")
    reader.page.wait_for_url("**/login", timeout=MOST_WAIT)
    reader.complaints.clear()  # the refused stream of news is one


def test_the_report_of_a_study_prints_on_one_page(reader: Visitor, study: str) -> None:
    """With its films and everything that happened, and so far below A4 that a study of three films does, too."""
    reader.page.goto(f"/studies/{study}/report", wait_until="networkidle")
    printed = reader.page.pdf(width="210mm", height="195mm")
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) == 1


@pytest.fixture
def every_page(browser: Browser, site: PageSite, study: str) -> Iterator[tuple[Visitor, list[str]]]:
    """An administrator, and the path of one page of each kind that the pages link to."""
    with visitor(browser, site) as admin:
        admin.sign_in(ADMIN)
        found = crawl(admin, site, ["/", f"/studies/{study}"])
        yield admin, found


def crawl(somebody: Visitor, site: PageSite, begin: list[str]) -> list[str]:
    """Follow the links, one of each kind; pictures and data are no pages."""
    waiting, kinds = list(begin), {}
    while waiting:
        path = waiting.pop(0)
        if (kind := re.sub(r"\d[\d.]{5,}", "UID", path.partition("?")[0])) in kinds:
            continue
        answer = somebody.page.goto(path)
        assert answer is not None
        assert answer.status == 200, path
        if "text/html" in answer.headers["content-type"]:
            kinds[kind] = path
            links = somebody.page.eval_on_selector_all("a[href]:not([download])", "all => all.map(a => a.href)")
            waiting += [link.removeprefix(site.url).partition("#")[0] for link in links]
    return list(kinds.values())


def test_everybody_can_use_every_page(every_page: tuple[Visitor, list[str]], site: PageSite) -> None:
    """No serious fault of accessibility, in dark or light; Tab reaches every control and shows where it is."""
    admin, paths = every_page
    assert {path.partition("?")[0].count("/") for path in paths} >= {1, 2}
    faults = [fault for path in paths for fault in faults_of(admin, path)]
    admin.page.context.clear_cookies()
    faults += faults_of(admin, "/login")
    assert faults == []


def faults_of(somebody: Visitor, path: str) -> list[str]:
    """What is wrong with a page, by axe-core's rules and by pressing Tab."""
    page = somebody.page
    page.goto(path)
    page.emulate_media(color_scheme="light")
    found = violations(page, CONTRAST)
    page.emulate_media(color_scheme="dark")
    return [f"{path}: {fault}" for fault in (*found, *violations(page), *unreached(page))]
