"""Audit: the versions that constraints.txt locks, held against the known vulnerabilities.

    python tests/trust/audit.py        or `make audit`

By pip-audit, fetched into an environment of its own where it is not installed. Where it, or its database, cannot be
reached (it then calls every package unknown, and finds no fault), the locked versions are listed and that is said; the
exit code is then 0, for nothing was found, nor looked for.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LOCKED = ROOT / "constraints.txt"
UNREACHED = (
    "ConnectionError",
    "Max retries",
    "ServiceError",
    "Failed to",
    "404",
    "403",
    "Name or service",
    "timed out",
)


def auditor(folder: Path) -> str | None:
    """The command pip-audit; nothing where it cannot be had."""
    there = shutil.which("pip-audit")
    if there is not None:
        return there
    venv.create(folder, with_pip=True)
    words = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", "pip-audit"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return str(folder / "bin" / "pip-audit") if done.returncode == 0 else None


def listed(why: str) -> int:
    """Say what could not be looked for, and in what."""
    lines = [line.strip() for line in LOCKED.read_text(encoding="utf-8").splitlines()]
    versions = [line for line in lines if line and not line.startswith("#")]
    print("\n".join(versions))
    print(f"NOT AUDITED: {why}. These are the {len(versions)} locked versions.")
    return 0


def main() -> int:
    """The command line."""
    with tempfile.TemporaryDirectory() as name:
        command = auditor(Path(name))
        if command is None:
            return listed("pip-audit cannot be installed here")
        for service in ("pypi", "osv"):
            words = [command, "--requirement", str(LOCKED), "--no-deps", "--disable-pip", "--progress-spinner", "off"]
            words += ["--vulnerability-service", service, "--format", "json"]
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            if done.stdout.startswith("{"):
                found = json.loads(done.stdout)["dependencies"]
                audited = [one for one in found if "skip_reason" not in one]
                if audited:
                    return reported(audited, len(found), service)
    return listed("the databases of PyPI and OSV know none of them, or cannot be reached")


def reported(audited: list[dict[str, Any]], count: int, service: str) -> int:
    """Print what is known; 1 where there is a hole."""
    holes = [(one, hole) for one in audited for hole in one["vulns"]]
    for one, hole in holes:
        print(f"{one['name']} {one['version']}: {hole['id']}, mended in {', '.join(hole['fix_versions']) or 'none'}")
    print(f"{len(holes)} known holes in {len(audited)} of {count} locked versions, by {service}.")
    return 1 if holes else 0


if __name__ == "__main__":
    sys.exit(main())
