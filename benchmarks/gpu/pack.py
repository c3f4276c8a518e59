"""Pack `make gpu` for a machine without a network, in files of at most 60 MB.

    python3 -m benchmarks.gpu.pack --wheels wheels/ -o parcels/     # on this machine
    tar xf parcel-1.tar -C somewhere                                # on the target
    python3 benchmarks/gpu/pack.py --join wheels/                   # there, once all are unpacked

The first parcel holds edgesplit and the smallest wheels, so it runs alone if the target has the
other packages. A wheel above the limit is cut into pieces, which `--join` joins again. Needs only
Python and, to pack, git.
"""

from __future__ import annotations

import argparse
import io
import re
import subprocess
import sys
import tarfile
from pathlib import Path

__all__ = ["join", "pack"]

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("edgesplit", "export", "runtime", "benchmarks/__init__.py", "benchmarks/gpu", "Makefile")
LIMIT_MB = 60.0
_OVERHEAD = 4096  # of a file in a tar, with its end
_PIECE = re.compile(r"(?P<name>.+)\.piece-(?P<number>\d+)-of-(?P<count>\d+)")


def pack(wheels: Path | None, target: Path, limit_mb: float = LIMIT_MB) -> list[Path]:
    """Write the parcels into a new folder and return them.

    Raises:
        ValueError: edgesplit alone is above the limit, or the folder holds no wheels.
    """
    limit = int(limit_mb * 1e6)
    files = _sources()
    size = sum(len(data) + _OVERHEAD for _, data in files if data is not None)
    if size > limit:
        raise ValueError(f"edgesplit alone takes {size / 1e6:.0f} MB. Increase --limit-mb.")
    found = sorted(wheels.glob("*.whl"), key=lambda file: file.stat().st_size) if wheels else []
    if wheels and not found:
        raise ValueError(f"There is no wheel in {wheels}. See docs/gpu.md for how to get them.")
    parcels = [files]
    for wheel in found:
        for name, data in _cut(wheel, limit - 4 * _OVERHEAD):
            if size + len(data) + _OVERHEAD > limit:
                parcels.append([])
                size = 2 * _OVERHEAD
            parcels[-1].append((f"wheels/{name}", data))
            size += len(data) + _OVERHEAD
    target.mkdir(parents=True)
    return [_write(target / f"parcel-{n}.tar", parcel) for n, parcel in enumerate(parcels, 1)]


def join(folder: Path) -> list[Path]:
    """Join the pieces of wheels and remove the pieces; return the wheels.

    Raises:
        ValueError: a piece is missing.
    """
    pieces: dict[str, dict[int, Path]] = {}
    counts: dict[str, int] = {}
    for file in folder.iterdir():
        if found := _PIECE.fullmatch(file.name):
            pieces.setdefault(found["name"], {})[int(found["number"])] = file
            counts[found["name"]] = int(found["count"])
    for name, parts in pieces.items():
        missing = [str(n) for n in range(1, counts[name] + 1) if n not in parts]
        if missing:
            raise ValueError(
                f"Piece {', '.join(missing)} of {name} is missing. Unpack all parcels."
            )
    whole = []
    for name, parts in pieces.items():
        with (folder / name).open("wb") as wheel:
            for _, part in sorted(parts.items()):
                wheel.write(part.read_bytes())
                part.unlink()
        whole.append(folder / name)
    return whole


def _sources() -> list[tuple[str, bytes | None]]:
    """Return the tracked files that the target needs; a link has a name and no bytes."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", *SOURCES], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    names = [name for name in listed.split("\0") if name]
    commit = subprocess.run(
        ["git", "describe", "--always", "--abbrev=12", "--dirty"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout
    files = [
        (name, None if (ROOT / name).is_symlink() else (ROOT / name).read_bytes()) for name in names
    ]
    return [("COMMIT", commit), *files]


def _cut(wheel: Path, limit: int) -> list[tuple[str, bytes]]:
    data = wheel.read_bytes()
    count = -(-len(data) // limit)
    if count == 1:
        return [(wheel.name, data)]
    cuts = [data[n * limit : (n + 1) * limit] for n in range(count)]
    return [(f"{wheel.name}.piece-{n}-of-{count}", cut) for n, cut in enumerate(cuts, 1)]


def _write(path: Path, files: list[tuple[str, bytes | None]]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in files:
            if data is None:
                tar.add(ROOT / name, name, recursive=False)
                continue
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o644
            tar.addfile(info, io.BytesIO(data))
    return path


def main() -> None:
    """Pack the files, or join the pieces."""
    parser = argparse.ArgumentParser(description="Pack `make gpu` for a machine without a network.")
    parser.add_argument("--wheels", type=Path, help="folder of wheels for the target")
    parser.add_argument("-o", dest="target", type=Path, default=Path("parcels"))
    parser.add_argument("--limit-mb", type=float, default=LIMIT_MB)
    parser.add_argument("--join", type=Path, help="folder with pieces to join")
    asked = parser.parse_args()
    try:
        made = join(asked.join) if asked.join else pack(asked.wheels, asked.target, asked.limit_mb)
    except (ValueError, OSError) as error:
        sys.exit(f"Error: {error}")
    for path in made:
        print(f"{path}  {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
