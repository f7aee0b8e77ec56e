"""Wheel: what is handed out works by itself, from an empty folder.

    python tests/trust/wheel.py [--full]        or `make wheel-test`

The wheel is built and installed, alone, into a fresh environment that sees the dependencies which are installed already
(--full: that fetches them all anew, and takes minutes); this project's sources cannot be seen from there. Then the tour
runs from an empty folder, and what it wrote is looked at.
"""

import argparse
import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LINK = "dependencies.pth"
WHERE = """
import pellucid, sys
print(pellucid.__file__)
"""


def run(*words: str, cwd: Path | None = None) -> str:
    """What a command prints; the end of this one where it fails."""
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PELLUCID_DATA")}
    done = subprocess.run(words, cwd=cwd, env=clean, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(words)}\n{done.stdout}{done.stderr}")
    return done.stdout


def dependencies(target: Path) -> None:
    """The environment's packages may also be those of this one, its editable pellucid excepted."""
    here = Path(sysconfig.get_paths()["purelib"])
    code = f"import sys; sys.path.append({str(here)!r})"  # appended as a path, so that its own .pth files do not count
    (target / LINK).write_text(code + "\n", encoding="utf-8")


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--full", action="store_true", help="install the dependencies, too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pip = (sys.executable, "-m", "pip")
        run(*pip, "wheel", "-q", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder / "dist"), str(ROOT))
        (wheel,) = (folder / "dist").glob("*.whl")
        print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.2f} MB, {len(zipfile.ZipFile(wheel).namelist())} files")
        venv.create(folder / "env", with_pip=options.full)
        python = folder / "env" / "bin" / "python"
        if options.full:
            constraints = ("--constraint", str(ROOT / "constraints.txt"))
            run(str(python), "-m", "pip", "install", "-q", *constraints, str(wheel))
        else:
            run(*pip, "--python", str(python), "install", "-q", "--no-deps", str(wheel))
            (target,) = (folder / "env" / "lib").glob("python*/site-packages")
            dependencies(target)
        empty = folder / "empty"
        empty.mkdir()
        found = run(str(python), "-c", WHERE, cwd=empty).strip()
        if not Path(found).is_relative_to(folder / "env"):
            sys.exit(f"pellucid comes from {found}, not from the wheel")
        begin = time.monotonic()
        run(str(folder / "env" / "bin" / "pellucid"), "tour", cwd=empty)
        seconds = time.monotonic() - begin
        results = json.loads((empty / "tour" / "results.json").read_text(encoding="utf-8"))
        page = (empty / "tour" / "index.html").read_text(encoding="utf-8")
        if not page.rstrip().endswith("</html>") or results["test"]["accuracy"] < 0.8:
            sys.exit("The tour's page is not whole, or its network learnt nothing.")
        accuracy = results["test"]["accuracy"]
        print(f"The tour took {seconds:.0f} s; accuracy {accuracy:.2%}; {len(page) / 1e6:.1f} MB of page.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
