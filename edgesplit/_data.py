"""Read data from files: digests, JSON, arrays. Invalid data raises ValueError."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from edgesplit.limits import ARRAYS_BYTES

__all__ = ["check_digest", "is_digest", "load_arrays", "load_json", "nan_to_null", "save_arrays"]

_DIGEST = re.compile("[0-9a-f]{64}")


def is_digest(value: object) -> bool:
    """Return True for a sha256 in lower-case hex, which is safe as part of a file name."""
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def check_digest(value: object) -> str:
    """Return `value` if it is a digest.

    Raises:
        ValueError: it is not a digest.
    """
    if isinstance(value, str) and is_digest(value):
        return value
    raise ValueError("a digest is 64 lower-case hex digits")


def load_json(text: str | bytes) -> Any:
    """Return the content of a JSON text.

    Raises:
        ValueError: the text is not JSON, or nested deeper than Python can read.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def nan_to_null(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a JSON object with None in place of NaN, which JSON does not allow."""
    return {key: None if value != value else value for key, value in content.items()}


def load_arrays(data: bytes, *names: str) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays `names` of an npz file, or the one array of an npy file under the name "".

    Raises:
        ValueError: the bytes are neither, a name is missing, an array is damaged, or the arrays
            take more than `ARRAYS_BYTES`.
    """
    try:
        loaded = np.load(io.BytesIO(data), allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"": loaded}
        with loaded:
            unpacked = sum(member.file_size for member in loaded.zip.infolist())
            if unpacked > ARRAYS_BYTES:
                raise ValueError(f"its arrays take {unpacked:,} bytes, over {ARRAYS_BYTES:,}")
            return {name: loaded[name] for name in names}
    except Exception as error:  # numpy and zipfile raise many kinds on a damaged file
        raise ValueError(str(error)) from error


def save_arrays(**arrays: npt.ArrayLike) -> bytes:
    """Return an npz file of the arrays; its checksums reveal damage."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()
