"""Take the pictures of the page of `hrnet serve`.

    apt-get install chromium fonts-noto-cjk
    pip install 'hrnet[serve]' playwright
    python scripts/make_page_pictures.py

Writes docs/pictures/serve: the sample photograph and what is found in it, in both languages, on
light and dark ground, and on a telephone.
"""

import io
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

OUT = Path(__file__).parents[1] / "docs" / "pictures" / "serve"
WIDE, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
PICTURES = {
    "light": {"viewport": WIDE},
    "dark": {"viewport": WIDE, "color_scheme": "dark"},
    "chinese": {"viewport": WIDE, "locale": "zh-CN"},
    "phone": {"viewport": PHONE, "device_scale_factor": 1.5},
}


def take(browser: Browser, address: str, **options: Any) -> Image.Image:
    """The page with the sample photograph; on wide ones with a joint pointed at."""
    context = browser.new_context(**options)
    page = context.new_page()
    page.goto(address)
    page.click("#sample")
    page.locator("#people-choice label").nth(4).wait_for()
    is_wide = options["viewport"] is WIDE
    if is_wide:
        page.locator("#people-choice label").nth(1).click()
        page.locator("#joints tbody tr", has_text=re.compile("Left knee|左膝")).hover()
    else:
        page.mouse.move(0, 0)
    picture = page.screenshot(full_page=is_wide)
    context.close()
    return Image.open(io.BytesIO(picture)).convert("RGB")


def main() -> None:
    OUT.mkdir(exist_ok=True)
    code = "from hrnet.cli import main; main()"
    command = [sys.executable, "-c", code, "serve", "--port", "0"]
    service = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        address = re.search(r"http://\S+?/", service.stderr.readline())[0]
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
            )
            for name, options in PICTURES.items():
                picture = take(browser, address, **options)
                # PNG takes three times the bytes, or with fewer colours loses some of the people's.
                picture.save(OUT / f"{name}.jpg", quality=80, subsampling=0, optimize=True)
            browser.close()
    finally:
        service.terminate()
        service.wait()


if __name__ == "__main__":
    main()
