"""Text files in other encodings than UTF-8: named, never guessed at silently."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgesplit.errors import EditError, LabelError
from edgesplit.storage.text_file import decode_text

ENGLISH = "opening a door\nclosing a door\n"
FRENCH = "ouvrir une porte\ndéplacer la boîte à gauche\n"
CHINESE = "开门\n关门\n把盒子推到左边\n"


@pytest.mark.parametrize(
    ("text", "encoding"), [(FRENCH, "utf-8"), (CHINESE, "utf-8-sig"), ("", "utf-8")]
)
def test_utf_8_is_read_without_its_mark(text: str, encoding: str) -> None:
    assert decode_text(text.encode(encoding), Path("labels.txt"), LabelError) == text


@pytest.mark.parametrize(
    ("text", "encoding", "name", "charset", "shown"),
    [
        (FRENCH, "latin-1", "Latin-1 or Windows-1252", "WINDOWS-1252", "déplacer la boîte"),
        (
            "un œuf à côté…\n",
            "cp1252",
            "Latin-1 or Windows-1252",
            "WINDOWS-1252",
            "un œuf à côté…",
        ),
        (CHINESE, "gbk", "GBK", "GBK", "开门"),
        (ENGLISH, "utf-16", "UTF-16", "UTF-16", "opening a door"),
        (ENGLISH, "utf-16-le", "UTF-16 without a byte order mark", "UTF-16LE", "opening a door"),
        (ENGLISH, "utf-16-be", "UTF-16 without a byte order mark", "UTF-16BE", "opening a door"),
        (CHINESE, "utf-16-le", "UTF-16 without a byte order mark", "UTF-16LE", "开门"),
    ],
)
def test_other_encodings_are_named_with_the_command_that_converts_them(
    text: str, encoding: str, name: str, charset: str, shown: str
) -> None:
    with pytest.raises(EditError) as refused:
        decode_text(text.encode(encoding), Path("my files/labels.txt"), EditError)
    message = str(refused.value)
    assert message.startswith(f"my files/labels.txt is not UTF-8 text. It is probably {name}: ")
    assert f"one line then reads '{shown}" in message
    command = f"iconv -f {charset} -t UTF-8 'my files/labels.txt' > 'my files/labels-utf8.txt'"
    assert message.endswith(command)


@pytest.mark.parametrize(
    "data", [b"\x80\x04\x95\xff\x00\x00", b"\x89PNG\r\n\x1a\n", b"a\x00\x01\x00", b"\xff\xfe"]
)
def test_what_is_no_text_gets_no_guess(data: bytes) -> None:
    with pytest.raises(LabelError, match=r"^f\.bin is not UTF-8 text\. If it is text in another"):
        decode_text(data, Path("f.bin"), LabelError)
