"""Find the TensorRT that Python would import, without importing it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from importlib.util import find_spec
from pathlib import Path

from edgesplit.runtime.backends.tensorrt import ENVIRONMENT, MODULES

__all__ = ["PackageOrigin", "find_tensorrt"]


@dataclass(frozen=True, slots=True)
class PackageOrigin:
    """The installation that a package is imported from."""

    name: str
    version: str
    """Version of the package; empty if its metadata is missing."""
    source: str
    """`wheel` if pip or uv installed it, else `system`: apt, JetPack, an image."""
    path: Path
    others: tuple[str, ...] = ()
    """Other installations of the package, hidden by this one, as in `10.3.0 (system)`."""

    def __str__(self) -> str:
        kind = "from a wheel" if self.source == "wheel" else "the system's"
        text = " ".join(filter(None, (self.name, self.version))) + f", {kind}, {self.path}"
        return f"{text}; it hides {', '.join(self.others)}" if self.others else text


def find_tensorrt() -> PackageOrigin | None:
    """Return the TensorRT that `import tensorrt` would load; None if it is not installed.

    EDGESPLIT_TENSORRT may name another module, as it does for engines.
    """
    name = os.environ.get(ENVIRONMENT) or MODULES[0]
    spec = find_spec(name) if name in MODULES else None
    if spec is None or not spec.origin:
        return None
    path = Path(spec.origin).parent
    found = list(_distributions(name))
    own = [one for one in found if _folder(one) == path.parent]
    others = [one for one in found if _folder(one) != path.parent]
    return PackageOrigin(
        name=name,
        version=own[0].version if own else "",
        source=_source(own[0]) if own else "system",
        path=path,
        others=tuple(f"{one.version} ({_source(one)})" for one in others),
    )


def _distributions(name: str) -> Iterator[Distribution]:
    seen = set()
    for one in distributions(name=name):
        folder = _folder(one)
        if folder not in seen:
            seen.add(folder)
            yield one


def _folder(one: Distribution) -> Path:
    return Path(str(one.locate_file("")))


def _source(one: Distribution) -> str:
    return "wheel" if (one.read_text("INSTALLER") or "").strip() in ("pip", "uv") else "system"
