"""The report of a shift: what is read, what is written, and what a person sees of it in a real browser."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flip_edge import Episode, cli
from flip_edge.backward import Evidence
from flip_edge.blackbox import FILE, BlackBox
from flip_edge.config import Config
from flip_edge.decision import Decision, Outcome
from flip_edge.errors import InputError
from flip_edge.report import read_rows, write_report
from flip_edge.verdict import Verdict, verdict_of

START = 1_790_000_000.0
UNKNOWN = "\N{EN DASH}"
HOSTILE = (
    "</script><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">\u2028\u202ex&amp;"
    "</script <!--<script x"  # ends the element also without its bracket
)


def verdict(outcome: str, command: str, *steps: str, id: str = "", **changes: Any) -> Verdict:
    decision = Decision(Outcome(outcome), f"because it is a {outcome}", "calibrated", 0.5, 0.4)
    plain = verdict_of(Episode(command, steps, id), decision, Evidence(), Config(), model_id="m", prompt_id="p")
    return replace(plain, **changes)


def row(
    number: int, outcome: str, command: str, *steps: str, alert: str | None = None, **changes: Any
) -> dict[str, Any]:
    told = verdict(outcome, command, *steps, id=f"run {number}", **changes).to_dict()
    return {"time": START + number * 60, **told, "alert": alert}


SHIFT = [
    row(0, "MATCH", "go to the dock", "drove to the dock", score=0.9),
    row(1, "MISMATCH", "put the mug on the desk", "picked up the cup", "put the cup on the desk", alert="raised",
        inferred="Put the cup on the desk.", missing=("mug",), unexpected=("cup",), score=0.1, f1=0.7, gain=-0.3),
    row(2, "UNKNOWN", "open the drawer"),
    row(3, "MATCH", "water the plant", "watered the plant", alert="cleared", score=0.95),
]  # fmt: skip


def save(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in rows), encoding="utf-8")
    return path


def make(tmp_path: Path, rows: list[dict[str, Any]], **options: str) -> Path:
    page = tmp_path / "report.html"
    write_report(rows, page, title=options.get("title", "a shift"), source="shift.jsonl")
    return page


# --- reading and writing


def test_lines_of_replay_and_of_score_are_read(tmp_path: Path) -> None:
    scored = {"id": 7, "line": 1, **verdict("MATCH", "go", "went").to_dict()}
    assert read_rows(save(tmp_path / "a.jsonl", [*SHIFT, scored])) == json.loads(json.dumps([*SHIFT, scored]))


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "not JSON"),
        ("[]", "not a verdict but list"),
        ("[" * 100_000, "not JSON"),
        ('{"command": "go", "actions": []}', "runs to check go through flip-edge score first"),
        ('{"verdict": "FINE"}', "verdict is 'FINE'"),
        ('{"verdict": "MATCH", "steps": "went"}', "steps must be a list of texts"),
        ('{"verdict": "MATCH", "missing": [1]}', "missing must be a list of texts"),
        ('{"verdict": "MATCH", "command": 1}', "command must be a text"),
        ('{"verdict": "MATCH", "score": "high"}', "score must be a number"),
        ('{"verdict": "MATCH", "tokens_reused": "<b>"}', "tokens_reused must be a number"),
        ('{"verdict": "MATCH", "time": true}', "time must be a number"),
        ('{"verdict": "MATCH", "interim": "no"}', "interim must be true or false"),
        ('{"verdict": "MATCH", "id": %s}' % ("[" * 500 + "]" * 500), "id must be a text or a number"),
        ('{"verdict": []}', "verdict is [], expected one of MATCH, MISMATCH, UNKNOWN"),
    ],
)
def test_a_bad_line_is_told_by_its_number_and_nothing_is_written(
    tmp_path: Path, line: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source = save(tmp_path / "a.jsonl", SHIFT[:2])
    with source.open("a", encoding="utf-8") as file:
        file.write("\n" + line + "\n")
    assert cli.main(["report", str(source)]) == 2
    said = capsys.readouterr().err
    assert "line 4: " in said
    assert why in said
    assert list(tmp_path.iterdir()) == [source]


def test_a_black_box_is_read_by_its_folder_or_its_file(tmp_path: Path) -> None:
    box = BlackBox(tmp_path / "box")
    box.command("a", "go to the dock", START)
    box.step("a", "drove off", START + 1)
    box.verdict(verdict("MISMATCH", "go to the dock", "drove off", id="a"), START + 2, "raised")
    box.close()
    for path in (tmp_path / "box", tmp_path / "box" / "blackbox.sqlite3"):
        (found,) = read_rows(path)
        assert (found["verdict"], found["command"], found["steps"], found["alert"]) == (
            "MISMATCH", "go to the dock", ["drove off"], "raised",
        )  # fmt: skip
    assert cli.main(["report", str(tmp_path / "box"), "-o", str(tmp_path / "out.html")]) == 0


def test_the_report_lies_beside_what_it_is_made_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "night.1.jsonl", SHIFT)
    assert cli.main(["report", str(tmp_path / "night.1.jsonl")]) == 0
    assert str(tmp_path / "night.1.html") in capsys.readouterr().out
    BlackBox(tmp_path / "box.v2").close()
    monkeypatch.chdir(tmp_path / "box.v2")
    assert cli.main(["report", "."]) == 0  # a folder whose name is not in what was typed
    assert sorted(path.name for path in tmp_path.glob("*.html")) == ["box.v2.html", "night.1.html"]
    assert list((tmp_path / "box.v2").glob("*.html")) == []


def test_what_it_is_made_from_is_never_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = save(tmp_path / "a.jsonl", SHIFT)
    kept = source.read_bytes()
    (tmp_path / "link.html").hardlink_to(source)
    BlackBox(tmp_path / "box").close()
    in_box = (tmp_path / "box", tmp_path / "box" / FILE)
    for of, to in ((source, source), (source, tmp_path / "link.html"), in_box):
        assert cli.main(["report", str(of), "-o", str(to)]) == 2
        assert "is what the report is made from" in capsys.readouterr().err
    assert source.read_bytes() == kept
    assert read_rows(tmp_path / "box") == []
    page = save(tmp_path / "b.html", SHIFT)  # its own name by default
    assert cli.main(["report", str(page)]) == 2
    assert page.read_bytes() == kept


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_rows(tmp_path / "none.jsonl")
    with pytest.raises(InputError, match="without a black box"):
        read_rows(tmp_path)


def test_a_report_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot write"):
        make(tmp_path / "nowhere", SHIFT)
    (tmp_path / "report.html").mkdir()
    with pytest.raises(InputError, match="cannot write"):
        make(tmp_path, SHIFT)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_it_loads_nothing_and_says_so(tmp_path: Path) -> None:
    text = make(tmp_path, SHIFT).read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    assert "'unsafe-inline'" not in text.partition("script-src")[2].partition(";")[0]
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")


# --- what a person sees


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    webdriver = pytest.importorskip("selenium.webdriver")  # of the extra [test]
    paths = shutil.which("chromium"), shutil.which("chromedriver")
    if not all(paths):
        reason = "needs a browser: apt-get install chromium chromium-driver"
        if os.environ.get("FLIP_EDGE_NEEDS_BROWSER"):  # as in CI, where nobody would see that it is skipped
            pytest.fail(reason)
        pytest.skip(reason)
    options = webdriver.ChromeOptions()
    options.binary_location = paths[0]
    for word in ("headless=new", "no-sandbox", "disable-gpu", "no-first-run", "disable-background-networking"):
        options.add_argument(f"--{word}")
    for word in ("disable-component-update", "disable-sync", "disable-dev-shm-usage", "hide-scrollbars"):
        options.add_argument(f"--{word}")
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('browser')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(paths[1]))
    yield driver
    driver.quit()


class Page:
    """A report, opened; it must complain of nothing and ask for nothing."""

    def __init__(self, browser: Any, path: Path, *, width: int = 1100, link: str = "") -> None:
        self.browser = browser
        browser.set_window_size(width, 900)
        # Narrower than any window may be, as a phone is.
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        for kind in ("browser", "performance"):
            browser.get_log(kind)
        browser.get("about:blank")
        browser.get(path.as_uri() + link)

    def complaints(self) -> list[str]:
        return [str(entry["message"]) for entry in self.browser.get_log("browser")]

    def requests(self) -> list[str]:
        events = [json.loads(entry["message"])["message"] for entry in self.browser.get_log("performance")]
        urls = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
        return [url for url in urls if not url.startswith(("file:", "data:", "about:"))]

    def all(self, selector: str) -> list[Any]:
        return list(self.browser.find_elements("css selector", selector))

    def texts(self, selector: str) -> list[str]:
        return [node.text for node in self.all(selector)]

    def shown(self) -> list[str]:
        return self.texts(".run .command bdi")

    def press(self, selector: str) -> None:
        self.browser.execute_script("document.querySelector(arguments[0]).click()", selector)

    def type(self, words: str) -> None:
        field = self.all("#search")[0]
        field.clear()
        field.send_keys(words)


def test_it_opens_quietly_and_tells_the_shift(browser: Any, tmp_path: Path) -> None:
    page = Page(browser, make(tmp_path, SHIFT))
    assert page.texts("h1") == ["a shift"]
    assert page.texts(".tile b") == ["2", "1", "1", "1"]
    assert page.texts(".badge") == ["MATCH", "MISMATCH", "UNKNOWN", "MATCH"]
    assert page.shown() == [one["command"] for one in SHIFT]
    assert page.texts(".flag") == ["alert raised", "alert cleared"]
    assert len(page.all("#timeline .mark")) == 4
    assert len(page.all("#timeline > svg > .span")) == 1
    assert len(page.all("figure")) == 3
    assert "2026-09-21" in page.texts(".about")[0]
    assert page.complaints() == []
    assert page.requests() == []


def test_filters_search_and_order(browser: Any, tmp_path: Path) -> None:
    page = Page(browser, make(tmp_path, SHIFT))
    page.press(".tile.UNKNOWN")
    assert page.shown() == ["open the drawer"]
    page.press(".tile.MISMATCH")
    assert page.shown() == ["put the mug on the desk", "open the drawer"]
    assert page.texts(".count") == ["2 of 4 runs"]
    assert len(page.all("#timeline .mark.off")) == 2
    page.press(".tile.UNKNOWN")
    page.press(".tile.MISMATCH")
    page.press(".tile.alert")
    assert page.shown() == ["put the mug on the desk"]
    page.press(".tile.alert")
    page.type("watered")  # a word of a step
    assert page.shown() == ["water the plant"]
    page.type("nothing like it")
    assert page.texts("#runs .none") == ["No run fits the filters. Show all runs"]
    page.press("#all")
    assert page.texts(".count") == ["4 runs"]
    browser.execute_script(
        "const order = document.querySelector('#order'); order.value = 'new'; order.dispatchEvent(new Event('change'))"
    )
    assert page.shown() == [one["command"] for one in reversed(SHIFT)]
    assert page.complaints() == []


def test_a_run_unfolds_to_its_steps_and_the_words_that_did_not_fit(browser: Any, tmp_path: Path) -> None:
    page = Page(browser, make(tmp_path, SHIFT), link="#run-2")
    assert [node.get_attribute("open") for node in page.all(".run")] == [None, "true", None, None]
    assert page.texts("#run-2 .told") == ["put the mug on the desk"]
    assert page.texts("#run-2 mark.missing") == ["mug"]
    assert page.texts("#run-2 .implied mark.unexpected") == ["cup"]
    assert page.texts("#run-2 li") == ["picked up the cup", "put the cup on the desk"]
    assert page.texts("#run-2 li mark") == ["cup", "cup"]
    cells = dict(zip(*[iter(page.texts("#run-2 td"))] * 2, strict=True))
    assert cells["score"] == "0.10 (threshold 0.40)"
    assert cells["gain, nats per token"] == "-0.30 (threshold 0.50)"
    assert cells["ended"] == "2026-09-21 14:14:20 UTC"
    assert cells["link"] == "#run-2"
    assert [node.get_attribute("class") for node in page.all("#run-2 li")] == ["cause", "cause"]
    page.press("#run-3 summary")
    assert f"{UNKNOWN} (nothing was described)" in page.texts("#run-3 .detail")[0]
    assert dict(zip(*[iter(page.texts("#run-3 td"))] * 2, strict=True))["F1"] == f"{UNKNOWN} (threshold 0.30)"


def test_a_mark_leads_to_its_run_also_where_a_filter_hides_it(browser: Any, tmp_path: Path) -> None:
    page = Page(browser, make(tmp_path, SHIFT))
    page.press(".tile.MATCH")
    assert len(page.shown()) == 2
    browser.execute_script(
        "document.querySelectorAll('#timeline .mark')[1].dispatchEvent(new MouseEvent('click', {bubbles: true}))"
    )
    assert len(page.shown()) == 4
    assert page.all("#run-2")[0].get_attribute("open")
    assert browser.current_url.endswith("#run-2")


def test_it_works_by_the_keyboard(browser: Any, tmp_path: Path) -> None:
    from selenium.webdriver import ActionChains, Keys

    page = Page(browser, make(tmp_path, SHIFT))
    keys = ActionChains(browser)
    keys.send_keys(Keys.TAB * 3, Keys.ENTER).perform()  # the theme, two verdicts
    assert page.texts(".badge") == ["MISMATCH"]
    ActionChains(browser).send_keys(Keys.TAB * 6, Keys.ENTER).perform()  # two tiles, the tools, the run
    assert page.all("#run-2")[0].get_attribute("open")


def test_hostile_text_stays_text(browser: Any, tmp_path: Path) -> None:
    rows = [
        row(
            1,
            "MISMATCH",
            HOSTILE,
            HOSTILE,
            "a" * 100_000,
            "\ud800",
            inferred=HOSTILE,
            unexpected=("x",),
            alert="raised",
        ),
        row(2, "UNKNOWN", ""),
    ]
    page = Page(browser, make(tmp_path, rows, title=HOSTILE), link="#run-1")
    assert browser.title.startswith("</script><script>")
    assert page.all("#runs script, #runs img, h1 img") == []
    assert page.all("#run-1 .told")[0].get_attribute("textContent") == HOSTILE.replace("\u2028", "U+2028").replace(
        "\u202e", "U+202E"
    )
    assert "U+202E" in page.texts("#run-1 .command .code")
    assert page.shown()[1] == "(no command)"
    assert page.complaints() == []
    assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")


def test_a_title_is_neither_a_placeholder_nor_turned_around(browser: Any, tmp_path: Path) -> None:
    title = "{{data}} {{digest}} \u202etfihs"
    page = Page(browser, make(tmp_path, SHIFT, title=title))
    assert browser.title == "{{data}} {{digest}} \ufffdtfihs"
    assert page.texts("h1") == [title.replace("\u202e", "U+202E")]
    assert page.complaints() == []


def test_no_other_script_runs_even_if_markup_got_in(browser: Any, tmp_path: Path) -> None:
    file = make(tmp_path, SHIFT)
    text = file.read_text(encoding="utf-8")
    bad = "<script>document.title = 'taken'</script><img src='data:,' onerror=\"document.title = 'taken'\">"
    file.write_text(text.replace("<noscript>", f"{bad}<noscript>"), encoding="utf-8")
    page = Page(browser, file)
    assert page.texts(".count") == ["4 runs"]  # our own does
    assert browser.title == "a shift"
    assert sum("Content Security Policy" in complaint for complaint in page.complaints()) >= 2


def test_a_long_text_is_cut_until_it_is_asked_for(browser: Any, tmp_path: Path) -> None:
    long = "\U0001f916" * 1999 + "a" + "\U0001f916" * 50_000  # its 2000th unit is half a character
    page = Page(browser, make(tmp_path, [row(1, "MATCH", "go", "a" + long)]), link="#run-1")
    shown = page.all("#run-1 li")[0].get_attribute("textContent")
    assert len(shown) < 2100
    assert "\ufffd" not in shown
    assert shown.endswith("\u2026 all 104,000 characters")
    page.press("#run-1 li button")
    assert page.all("#run-1 li")[0].get_attribute("textContent") == "a" + long


def test_figures_that_no_calendar_and_no_chart_has_do_no_harm(browser: Any, tmp_path: Path) -> None:
    rows = [*SHIFT, {**SHIFT[0], "time": 1e300, "gain": -1e308, "score": float("nan")}, {**SHIFT[1], "gain": 10**400}]
    rows.append({**SHIFT[1], "gain": 1.7e308})
    page = Page(browser, make(tmp_path, rows), link="#run-5")
    assert page.complaints() == []
    assert len(page.shown()) == 7
    assert page.texts("#run-5 .when") == ["#5"]
    assert dict(zip(*[iter(page.texts("#run-5 td"))] * 2, strict=True))["score"] == f"{UNKNOWN} (threshold 0.40)"
    assert page.all("figure svg [d*=NaN], figure svg [cx=NaN], figure svg [d*=Infinity]") == []


def test_an_unknown_is_in_every_chart_also_without_a_figure(browser: Any, tmp_path: Path) -> None:
    rows = [{**one, "score": None} if one["verdict"] == "UNKNOWN" else one for one in SHIFT]
    page = Page(browser, make(tmp_path, rows))
    assert [len(figure.find_elements("css selector", ".mark.UNKNOWN")) for figure in page.all("figure")] == [1, 1, 1]
    assert [len(figure.find_elements("css selector", ".mark")) for figure in page.all("figure")] == [4, 4, 4]
    assert "1 without" in page.texts("figcaption")[0]


def test_the_threshold_is_that_of_each_run_and_it_says_which_decides(browser: Any, tmp_path: Path) -> None:
    rows = [{**one, "score_threshold": 0.4 if index < 2 else 0.6} for index, one in enumerate(SHIFT)]
    page = Page(browser, make(tmp_path, rows))
    score, f1, _ = page.texts("figcaption")
    assert "threshold 0.40 to 0.60, decides" in score
    assert "threshold 0.30" in f1
    assert "decides" not in f1
    heights = browser.execute_script(
        "return [...document.querySelectorAll('figure .limit')].map((path) => path.getBBox().height > 5)"
    )
    assert heights == [True, False, False]


def test_what_score_leaves_out_is_not_told_as_nothing_done(browser: Any, tmp_path: Path) -> None:
    left_out = ("steps", "command_id", "waited_s", "computed_s", "time", "alert")
    scored = [{key: value for key, value in {**one, "id": 7}.items() if key not in left_out} for one in SHIFT]
    page = Page(browser, make(tmp_path, scored), link="#run-2")
    assert "the steps are not in this file" in page.texts("#run-2 .detail")[0]
    assert "nothing was described" not in page.texts("#run-2 .detail")[0]
    cells = dict(zip(*[iter(page.texts("#run-2 td"))] * 2, strict=True))
    assert cells["waited, computed"] == f"{UNKNOWN}, {UNKNOWN}"
    assert cells["run"] == "7"


def test_runs_are_told_by_time_and_numbered_by_their_place(browser: Any, tmp_path: Path) -> None:
    rows = [SHIFT[3], SHIFT[0], {**SHIFT[1], "time": START + 86_400 * 2}]
    page = Page(browser, make(tmp_path, rows))
    assert page.shown() == ["go to the dock", "water the plant", "put the mug on the desk"]
    assert page.texts(".when") == [
        "#2 \u00b7 09-21 14:13:20", "#1 \u00b7 09-21 14:16:20", "#3 \u00b7 09-23 14:13:20",
    ]  # fmt: skip
    assert "2026-09-21 14:13:20 to 2026-09-23 14:13:20 UTC" in page.texts(".about")[0]


def test_words_of_a_script_without_spaces_are_marked_as_they_are_compared(browser: Any, tmp_path: Path) -> None:
    cup, book = "\u628a\u676f\u5b50\u653e\u597d", "\u628a\u4e66\u653e\u597d"
    rows = [row(1, "MISMATCH", cup, book, inferred=book, missing=(cup[1], cup[2]), unexpected=(book[1],))]
    page = Page(browser, make(tmp_path, rows), link="#run-1")
    assert page.texts("#run-1 mark.missing") == [cup[1], cup[2]]
    assert page.texts("#run-1 mark.unexpected") == [book[1], book[1]]  # in the step and in what it implies


def test_steps_are_singled_out_by_what_went_wrong_and_by_nothing_else(browser: Any, tmp_path: Path) -> None:
    failed = "failed to open the door: it is locked"
    steps = ("drove on", failed, "waited")
    rows = [
        row(1, "MISMATCH", "open the door", *steps, reason=f'the run reports: "{failed}"', unexpected=("on",)),
        row(2, "MATCH", "open the door", *steps, reason=f'it says "{failed}"', unexpected=("waited",)),
        row(3, "MISMATCH", "open the door", *steps, alert="raised", interim=True),
    ]
    page = Page(browser, make(tmp_path, rows))
    page.press("#unfold")
    classes = [[node.get_attribute("class") for node in page.all(f"#run-{number} li")] for number in (1, 2, 3)]
    assert classes == [["", "cause", ""], ["", "", ""], ["", "", "raised"]]


def test_an_open_run_stays_open_while_one_filters(browser: Any, tmp_path: Path) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    page = Page(browser, make(tmp_path, SHIFT))
    page.press("#run-2 summary")
    WebDriverWait(browser, 5).until(lambda _: page.all("#run-2 .detail"))
    page.press(".tile.MISMATCH")
    assert page.texts("#run-2 .told") == ["put the mug on the desk"]
    page.press("#unfold")
    page.press("#unfold")
    assert page.all(".run[open]") == []


@pytest.mark.parametrize("count", [0, 1])
def test_hardly_any_runs(browser: Any, tmp_path: Path, count: int) -> None:
    page = Page(browser, make(tmp_path, SHIFT[:count]))
    assert page.complaints() == []
    assert page.texts(".count") == [f"{count} runs"]
    assert page.texts("#runs .none") == ([] if count else ["There are no runs."])


def test_thousands_of_runs_are_shown_by_and_by(browser: Any, tmp_path: Path) -> None:
    rows = [row(number, "MATCH", f"go to room {number}", "went there", score=0.5) for number in range(5000)]
    page = Page(browser, make(tmp_path, rows))
    assert len(page.all(".run")) == 200
    page.press("#more")
    assert len(page.all(".run")) == 400
    page.type("room 4999")
    assert page.shown() == ["go to room 4999"]
    page = Page(browser, make(tmp_path, rows), link="#run-3000")
    assert page.all("#run-3000")[0].get_attribute("open")


def test_runs_of_score_have_no_time_and_simulated_time_is_in_seconds(browser: Any, tmp_path: Path) -> None:
    timeless = [{key: value for key, value in one.items() if key != "time"} for one in SHIFT]
    page = Page(browser, make(tmp_path, timeless))
    assert page.texts(".when") == ["#1", "#2", "#3", "#4"]
    assert page.texts("#timeline svg text")[-2:] == ["run 1", "run 4"]
    page = Page(browser, make(tmp_path, [{**one, "time": 12.5} for one in SHIFT]))
    assert page.texts(".when")[0] == "#1 \u00b7 12.5 s"
    assert page.complaints() == []


@pytest.mark.parametrize("width", [360, 700, 1400])
@pytest.mark.parametrize("unfolded", [False, True])
def test_nothing_runs_out_of_the_page(browser: Any, tmp_path: Path, width: int, unfolded: bool) -> None:
    page = Page(browser, make(tmp_path, SHIFT), width=width)
    if unfolded:
        page.press("#unfold")
    assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")


def test_dark_is_as_the_system_has_it_and_can_be_switched(browser: Any, tmp_path: Path) -> None:
    background = "return getComputedStyle(document.body).backgroundColor"
    file = make(tmp_path, SHIFT)
    found = []
    for scheme in ("light", "dark"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        page = Page(browser, file)
        found.append(browser.execute_script(background))
    assert found[0] != found[1]
    page.press("#theme")
    assert browser.execute_script(background) == found[0]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_on_paper_every_run_is_unfolded(browser: Any, tmp_path: Path) -> None:
    rows = [row(number, "MATCH", f"go to room {number}", f"went to room {number}") for number in range(250)]
    rows[2]["steps"] = ["x" * 5000]
    page = Page(browser, make(tmp_path, rows), link="#run-2")
    browser.execute_script(
        "addEventListener('beforeprint', () => { window.printed = ["
        "document.querySelectorAll('.run[open] .detail').length,"
        "document.querySelector('#run-3 li').textContent.length]; })"
    )
    browser.execute_cdp_cmd("Page.printToPDF", {})
    assert browser.execute_script("return window.printed") == [250, 5000]
    # And afterwards it is as it was.
    assert [node.get_attribute("id") for node in page.all(".run[open]")] == ["run-2"]
    assert len(page.all(".run")) == 200
    assert page.texts("#unfold") == ["Unfold all"]


def test_paper_is_white_also_where_the_screen_is_dark(browser: Any, tmp_path: Path) -> None:
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": dark})
    page = Page(browser, make(tmp_path, SHIFT))
    assert page.texts("#theme") == ["Light"]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": dark})
    colours = browser.execute_script(
        "return ['body', '.run', 'summary'].map((name) => getComputedStyle(document.querySelector(name)))"
        ".map((style, index) => index < 2 ? style.backgroundColor : style.color)"
    )
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
    assert colours == ["rgb(255, 255, 255)", "rgb(255, 255, 255)", "rgb(22, 32, 43)"]


def test_a_screenshot_shows_what_it_says(browser: Any, tmp_path: Path) -> None:
    Page(browser, make(tmp_path, SHIFT), link="#run-2")
    picture = tmp_path / "report.png"
    assert browser.save_screenshot(str(picture))
    pixels = _pixels(picture.read_bytes())
    for name, colour in (("good", (0x17, 0x72, 0x45)), ("bad", (0xC2, 0x26, 0x2E)), ("unsure", (0x94, 0x56, 0x00))):
        assert pixels.count(bytes(colour)) > 50, name
    if kept := os.environ.get("REPORT_PICTURE"):
        shutil.copy(picture, kept)


def _pixels(png: bytes) -> bytes:
    """The colours, three bytes a pixel."""
    image = pytest.importorskip("matplotlib.image").imread(io.BytesIO(png))
    return bytes((image[..., :3] * 255).round().astype("uint8").tobytes())
