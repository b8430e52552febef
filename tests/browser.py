"""A real browser for the tests of pages; nothing but this machine can be reached from it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1400,1000",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


@contextmanager
def open_browser(profile: Path) -> Iterator[Any]:
    """A headless chromium with logs of its console and its requests; without one tests are skipped, in CI they fail."""
    binaries = shutil.which("chromium"), shutil.which("chromedriver")
    if None in binaries and os.environ.get("CI") != "true":
        pytest.skip("no chromium: apt-get install chromium chromium-driver")
    webdriver = pytest.importorskip("selenium.webdriver") if os.environ.get("CI") != "true" else _webdriver()
    options = webdriver.ChromeOptions()
    options.binary_location = str(binaries[0])
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(binaries[1])))
    try:
        yield driver
    finally:
        driver.quit()


def requested(driver: Any) -> set[str]:
    """Addresses that pages asked for since this was last called."""
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    return {event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"}


def _webdriver() -> Any:
    from selenium import webdriver

    return webdriver
