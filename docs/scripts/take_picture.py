"""Take the picture of a report that README.md shows.

``python docs/scripts/take_picture.py REPORT.html`` opens the page in the Chromium of
this machine and writes ``docs/images/report.png``: from its title to the end of its
summary. The picture is of the demo, whose report says so itself.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

PICTURE = Path(__file__).parents[1] / "images" / "report.png"
WIDTH = 1000
HEIGHT = 800


def take_picture(report: Path, picture: Path = PICTURE) -> None:
    """Write a picture of a report from its title to the end of its summary."""
    with sync_playwright() as drivers:
        browser = drivers.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(
            viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light"
        )
        page.goto(report.absolute().as_uri())
        # The second heading of this level begins what follows the summary.
        end = page.locator("h2").nth(1).bounding_box()["y"] - 10
        seen = {"x": 0, "y": 0, "width": WIDTH, "height": end}
        page.screenshot(path=picture, full_page=True, clip=seen)
        browser.close()
    # A page has few colours; a palette of them takes half of the bytes.
    Image.open(picture).convert("RGB").quantize(256).save(picture, optimize=True)


if __name__ == "__main__":
    take_picture(Path(sys.argv[1]))
