"""A person at Prefect's pages, in the Chromium of the system."""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page, sync_playwright
from playwright.sync_api import TimeoutError as TookTooLong

from tests.integration.prefect.ui.stage import ROOT, Stage
from tests.prefect_process import wait_until

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE = 20_000
"""Milliseconds that a page may take to show something."""


@contextlib.contextmanager
def open_page(width: int = 1100, height: int = 800) -> Iterator[Page]:
    """An empty page of a fresh browser."""
    assert CHROMIUM is not None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(_ARGUMENTS))
        page = browser.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(PATIENCE)
        # the picture of the blocks is published with the documentation, which is this folder
        page.route("**/images/logo.png", lambda route: route.fulfill(path=ROOT / "docs" / "images" / "logo.png"))
        try:
            yield page
        finally:
            browser.close()


class Person:
    """What somebody does at the pages."""

    def __init__(self, stage: Stage, page: Page, pictures: Path | None = None) -> None:
        self.stage = stage
        self.page = page
        self.pictures = pictures

    def go(self, path: str) -> Page:
        self.page.goto(f"{self.stage.server.url}/v2{path}")
        return self.page

    def photograph(self, name: str, *, height: int | None = None, graph: bool = False) -> None:
        """Keep a picture of the page as it is, if pictures are wanted; with `graph`, when that of a run is drawn."""
        if self.pictures is None:
            return
        self.page.wait_for_timeout(1500)
        size = self.page.viewport_size
        if height is not None and size is not None:
            self.page.set_viewport_size({"width": size["width"], "height": height})
            self.page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
        if graph:
            self._await_graph()
        (self.pictures / f"{name}.png").write_bytes(self._still_picture())
        if size is not None:
            self.page.set_viewport_size(size)

    def _still_picture(self) -> bytes:
        """The page, when it looks as it did a moment before."""
        seen: list[bytes] = []

        def still() -> bool:
            self.page.wait_for_timeout(700)
            seen.append(self.page.screenshot())
            return seen[-2:] == [seen[-1]] * 2

        wait_until(still, "a page that stands still", PATIENCE / 1000)
        return seen[-1]

    def _await_graph(self) -> None:
        """Wait for the bars of a run's parts; an empty graph has a colour or two above its buttons."""
        canvas = self.page.locator("canvas").first
        canvas.wait_for()

        def drawn() -> bool:
            with Image.open(io.BytesIO(canvas.screenshot())) as picture:
                upper = picture.convert("RGB").crop((5, 5, picture.width - 5, picture.height - 60))
                return len(upper.getcolors(maxcolors=upper.width * upper.height) or ()) > 20

        wait_until(drawn, "the graph of the run", PATIENCE / 1000)

    def fill_in_configuration(self, name: str, *, dataset: str, description: str) -> None:
        """Make a block document in its form."""
        page = self.go("/blocks/catalog/deriva-ml-execution-configuration/create")
        page.get_by_label("Name", exact=True).fill(name)
        page.get_by_role("button", name="Add item").first.click()
        page.get_by_label("RID", exact=True).fill(dataset)
        page.get_by_role("tab", name="Workflow").click()
        workflow = page.get_by_label("Name (Optional)")
        workflow.fill("filled-in")
        page.get_by_role("button", name="Add item").nth(2).click()
        workflow.locator("xpath=following::textarea[1]").fill("Training")
        page.get_by_label("Description (Optional)").last.fill(description)
        self.photograph("block-form", height=2050)
        self._press("Save", away_from="/create")

    def edit_description(self, document_id: str, description: str) -> None:
        """Change the description of a saved configuration in its form."""
        page = self.go(f"/blocks/block/{document_id}/edit")
        page.get_by_label("Description (Optional)").last.fill(description)
        self._press("Save", away_from="/edit")

    def run_with(self, document: str, **numbers: Any) -> None:
        """Start the deployment from its form, with a saved configuration."""
        page = self.go(f"/deployments/deployment/{self.stage.deployment_id()}/run")
        for name, value in numbers.items():
            page.get_by_label(f"{name} (Optional)").fill(str(value))
        page.get_by_role("tab", name="ExecutionConfiguration").click()
        page.get_by_text("Select a block").click()
        page.get_by_role("option", name=document).click()
        self.photograph("deployment-form", height=1000)
        self._press("Submit", away_from="/run")

    def _press(self, button: str, *, away_from: str) -> None:
        """Send a form. A server that is too busy says so in a corner of the page, and one presses again."""
        for _ in range(4):
            self.page.get_by_role("button", name=button, exact=True).click()
            with contextlib.suppress(TookTooLong):
                self.page.wait_for_url(lambda url: not url.endswith(away_from), timeout=PATIENCE / 4)
                return
        raise AssertionError(f"{button} leads nowhere: {self.page.get_by_role('listitem').all_inner_texts()}")

    def retry(self, flow_run_id: str) -> None:
        """Click Retry on the page of a flow run, and confirm it."""
        page = self.go(f"/runs/flow-run/{flow_run_id}")
        page.get_by_role("button", name="Open menu").click()
        page.get_by_role("menuitem", name="Retry").click()
        self.photograph("retry", graph=True)
        page.get_by_role("dialog").or_(page.get_by_role("alertdialog")).get_by_role("button", name="Retry").click()
        page.get_by_role("dialog").or_(page.get_by_role("alertdialog")).wait_for(state="hidden")
