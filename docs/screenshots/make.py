"""Makes the pictures of the dashboard, docs/screenshots/*.png, of a server that runs: `make screenshots`.

Takes two minutes. Needs the extra `screenshots`, and Chromium of the distribution. `--to` puts them into
another folder; `--dark` and `--phone` make all of them so, to look at.
"""

from __future__ import annotations

import argparse
import io
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from PIL import Image
from playwright.sync_api import sync_playwright
from scene import MAIN, Scene, scene

HERE = Path(__file__).parent
WIDTH, HEIGHT, TALLEST = 1200, 700, 1000
COLOURS = 128
PATIENCE = 120.0
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
FLAGS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
BOTTOM = """16 + Math.ceil(scrollY + Math.max(
  ...[...document.querySelector('main').children].map(each => each.getBoundingClientRect().bottom)))"""
# A chart is drawn when its element is there, in the next frames; nothing on the page says that it has been.
DRAWN = "new Promise(done => setTimeout(() => requestAnimationFrame(done), 700))"


@dataclass(frozen=True, slots=True)
class Picture:
    """A page as `who` sees it, when it says `when`; `press` is a button that is pressed then."""

    name: str
    who: Literal["alice", "bob", "nobody"]
    path: str
    when: str
    press: str = ""
    dark: bool = False
    tallest: int = TALLEST


def pictures(of: Scene) -> Sequence[Picture]:
    """What passes soon comes first."""
    device = f"/devices/{MAIN}"
    return (
        Picture("device", "alice", device, "Why it waits"),
        Picture("device-dark", "alice", device, "Why it waits", dark=True),
        Picture("session", "bob", f"/sessions/{of.session}", "Submitted"),
        Picture("waiting", "alice", f"/jobs/{of.waiting}", "In a program"),
        Picture("jobs", "alice", "/jobs", "Submitted", tallest=640),
        Picture("devices", "alice", "/", "Calibrated"),
        Picture("job", "bob", f"/jobs/{of.job}", "Pub 0"),
        Picture("health", "alice", f"{device}/health", "Over the calibrations", tallest=1190),
        Picture("calendar", "alice", "/calendar", "Reserve", press="Week after"),
        Picture("usage", "alice", "/usage", "Charges", tallest=780),
        Picture("operators", "alice", "/operators", "To what", tallest=1180),
        Picture("sign-in", "nobody", "/sign-in", "API key"),
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--to", type=Path, default=HERE)
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--phone", action="store_true")
    arguments = parser.parse_args()
    arguments.to.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        scene(Path(folder) / "data") as there,
        _browser() as browser,
    ):
        look = Look(browser, there, arguments.dark, arguments.phone)
        for picture in pictures(there):
            path = arguments.to / f"{picture.name}.png"
            look.at(picture, path)
            sys.stdout.write(f"{path}: {path.stat().st_size // 1000} kB\n")


class Look:
    """What the users see."""

    def __init__(self, browser: Any, of: Scene, dark: bool, phone: bool) -> None:
        self._browser = browser
        self._keys = {"alice": of.alice.api_key, "bob": of.bob.api_key}
        self._address = of.server.pages().rstrip("/")
        self._dark = dark
        self._size = PHONE if phone else {"viewport": {"width": WIDTH, "height": HEIGHT}}
        self._open: dict[tuple[str, bool], Any] = {}

    def at(self, picture: Picture, path: Path) -> None:
        page = self._page(picture.who, picture.dark or self._dark)
        page.goto(self._address + picture.path)
        page.get_by_text(picture.when).first.wait_for()
        if picture.press:
            page.get_by_role("button", name=picture.press).click()
        page.evaluate(DRAWN)
        wide, high = self._size["viewport"]["width"], self._size["viewport"]["height"]
        tall = page.evaluate(BOTTOM) if picture.who in self._keys else high
        clip = {"x": 0, "y": 0, "width": wide, "height": min(tall, picture.tallest)}
        shot = Image.open(io.BytesIO(page.screenshot(full_page=True, clip=clip)))
        # A third of the size, and hardly to be told from it.
        shot.convert("RGB").quantize(COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(
            path, optimize=True
        )

    def _page(self, who: str, dark: bool) -> Any:
        if (who, dark) not in self._open:
            context = self._browser.new_context(
                color_scheme="dark" if dark else "light", timezone_id="UTC", locale="en-GB", **self._size
            )
            context.set_default_timeout(1000 * PATIENCE)
            page = self._open[who, dark] = context.new_page()
            if who in self._keys:
                page.goto(self._address)
                page.get_by_label("API key").fill(self._keys[who])
                page.get_by_role("button", name="Sign in").click()
                page.get_by_role("navigation", name="Pages").wait_for()
        return self._open[who, dark]


@contextmanager
def _browser() -> Iterator[Any]:
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        sys.exit("chromium is missing, a package of the distribution: apt install chromium")
    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


if __name__ == "__main__":
    main()
