"""Label texts become unit vectors: a packaged sentence encoder and a cache of what it said.

    texts -> normalize_text -> cache (SQLite, per user) -> ONNX Runtime, for the missing ones only

An encoder is a folder of three files: encoder.onnx, tokenizer.json, and encoder.json, which names
their digest, so that nothing heavy is read or imported when the cache holds every text.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from edgesplit.cache import cache_folder
from edgesplit.errors import BundleError, EdgesplitError, LabelError
from edgesplit.sessions import open_session
from edgesplit.store import check_digest

if TYPE_CHECKING:
    import onnxruntime
    from tokenizers import Tokenizer

__all__ = ["TextEncoder", "encoder_digest", "normalize_text", "packaged_encoder"]

ENCODER_FILE, TOKENIZER_FILE, MANIFEST_FILE = "encoder.onnx", "tokenizer.json", "encoder.json"

_REMEDY = "Remove the folder and make it again with `edgesplit encoder`, or reinstall edgesplit."

_GRID_BITS = 16
"""Embeddings are multiples of 2**-16. The encoder computes in float64, where ONNX Runtimes, CPUs
and batches differ by 1e-15, which moves one number in ten billion to another multiple. The grid is
exact in float32, and a hundred times finer than what int8 weights change."""

_BATCH_TOKENS = 128
"""Enough that a batch costs its arithmetic and not the reading of 85 MB of weights: five times
faster than one text at a time. More is no faster and takes memory."""

_PADDING_TOKENS = 24
"""Padding that costs as much as another run, which reads all those weights again. A split asks for
thirty words and labels of three to eight tokens: one run or two, not five."""

_CACHE_FILE = "embeddings.sqlite"
_CACHE_TABLE = f"embeddings_{_GRID_BITS}"  # what another grid left is not read
_QUERY_TEXTS = 500  # SQLite takes 999 parameters at least
_LOCK_TIMEOUT_S = 2.0  # a write takes milliseconds; whoever holds the lock longer is stuck
_CREATE = f"""CREATE TABLE IF NOT EXISTS {_CACHE_TABLE}
    (encoder TEXT, text TEXT, vector BLOB, PRIMARY KEY (encoder, text)) WITHOUT ROWID"""

_Array = npt.NDArray[np.float32]


@lru_cache(maxsize=1)
def packaged_encoder() -> TextEncoder:
    """Return the encoder that ships with edgesplit (all-MiniLM-L6-v2, int8 weights)."""
    return TextEncoder.open(Path(__file__).parent / "assets" / "text")


def encoder_digest(encoder: bytes, tokenizer: bytes) -> str:
    """Return the identity of an encoder: sha256 over encoder.onnx, then tokenizer.json."""
    return hashlib.sha256(encoder + tokenizer).hexdigest()


def normalize_text(text: str) -> str:
    """Return the text in Unicode's composed form with single spaces: one spelling, one vector.

    Raises:
        LabelError: nothing is left, or the text is not valid Unicode.
    """
    normal = " ".join(unicodedata.normalize("NFC", text).split())
    if not normal:
        raise LabelError(f"{text!r} is an empty text; a label needs at least one word.")
    try:
        normal.encode()
    except UnicodeEncodeError as error:
        raise LabelError(f"{text!r} is not valid Unicode. Give labels as UTF-8.") from error
    return normal


class TextEncoder:
    """A sentence encoder whose answers depend on the text alone.

    An embedding is bit-equal alone, in any batch, from the cache, in another ONNX Runtime and on
    another CPU: float64 differs there in its last bits only, and those are rounded away. Otherwise
    a near tie between two sources could fall one way on the workstation, the other on the device.

    May be used by several threads at once.

    Attributes:
        digest: identity of the encoder; embeddings of different digests must not meet.
        dim: length of an embedding.
        max_tokens: longest text, in word pieces with the two special tokens.
    """

    def __init__(self, folder: Path, *, digest: str, dim: int, max_tokens: int) -> None:
        self.folder, self.digest, self.dim, self.max_tokens = folder, digest, dim, max_tokens

    @classmethod
    def open(cls, folder: Path) -> TextEncoder:
        """Read encoder.json in `folder`; the model itself is read when it is first needed.

        Raises:
            BundleError: encoder.json is missing or damaged.
        """
        path = folder / MANIFEST_FILE
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
            digest, dim, limit = (manifest[key] for key in ("digest", "dim", "max_tokens"))
            return cls(folder, digest=check_digest(digest), dim=int(dim), max_tokens=int(limit))
        except (OSError, ValueError, KeyError, TypeError) as error:
            message = f"{path} does not describe a text encoder ({error!r}). "
            raise BundleError(message + _REMEDY) from error

    def encode(self, texts: Sequence[str]) -> _Array:
        """Return the embeddings of the texts, from the cache where it has them.

        A cache that cannot be read or written is done without; it never fails a call.

        Returns:
            `(len(texts), dim)` float32, rows of length 1 (to 1e-4), an own array.

        Raises:
            LabelError: an empty text, or one longer than `max_tokens`.
            BundleError: the encoder's files do not match their digest.
            MissingExtraError: a text is not in the cache and ONNX Runtime is not installed.
        """
        normal = [normalize_text(text) for text in texts]
        unique = list(dict.fromkeys(normal))
        known = _read_cache(self.digest, unique, self.dim)
        if missing := [text for text in unique if text not in known]:
            fresh = dict(zip(missing, self.compute(missing), strict=True))
            _write_cache(self.digest, fresh)
            known |= fresh
        rows = [known[text] for text in normal]
        return np.array(rows, np.float32).reshape(len(rows), self.dim)

    def compute(self, texts: Sequence[str]) -> _Array:
        """Return what `encode` does, without looking into the cache or adding to it."""
        ids = [self._tokenize(normalize_text(text)) for text in texts]
        rows = np.empty((len(ids), self.dim))
        for batch in _batches([len(tokens) for tokens in ids]):
            length = max(len(ids[index]) for index in batch)
            tokens, mask = np.zeros((2, len(batch), length), np.int64)
            for row, index in enumerate(batch):
                tokens[row, : len(ids[index])] = ids[index]
                mask[row, : len(ids[index])] = 1
            feeds = {"input_ids": tokens, "attention_mask": mask}
            rows[batch] = self._model[1].run(["embedding"], feeds)[0]
        steps = np.rint(np.ldexp(rows, _GRID_BITS)) + 0.0  # -0.0 becomes 0.0: one zero, one byte
        return np.ldexp(steps, -_GRID_BITS).astype(np.float32)

    def check(self) -> None:
        """Reads the files anew and compares them with encoder.json.

        Raises:
            BundleError: a file is missing or damaged.
            BackendError: ONNX Runtime refuses the model.
            MissingExtraError: ONNX Runtime is not installed.
        """
        self._load()

    def _tokenize(self, text: str) -> list[int]:
        encoding = self._model[0].encode(text)
        if all(encoding.special_tokens_mask):
            raise LabelError(f"{text!r} holds nothing that the text encoder can read.")
        if len(encoding.ids) > self.max_tokens:
            raise LabelError(
                f"{text[:60]!r}... has {len(encoding.ids)} word pieces; "
                f"the text encoder reads {self.max_tokens}. Shorten the label."
            )
        return list(encoding.ids)

    @cached_property
    def _model(self) -> tuple[Tokenizer, onnxruntime.InferenceSession]:
        """Tokenizer and session; two threads may both make them, and either pair will do."""
        return self._load()

    def _load(self) -> tuple[Tokenizer, onnxruntime.InferenceSession]:
        from tokenizers import Tokenizer

        encoder, tokenizer = _read_files(self.folder, self.digest)
        session = open_session(encoder, threads=1)
        dim = session.get_outputs()[0].shape[-1]
        if dim != self.dim:
            raise BundleError(
                f"The text encoder in {self.folder} gives {dim} values, its {MANIFEST_FILE} says "
                f"{self.dim}. {_REMEDY}"
            )
        return Tokenizer.from_buffer(tokenizer), session


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Indices of texts with about equally many tokens, so that little is padded."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        length = lengths[index]
        padding = sum(length - lengths[other] for other in batch)
        if batch and ((len(batch) + 1) * length > _BATCH_TOKENS or padding > _PADDING_TOKENS):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _read_files(folder: Path, digest: str) -> tuple[bytes, bytes]:
    """The bytes of encoder and tokenizer, checked against the digest."""
    try:
        encoder = (folder / ENCODER_FILE).read_bytes()
        tokenizer = (folder / TOKENIZER_FILE).read_bytes()
    except OSError as error:
        message = f"The text encoder in {folder} cannot be read ({error}). "
        raise BundleError(message + _REMEDY) from error
    if (found := encoder_digest(encoder, tokenizer)) != digest:
        raise BundleError(
            f"The text encoder in {folder} has digest {found[:12]}, its {MANIFEST_FILE} "
            f"says {digest[:12]}: a file is damaged. {_REMEDY}"
        )
    return encoder, tokenizer


def _read_cache(encoder: str, texts: Sequence[str], dim: int) -> dict[str, _Array]:
    """Return the embeddings that the cache holds; none when it cannot be read."""
    found: dict[str, _Array] = {}

    def read(connection: sqlite3.Connection) -> None:
        for start in range(0, len(texts), _QUERY_TEXTS):
            some = texts[start : start + _QUERY_TEXTS]
            marks = ", ".join("?" * len(some))
            query = (
                f"SELECT text, vector FROM {_CACHE_TABLE} WHERE encoder = ? AND text IN ({marks})"
            )
            for text, vector in connection.execute(query, (encoder, *some)):
                # a blob of another length is not this encoder's, whoever wrote it
                if isinstance(vector, bytes) and len(vector) == 4 * dim:
                    found[text] = np.frombuffer(vector, "<f4")

    _use_cache(read)
    return found


def _write_cache(encoder: str, vectors: Mapping[str, _Array]) -> None:
    """Add embeddings in one short transaction; a cache that refuses them stays as it was."""
    rows = [(encoder, text, row.astype("<f4").tobytes()) for text, row in vectors.items()]

    def write(connection: sqlite3.Connection) -> None:
        connection.executemany(f"INSERT OR REPLACE INTO {_CACHE_TABLE} VALUES (?, ?, ?)", rows)

    _use_cache(write)


def _use_cache(action: Callable[[sqlite3.Connection], None]) -> None:
    """Run an action on the cache; whatever goes wrong ends the action and nothing else.

    A file that is no database any more is removed, so that the next write makes a new one. Other
    troubles (locked, read-only, full disk, another table of that name) leave it alone.
    """
    try:
        path = cache_folder() / _CACHE_FILE
        path.parent.mkdir(parents=True, exist_ok=True)
    except (EdgesplitError, OSError):
        return
    try:
        with closing(sqlite3.connect(path, timeout=_LOCK_TIMEOUT_S)) as connection, connection:
            connection.execute(_CREATE)
            action(connection)
    except sqlite3.Error as error:
        # sqlite3 raises this base class itself, none of its heirs, for a damaged file only
        if type(error) is sqlite3.DatabaseError:
            with suppress(OSError):
                path.unlink()
                path.with_name(f"{path.name}-journal").unlink()
