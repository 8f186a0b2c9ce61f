"""`report.html`: one file that loads nothing and runs nothing, with all that a comparison found."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.helpers.pages.browser import draw, needs_browser, page_made
from tests.helpers.pages.read_page import Page
from tests.helpers.runs.made_runs import RunMaker
from tests.helpers.runs.recorded_runs import Store
from tune.comparison.compare import compare
from tune.comparison.page import report
from tune.comparison.page.run_sheets import MOST_SHEETS

EVIL = "<script>alert('\"&')</script>"
NO_NETWORK = "--host-resolver-rules=MAP * ~NOTFOUND"


def page_of(compared):
    (file,) = (path for path in compared.files if path.name == "report.html")
    return Page(file.read_text(encoding="utf-8"))


def hovers(page):
    return [title.text for svg in page.all("svg") for title in svg.all("title")]


def rows_below(page, heading):
    """Texts of the cells of the first table below a heading."""
    body = page.all("body")[0]
    places = [place for place, element in enumerate(body.inside) if element.text == heading and element.tag in ("h2", "h3")]
    table = next(element for element in body.inside[places[0] :] if element.all("table"))
    return [[cell.text for cell in row.inside] for row in table.all("tr")]


@pytest.fixture(scope="module")
def module_store(tables, tmp_path_factory):
    """A store for all tests of the module."""
    folder = tmp_path_factory.mktemp("pages")
    shutil.copy(tables, folder / "mlflow.db")
    return Store(folder)


@pytest.fixture(scope="module")
def compared(module_store):
    """A sweep with runs, keys and values of evil names."""
    store, sizes = module_store, [(40.0, 30, 200), (40.0, 36, 150)]
    parent = store.sweep(f"tries of {EVIL}")
    for seed, last in enumerate((0.90, 0.91, 0.92)):
        store.trial(parent, {"n": 100, EVIL: "a"}, seed, values=(0.5, last), sizes=sizes, name=f"good-{seed}")
        store.trial(parent, {"n": 10, EVIL: f"b{EVIL}"}, seed, values=(0.5, last - 0.1), name=f"bad-{seed}")
    store.trial(parent, {"n": 1, EVIL: "a"}, 0, outcome="failed", reason=EVIL, name=EVIL)
    return compare([parent], store.uri, to=str(store.folder / "sweep"))


@pytest.fixture(scope="module")
def page(compared):
    return page_of(compared)


@pytest.fixture(scope="module")
def pair(module_store, some_digits):
    """A page of two runs with clusters, one of them of an evil name."""
    store = module_store
    maker = RunMaker(store.folder, some_digits)
    first = maker.pretrained("first", [[0] * 150 + [1] * 150], [2], scores=(0.5, 0.7))
    second = maker.pretrained("second", [[2] * 100 + [0] * 100 + [1] * 100], [3], scores=(0.5, 0.6), seed=1)
    run_id = json.loads((store.folder / "second" / "run.json").read_text())["mlflow"]["run_id"]
    store.client.set_tag(run_id, "mlflow.runName", EVIL)
    return page_of(compare([first, second], to=str(store.folder / "pair")))


@pytest.mark.parametrize("made", ["page", "pair"])
def test_a_page_loads_nothing_and_runs_nothing(made, request):
    page = request.getfixturevalue(made)
    elements = [element for tag in ("img", "svg", "path", "circle", "text", "g", "meta", "style") for element in page.all(tag)]
    assert [page.all(tag) for tag in ("script", "link", "iframe", "object", "embed", "base", "image", "use", "form")] == [[]] * 9
    for element in elements:
        assert not [name for name in element.attributes if name.startswith("on") or name in ("href", "xlink:href", "srcset")]
        assert (element.attributes.get("src") or "data:").startswith("data:")
        assert not re.search(r"url\(|@import|https?://", element.attributes.get("style") or "")
    assert not re.search(r"url\(|@import", page.all("style")[0].text)
    (policy,) = (meta for meta in page.all("meta") if meta.attributes.get("http-equiv") == "Content-Security-Policy")
    assert policy.attributes["content"] == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


@pytest.mark.parametrize("made", ["page", "pair"])
def test_what_runs_are_called_is_text(made, request):
    page = request.getfixturevalue(made)
    assert EVIL in page.all("body")[0].text
    assert page.all("script") == []
    assert any(EVIL in hover for hover in hovers(page))


def test_a_page_has_the_table_with_intervals_and_each_run(page):
    rows = rows_below(page, "Settings")
    assert rows[0][:6] == [EVIL, "n", "test/knn_top1 +- sd", "95 % interval", "seeds", "against the best"]
    assert rows[1][:6] == ["a", "100", "0.9100 +- 0.0100", "0.8852 to 0.9348", "3", "best"]
    runs = rows_below(page, "Runs")
    name = runs[0].index("name")
    assert sorted(row[name] for row in runs[1:]) == sorted([*(f"{kind}-{n}" for kind in ("good", "bad") for n in range(3)), EVIL])
    assert EVIL in [row[runs[0].index("reason")] for row in runs[1:]]
    assert "best: " in page.all("body")[0].text
    assert "1 failed" in page.all("body")[0].text


def test_what_lies_under_the_pointer_says_its_values(page):
    said = hovers(page)
    assert f"{EVIL} a, n 100\n0.9100, 0.8852 to 0.9348\ngood-{{0, 1, 2}}" in said  # an interval
    assert "test/knn_top1\nn 100: 0.92\ngood-2, seed 2" in said  # a score by key
    assert any(hover.startswith("good-1\n") and hover.endswith("epochs 2: 0.91") for hover in said)  # a curve
    assert "smallest\nepochs 2: 36" in said  # cluster sizes
    assert any(re.fullmatch(r"n: \d+\.\d%", hover) for hover in said)  # importance


def test_a_page_of_two_runs_has_their_settings_curves_and_clusters(pair):
    assert rows_below(pair, "Settings that differ") == [
        ["setting", "first", EVIL], ["method.num_clusters", "[2]", "[3]"], ["seed", "0", "1"],
    ]  # fmt: skip
    rows = rows_below(pair, "Head 0")
    assert [row[:4] for row in rows[1:]] == [["0", "0", "2", "100"], ["0", "1", "1", "100"], ["0", "", "0", "0"]]
    assert {f"{name}\nepochs 2: {value}" for name, value in (("first", 0.7), (EVIL, 0.6))} <= set(hovers(pair))
    (sheet,) = pair.all("img")
    with Image.open(io.BytesIO(base64.b64decode(sheet.attributes["src"].partition(",")[2]))) as picture:
        assert picture.width > 1000


def test_sheets_that_runs_drew_lie_beside_each_other(store, tmp_path):
    for number in range(MOST_SHEETS + 2):
        folder = tmp_path / f"run-{number}" / "pictures"
        folder.mkdir(parents=True)
        for epoch in (0, 9) if number else ():  # the best run drew none
            Image.fromarray(np.full((4, 4), epoch + 10 * number, np.uint8)).save(folder / f"clusters-{epoch:04d}.png")
        place = f"file://{folder.parent}" if number % 2 else str(folder.parent)
        store.run(f"run-{number}", params={"n": number}, tags={"run_folder": place}, values=(1 - number / 10,))
    page = page_of(compare(["quorum"]))
    sheets = page.all("img")
    assert [sheet.attributes["alt"] for sheet in sheets] == [f"run-{n}: clusters-0009.png" for n in range(1, MOST_SHEETS + 1)]
    for number, sheet in enumerate(sheets, 1):
        with Image.open(io.BytesIO(base64.b64decode(sheet.attributes["src"].partition(",")[2]))) as picture:
            assert picture.getpixel((0, 0)) == 9 + 10 * number
    said = page.all("body")[0].text
    assert "1 settings more have sheets" in said
    assert "no sheet here of run-0" in said


def test_a_page_of_a_folder_on_storage_asks_nothing_of_the_network(store):
    ids = [store.run(name, params={"n": name}, tags={"run_folder": f"s3://nowhere/{name}"}, values=(0.5,)) for name in "abc"]
    assert page_of(compare(ids)).all("img") == []


def test_one_run_has_a_page_too(store):
    page = page_of(compare([store.run("one", values=(0.5,))]))
    assert rows_below(page, "Runs")[1][2] == "one"
    assert rows_below(page, "Settings")[1][:2] == ["0.5000", "-"]


def test_curves_that_are_not_drawn_are_told(store, monkeypatch):
    monkeypatch.setattr(report, "MOST_CURVES", 2)
    ids = [store.run(f"run-{n}", params={"n": n}, values=(n / 10, 0.9 - n / 10)) for n in range(3)]
    page = page_of(compare(ids))
    drawn = {hover.partition("\n")[0] for hover in hovers(page) if "\nepochs 2: " in hover}
    assert drawn == {"run-0", "run-1"}
    assert "curves are those of the first 2 runs" in page.all("body")[0].text


@pytest.mark.slow
@needs_browser
def test_a_browser_without_a_network_shows_the_page(compared, tmp_path):
    address = (compared.folder / "report.html").as_uri()
    read = Page(page_made(address, NO_NETWORK))
    assert len(read.all("svg")) == len(page_of(compared).all("svg")) > 3
    assert read.all("script") == []
    picture = tmp_path / "page.png"
    draw(address, picture, NO_NETWORK, "--window-size=1300,2400")
    with Image.open(picture) as seen:
        colours = np.asarray(seen.convert("RGB")).reshape(-1, 3)
    assert (colours == (0x1F, 0x77, 0xB4)).all(axis=1).sum() > 500  # charts are drawn


def test_figures_within_epochs_lie_within_them(module_store):
    run = module_store.run("within", values=(0.5, 0.6))  # 10 steps an epoch
    for step, loss in ((5, 0.9), (15, 0.8), (25, 0.7)):
        module_store.client.log_metric(run, "train/loss", loss, step=step)
    said = hovers(page_of(compare([run], module_store.uri, metric="train/loss", to=str(module_store.folder / "within"))))
    assert {"within\nepochs 0.5: 0.9", "within\nepochs 1.5: 0.8", "within\nepochs 2.5: 0.7"} <= set(said)
