"""TensorBoard, started for real: its data endpoints, and its pages in a browser (mark ``ui``)."""

from __future__ import annotations

import json
import os
import shutil
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.loggers import TensorBoardLogger
from runs import Net, trainer

from lightning_lr import Constant, Linear, LRLogger, LRMultiPhaseDecay, LRPlateauReduction, LRWarmup

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # TensorBoard's own, while it starts
    pytest.mark.filterwarnings("ignore::UserWarning:tensorboard"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
PATIENCE = 60
"""Seconds after which something that should have come has not."""


class Logged(Net):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = super().training_step(batch, batch_idx)
        self.log("train_loss", loss)
        return loss


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a TensorBoard over one small run with a warmup, two phases and reductions."""
    root = tmp_path_factory.mktemp("runs")
    wishes = [
        LRWarmup(8),
        LRMultiPhaseDecay([Constant("50%"), Linear()]),
        LRPlateauReduction("val_loss", factor=0.5, patience=2),
        LRLogger(every_n_steps=1),
    ]
    net = Logged(batches=10, metric=lambda n: 1.0)
    logger = TensorBoardLogger(root, name="run", version=0)
    trainer(root, wishes, logger=logger, max_epochs=8, limit_val_batches=1).fit(net)

    from tensorboard import program

    server = program.TensorBoard()
    options = ["--host", "127.0.0.1", "--port", "0", "--load_fast=false", "--samples_per_plugin", "scalars=100000"]
    server.configure(argv=[None, "--logdir", str(root), *options])
    address = server.launch().rstrip("/")  # a daemon thread: it ends with the process
    wait_for(lambda: "run/version_0" in ask(address, "/data/plugin/scalars/tags"))
    return address


def ask(address: str, path: str, **query: str) -> Any:
    with urllib.request.urlopen(f"{address}{path}?{urllib.parse.urlencode(query)}", timeout=PATIENCE) as answer:
        return json.load(answer)


def wait_for(found: Callable[[], Any]) -> Any:
    """What ``found`` gives as soon as it gives something."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        value = found()
        if value:
            return value
    raise AssertionError("it did not come")


def test_the_data_that_tensorboard_serves(board: str) -> None:
    wait_for(lambda: "run/version_0/plan" in ask(board, "/data/plugin/scalars/tags"))
    tags = ask(board, "/data/plugin/scalars/tags")
    assert {"lr/SGD", "train_loss", "monitor/val_loss", "schedule/phase", "schedule/num_reductions"} <= set(
        tags["run/version_0"]
    )
    assert set(tags["run/version_0/plan"]) == {"lr/SGD"}
    points = ask(board, "/data/plugin/scalars/scalars", run="run/version_0", tag="lr/SGD")
    actual = {step: value for _, step, value in points}
    planned = {
        step: value
        for _, step, value in ask(board, "/data/plugin/scalars/scalars", run="run/version_0/plan", tag="lr/SGD")
    }
    assert (actual[0], actual[7], actual[30]) == pytest.approx((1 / 8, 1.0, planned[30]))
    assert actual[79] < 0.6 * planned[79]
    layout = ask(board, "/data/plugin/custom_scalars/layout")
    assert [chart["title"] for chart in layout["category"][0]["chart"]] == [
        "lr", "loss", "phase", "decisions so far", "scale",
    ]  # fmt: skip
    texts = ask(board, "/data/plugin/text/tags")["run/version_0"]
    assert {"lr/plan/text_summary", "lr/decisions/text_summary"} <= set(texts)
    rows = ask(board, "/data/plugin/text/text", run="run/version_0", tag="lr/decisions/text_summary")
    assert "<table>" in rows[-1]["text"]
    assert "lr_figures/SGD" in ask(board, "/data/plugin/images/tags")["run/version_0"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium, driven by selenium; both come from the system's packages."""
    pytest.importorskip("selenium")
    from selenium import webdriver

    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("no chromium with its driver here")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"):
        options.add_argument(argument)
    options.add_argument("--window-size=1500,1000")
    made = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield made
    made.quit()


TEXT = """
const all = [];
const visit = node => {
  if (node.nodeType === Node.TEXT_NODE && node.textContent.trim()) all.push(node.textContent.trim());
  if (node.shadowRoot) visit(node.shadowRoot);
  for (const child of node.childNodes) if (!["STYLE", "SCRIPT", "TEMPLATE"].includes(child.nodeName)) visit(child);
};
visit(document.body);
return all.join("");
"""
DRAWN = """
let count = 0;
const visit = node => {
  if (node.shadowRoot) visit(node.shadowRoot);
  for (const child of node.children || []) {
    const tag = child.tagName.toLowerCase();
    if (tag === "img" && child.naturalWidth > 100) count += 1;
    const d = child.getAttribute("d") || "";
    if (tag === "path" && !/[zZ]/.test(d) && d.split("L").length > 3) count += 1;  // an icon's outline is closed
    if (tag === "canvas" && child.width > 100) count += 1;
    visit(child);
  }
};
visit(document.body);
return count;
"""


@pytest.mark.ui
@pytest.mark.parametrize(
    ("page", "words", "least"),
    [
        ("/?smoothing=0&tagFilter=%5Elr%2F#timeseries", ["lr/SGD", "run/version_0"], 1),
        (
            "/?smoothing=0&tagFilter=schedule%7Closs#timeseries",
            ["schedule/phase", "schedule/num_reductions", "monitor/val_loss", "train_loss"],
            3,
        ),
        ("/#custom_scalars&_smoothingWeight=0", ["Learning rate", "lr", "loss", "decisions so far", "phase"], 3),
        ("/#text", ["lr/plan/text_summary", "lr/decisions/text_summary", "reduce", "val_loss = 1, best 1"], 0),
        ("/#images", ["lr_figures/SGD"], 1),
    ],
    ids=["lr", "time series", "custom scalars", "text", "images"],
)
def test_the_pages_of_tensorboard_show_the_run(
    board: str, browser: Any, page: str, words: list[str], least: int, request: pytest.FixtureRequest
) -> None:
    browser.get("about:blank")
    browser.get(board + page)
    wait_for(lambda: all(word in browser.execute_script(TEXT) for word in words))
    wait_for(lambda: browser.execute_script(DRAWN) >= least)
    folder = os.environ.get("SCREENSHOTS")
    if folder:  # to look at
        Path(folder).mkdir(parents=True, exist_ok=True)
        browser.save_screenshot(str(Path(folder) / f"{request.node.callspec.id}.png"))
