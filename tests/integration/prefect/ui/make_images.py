"""The pictures of `docs/images/`, taken from Prefect's pages in a real browser: run it when what they show has changed.

python -m tests.integration.prefect.ui.make_images
"""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

from PIL import Image

from tests.integration.prefect.ui.browser import Person, open_page
from tests.integration.prefect.ui.stage import ROOT, whole_stage
from tests.prefect_process import wait_until

IMAGES = ROOT / "docs" / "images"
COLOURS = 256
"""Of a picture's palette: pages have few, and the files are a third of their size."""


def make_images() -> None:
    """Take all pictures anew, and the logo from its drawing."""
    with tempfile.TemporaryDirectory() as folder, whole_stage(Path(folder)) as stage, open_page() as page:
        person = Person(stage, page, IMAGES)
        person.fill_in_configuration("train-again", dataset=stage.dataset, description="Train on the digits, slowly")
        failed = stage.run_deployment(write_report=False)
        (rid,) = stage.trainings()
        person.go(f"/runs/flow-run/{failed['id']}?tab=Details")
        page.get_by_text("Failed").first.wait_for()
        person.photograph("failed-run", height=1000, graph=True)
        staged = Path(stage.execution(rid)["folder"]) / "staged" / "Execution_Asset" / "report.txt"
        staged.write_text("written afterwards\n")
        person.retry(failed["id"])
        stage.await_end(failed["id"], after=failed["run_count"])
        known = {run["id"] for run in stage.server.flow_runs()}
        person.run_with("train-digits", epochs=20, learning_rate=0.08)
        (started,) = wait_until(
            lambda: [r for r in stage.server.flow_runs() if r["id"] not in known and not r["parent_task_run_id"]],
            "the run of the form",
        )
        stage.await_end(started["id"])
        person.go(f"/runs/flow-run/{started['id']}?tab=Artifacts")
        page.get_by_text("Completed").first.wait_for()
        person.photograph("flow-run", height=1040, graph=True)
        shown = stage.artifacts(started["id"])
        page.set_viewport_size({"width": 1500, "height": 800})
        for name in ("execution", "metrics", "files"):
            person.go(f"/artifacts/artifact/{shown[name]['id']}")
            page.get_by_text(stage.trainings()[-1]).first.wait_for()
            person.photograph(f"artifact-{name}", height=1000 if name != "files" else 700)
    with open_page(400, 400) as page:
        page.set_content(f"<style>body{{margin:0}}</style>{(IMAGES / 'logo.svg').read_text()}")
        page.screenshot(path=IMAGES / "logo.png", omit_background=True)
    for path in set(IMAGES.glob("*.png")) - {IMAGES / "logo.png"}:
        _shrink(path)


def _shrink(path: Path) -> None:
    with Image.open(path) as picture:
        few = picture.convert("RGB").quantize(COLOURS)
        small = io.BytesIO()
        few.save(small, "PNG", optimize=True)
    path.write_bytes(small.getvalue())


if __name__ == "__main__":
    make_images()
