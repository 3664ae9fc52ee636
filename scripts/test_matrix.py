"""Runs the tests on each supported pair of Python and Django, in an environment for each pair.

All versions but Django's are those of uv.lock. Arguments go to pytest, but for `--others`: then the
pair of the Python that runs this is left out, which `make test` has, and so are the tests that take
longest and hardly depend on the versions.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAIRS = [("3.11", "5.2"), ("3.12", "6.0"), ("3.13", "6.1"), ("3.14", "6.1")]
UV = [sys.executable, "-m", "uv"]
PASSED, FAILED, MISSING = "passed", "FAILED", "not run: this interpreter is not there"


NOT_SLOW = ["--ignore=tests/docs", "--ignore=tests/lab", "-m", "not browser and not servers"]


def main(arguments: list[str]) -> int:
    pairs = PAIRS
    if "--others" in arguments:
        arguments = [each for each in arguments if each != "--others"] + NOT_SLOW
        own = "{}.{}".format(*sys.version_info)
        pairs = [pair for pair in PAIRS if pair[0] != own]
    results = {pair: test(*pair, arguments) for pair in pairs}
    print("\nPython  Django  result")
    for (python, django), result in results.items():
        print(f"{python:7} {django:7} {result}")
    tested = [result for result in results.values() if result != MISSING]
    return 0 if tested and set(tested) == {PASSED} else 1


def test(python: str, django: str, arguments: list[str]) -> str:
    interpreter = find(python)
    if interpreter is None:
        return MISSING
    print(f"\n== Python {python}, Django {django} ==", flush=True)
    environment = ROOT / ".venvs" / f"{python}-{django}"
    install(interpreter, django, environment)
    pytest = [str(environment / "bin" / "python"), "-m", "pytest", *arguments]
    return FAILED if subprocess.run(pytest, cwd=ROOT, check=False).returncode else PASSED


def find(python: str) -> str | None:
    """An interpreter that really runs: pyenv's shims exist for versions that are not active."""
    versions = Path(os.environ.get("PYENV_ROOT", "/nonexistent"), "versions")
    candidates: list[str | Path] = [f"python{python}", *versions.glob(f"{python}.*/bin/python")]
    return next((str(each) for each in candidates if runs(each, python)), None)


def runs(interpreter: str | Path, python: str) -> bool:
    script = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        output = subprocess.run([interpreter, "-c", script], capture_output=True, text=True)
    except OSError:
        return False
    return output.stdout.strip() == python


def install(interpreter: str, django: str, environment: Path) -> None:
    locked = "".join((ROOT / name).read_text() for name in ("pyproject.toml", "uv.lock"))
    stamp, digest = environment / "stamp", hashlib.sha256(locked.encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == digest:
        return
    requirements = environment / "requirements.txt"
    uv("venv", "--clear", "--python", interpreter, environment)
    export = uv("export", "--locked", "--no-hashes", "--no-annotate", "--no-header")
    requirements.write_text(re.sub(r"(?m)^django==.*\n", "", export) + f"django~={django}.0\n")
    uv("pip", "install", "--python", environment / "bin" / "python", "-r", requirements)
    stamp.write_text(digest)


def uv(*arguments: str | Path) -> str:
    command = [*UV, "--quiet", *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
