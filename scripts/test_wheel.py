"""Builds the wheel and tests it, not the sources: alone with what it requires, then with the rest.

All versions are those of uv.lock. Arguments go to pytest.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

from test_matrix import ROOT, uv

BUILD = ROOT / "build" / "wheel"
ENVIRONMENTS = ROOT / ".venvs"
PACKAGE = ROOT / "src" / "django_loom"


def main(arguments: list[str]) -> int:
    wheel = build()
    base = environment("wheel-alone", wheel, "--no-default-groups")
    if code := run(base, "-m", "tests.installed.base"):
        return code
    whole = environment("wheel", wheel, "--all-extras")
    return run(whole, "-m", "pytest", "-p", "tests.installed.plugin", *arguments)


def build() -> Path:
    """Make the wheel as a release would, and as it is made from the source distribution."""
    shutil.rmtree(BUILD, ignore_errors=True)
    uv("build", "--out-dir", BUILD / "by_sdist")  # the wheel from the other
    uv("build", "--wheel", "--out-dir", BUILD)
    (wheel,) = BUILD.glob("*.whl")
    contents = files(wheel)
    if contents != files(BUILD / "by_sdist" / wheel.name):
        raise SystemExit("the source distribution makes another wheel than the sources")
    missing = sources() - set(contents)
    if missing:
        raise SystemExit(f"the wheel lacks {sorted(missing)}")
    return wheel


def files(wheel: Path) -> dict[str, int]:
    """Return the names in a wheel, each with the checksum of what it has."""
    with ZipFile(wheel) as archive:
        return {each.filename: each.CRC for each in archive.infolist()}


def sources() -> set[str]:
    """Return the files of the package, named as in a wheel."""
    paths = [path for path in PACKAGE.rglob("*") if path.is_file()]
    return {str(path.relative_to(PACKAGE.parent)) for path in paths if path.suffix != ".pyc"}


def environment(name: str, wheel: Path, *groups: str) -> Path:
    """Return an interpreter that has the wheel, and of the locked packages those of the groups."""
    folder = ENVIRONMENTS / name
    requirements = BUILD / f"{name}.txt"
    export = ("export", "--locked", "--no-emit-project", "--no-hashes", "--no-header", *groups)
    requirements.write_text(uv(*export))
    uv("venv", "--clear", "--python", sys.executable, folder)
    python = folder / "bin" / "python"
    uv("pip", "install", "--python", python, "-r", requirements)
    # By uv.lock's versions, and yet by what the wheel itself says that it requires.
    uv("pip", "install", "--python", python, "--constraints", requirements, wheel)
    return python


def run(python: Path, *arguments: str) -> int:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run([python, *arguments], cwd=ROOT, env=kept, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
