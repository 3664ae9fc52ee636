"""A page in a headless browser: what it shows, what it says in the console, what it asks for."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PROGRAM = next(filter(None, map(shutil.which, NAMES)), None)
MISSING = f"needs a browser on the path: one of {', '.join(NAMES)}"
PATIENCE = 50  # seconds, for a browser's first start on a busy machine

# Put before everything else of the page, so that it sees all: the policy refuses and reports each
# request, and what was seen is left in the document for --dump-dom.
OBSERVER = """
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<script>
const seen = {errors: [], refused: []};
addEventListener("error", event => seen.errors.push(event.message || "a part did not load"), true);
addEventListener("securitypolicyviolation", event => seen.refused.push(event.blockedURI));
addEventListener("load", () => setTimeout(() => {
  const sizes = name => [...document.querySelectorAll(name)].map(each => {
    const box = each.getBoundingClientRect();
    return [Math.round(box.width), Math.round(box.height)];
  });
  seen.resources = performance.getEntriesByType("resource").map(each => each.name);
  seen.tables = sizes("table");
  seen.charts = sizes("svg");
  seen.rows = document.querySelectorAll("tbody tr").length;
  seen.overflow = document.documentElement.scrollWidth > innerWidth;
  const output = document.createElement("pre");
  output.id = "seen";
  output.textContent = JSON.stringify(seen);
  document.body.append(output);
}));
</script>
"""


def look_at(page: str, directory: Path) -> dict[str, Any]:
    """What a browser saw of a page, and what it wrote to the console as `console`."""
    file = directory / "looked-at.html"
    file.write_text(page.replace('<meta charset="utf-8">', '<meta charset="utf-8">' + OBSERVER, 1))
    options = ["--virtual-time-budget=5000", "--enable-logging=stderr", "--dump-dom"]
    result = browse(file, directory, *options)
    found = re.search(r'<pre id="seen">(.*?)</pre>', result.stdout, re.DOTALL)
    assert found, result.stderr
    console = re.findall(r":CONSOLE.*", result.stderr)
    return {**json.loads(unescape(found[1])), "console": console}


def browse(file: Path, directory: Path, *options: str) -> subprocess.CompletedProcess[str]:
    assert PROGRAM
    # Its sandbox does not work for root, as which containers often run.
    as_root = ["--no-sandbox"] if os.geteuid() == 0 else []
    profile = f"--user-data-dir={directory / 'profile'}"
    command = [
        PROGRAM,
        "--headless",
        "--disable-gpu",
        "--no-first-run",
        profile,
        *as_root,
        *options,
    ]
    return subprocess.run(
        [*command, file.as_uri()], capture_output=True, text=True, timeout=PATIENCE, check=True
    )
