"""Text files that people write: UTF-8 only; an error names the probable encoding of others."""

from __future__ import annotations

import codecs
import re
import shlex
from pathlib import Path

from edgesplit.errors import EdgesplitError

__all__ = ["decode_text"]

_SHOWN = 60
"""Most characters of a line that a message repeats, around the first non-ASCII character."""

_LATIN = ("WINDOWS-1252", "cp1252", "Latin-1 or Windows-1252")
_CHINESE = ("GBK", "gb18030", "GBK")
_UTF_16 = ("UTF-16", "utf-16", "UTF-16")


def decode_text(data: bytes, path: Path, error: type[EdgesplitError]) -> str:
    """Return the text of a UTF-8 file, without its byte order mark.

    Other encodings are never decoded: the bytes do not show whether a text is Latin-1 or
    Windows-1250, GBK or Big5.

    Args:
        data: the bytes of the file.
        path: path of the file, for the message.
        error: the class to raise.

    Raises:
        EdgesplitError: the bytes are not UTF-8; of class `error`. The message names the encoding
            that the file probably has, and the command that converts it.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as reason:
        raise error(_refusal(data, path)) from reason
    if "\0" in text:  # UTF-16 of ASCII, without a byte order mark, is valid UTF-8
        raise error(_refusal(data, path))
    return text


def _refusal(data: bytes, path: Path) -> str:
    for charset, codec, name in _likely_encodings(data):
        try:
            lines = data.decode(codec).splitlines()
        except UnicodeDecodeError:
            continue
        if not lines or not all(line.replace("\t", " ").isprintable() for line in lines):
            continue
        line = next((line for line in lines if not line.isascii()), lines[0]).strip()
        first = next((i for i, letter in enumerate(line) if not letter.isascii()), 0)
        shown = line[max(0, first - _SHOWN // 2) :][:_SHOWN]
        target = path.with_name(f"{path.stem}-utf8{path.suffix}")
        command = f"iconv -f {charset} -t UTF-8 {shlex.quote(str(path))}"
        return (
            f"{path} is not UTF-8 text. It is probably {name}: one line then reads {shown!r}. "
            f"If that is correct, save it as UTF-8: {command} > {shlex.quote(str(target))}"
        )
    return (
        f"{path} is not UTF-8 text. If it is text in another encoding, save it as UTF-8, "
        "for example with iconv."
    )


def _likely_encodings(data: bytes) -> list[tuple[str, str, str]]:
    """Return (name for iconv, Python's codec, name for people), the most likely first."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return [_UTF_16]
    if b"\0" in data:
        # The zeros of ASCII characters come first in big-endian order.
        order = "BE" if data[::2].count(0) > data[1::2].count(0) else "LE"
        return [(f"UTF-16{order}", f"utf-16-{order}", "UTF-16 without a byte order mark")]
    # Accented letters stand alone between ASCII letters; Chinese characters are pairs of bytes.
    runs = [len(run) for run in re.findall(rb"[\x80-\xff]+", data)]
    paired = sum(length for length in runs if length > 1)
    return [_CHINESE, _LATIN] if 2 * paired > sum(runs) else [_LATIN]
