"""Read data from files: digests, JSON, arrays. Invalid data raises ValueError."""

from __future__ import annotations

import io
import json
import math
import re
import zipfile
from collections.abc import Mapping
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from edgesplit.limits import ARRAYS_BYTES

__all__ = [
    "check_digest",
    "is_digest",
    "load_arrays",
    "load_json",
    "nan_to_null",
    "save_arrays",
]

_DIGEST = re.compile("[0-9a-f]{64}")
_MOST_AXES, _MOST_TEXTS, _WIDEST = 8, 2**21, 4


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


def load_arrays(data: bytes, *names: str, limit: int = ARRAYS_BYTES) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays `names` of an npz file, or the one array of an npy file under the name "".

    Raises:
        ValueError: the bytes are neither, a name is missing, an array is damaged or holds
            something other than numbers and texts, or the arrays take more than `limit` bytes.
    """
    try:
        if data[:2] != b"PK":
            return {"": _load_array(io.BytesIO(data), limit)}
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            found = {}
            for name in names:
                with archive.open(f"{name}.npy") as member:
                    found[name] = _load_array(member, limit)
                limit -= _most_bytes(found[name].size, found[name].dtype)
            return found
    except Exception as error:  # numpy and zipfile raise many kinds on a damaged file
        raise ValueError(str(error)) from error


def _load_array(file: IO[bytes], limit: int) -> npt.NDArray[Any]:
    """Return the array of an npy file whose header asks for nothing unusual."""
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, column_first, dtype = np.lib.format.read_array_header_1_0(file)
    elif version == (2, 0):
        shape, column_first, dtype = np.lib.format.read_array_header_2_0(file)
    else:
        raise ValueError(f"an array of version {version}")
    if dtype.kind not in "fiuU" or not dtype.itemsize or len(shape) > _MOST_AXES:
        raise ValueError(f"an array of {dtype} {shape}")
    count = math.prod(shape)
    size = _most_bytes(count, dtype)
    if min(shape, default=0) < 0 or size > limit:
        raise ValueError(f"its arrays take {size:,} bytes, over {limit:,}")
    if dtype.kind == "U" and count > _MOST_TEXTS:
        raise ValueError(f"{count:,} texts, over {_MOST_TEXTS:,}")
    content = file.read(count * dtype.itemsize)
    if file.read(1):  # a damaged header; reading to the end also checks zip's checksum
        raise ValueError("an array with more values than its shape has")
    array = np.frombuffer(content, dtype, count)
    if dtype.kind == "U":
        array = np.array([str(text) for text in array], dtype)  # refuses impossible letters
    return array.reshape(shape[::-1]).T if column_first else array.reshape(shape)


def _most_bytes(count: int, dtype: np.dtype[Any]) -> int:
    """Return the bytes of so many values, also once a small type is cast to float32."""
    return count * max(dtype.itemsize, _WIDEST)


def save_arrays(**arrays: npt.ArrayLike) -> bytes:
    """Return an npz file of the arrays; its checksums reveal damage."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()
