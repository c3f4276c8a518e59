"""Embed label texts as unit vectors, with a packaged sentence encoder and a cache.

    texts -> normalize_text -> cache (SQLite, per user) -> ONNX Runtime, for missing texts only

An encoder is a folder of three files: encoder.onnx, tokenizer.json, and encoder.json, which holds
their digest. So if the cache holds every text, neither the model nor ONNX Runtime is loaded.
"""

from __future__ import annotations

import hashlib
import sqlite3
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgesplit._data import check_digest, load_json
from edgesplit._types import Float32, Int64
from edgesplit.backbone.session import open_session
from edgesplit.edits.tokenizer import encode, open_tokenizer
from edgesplit.errors import BundleError, CacheError, LabelError
from edgesplit.limits import BUNDLE_JSON_BYTES, TEXT_ENCODER_BYTES, TOKENIZER_BYTES
from edgesplit.storage.files import read_regular
from edgesplit.storage.user_cache import cache_path, find_cached, make_cache, warn_of_cache

if TYPE_CHECKING:
    import onnxruntime
    from tokenizers import Tokenizer

__all__ = [
    "TextEncoder",
    "encoder_digest",
    "is_embedding",
    "normalize_text",
    "packaged_encoder",
]

ENCODER_FILE, TOKENIZER_FILE, MANIFEST_FILE = "encoder.onnx", "tokenizer.json", "encoder.json"

_REMEDY = "Remove the folder and make it again with `edgesplit encoder`, or reinstall edgesplit."

_GRID_BITS = 16
"""Embeddings are multiples of 2**-16. The encoder computes in float64, where ONNX Runtime versions,
CPUs and batches differ by 1e-15. That moves one number in ten billion to another multiple. The grid
is exact in float32, and a hundred times finer than the error of int8 weights."""

_BATCH_TOKENS = 128
"""Tokens of a batch. With so many, arithmetic costs more than reading 85 MB of weights: five times
faster than one text at a time. Larger batches are not faster, and use more memory."""

_PADDING_TOKENS = 24
"""Padding that costs as much as another run, which reads all weights again. A split embeds about
thirty words and labels of three to eight tokens in one or two runs instead of five."""

_LENGTH_TOLERANCE = 1e-4

_CACHE_FILE = "embeddings.sqlite"
_CACHE_TABLE = f"checked_embeddings_{_GRID_BITS}"  # embeddings of another grid are not read
_OLD_TABLE = f"embeddings_{_GRID_BITS}"  # it had no digests; dropped to reuse its space
_QUERY_TEXTS = 500  # SQLite's limit of parameters is at least 999
_LOCK_TIMEOUT_S = 2.0  # a write takes milliseconds; a process that holds the lock longer is stuck
_CREATE = f"""CREATE TABLE IF NOT EXISTS {_CACHE_TABLE}
    (encoder TEXT, text TEXT, vector BLOB, digest BLOB, PRIMARY KEY (encoder, text))
    WITHOUT ROWID"""


@lru_cache(maxsize=1)
def packaged_encoder() -> TextEncoder:
    """Return the encoder that ships with edgesplit (all-MiniLM-L6-v2, int8 weights)."""
    return TextEncoder.open(Path(__file__).parents[1] / "assets" / "text")


def encoder_digest(encoder: bytes, tokenizer: bytes) -> str:
    """Return the identity of an encoder: sha256 over encoder.onnx, then tokenizer.json."""
    return hashlib.sha256(encoder + tokenizer).hexdigest()


def normalize_text(text: str) -> str:
    """Return the text in Unicode NFC with single spaces, so that equal texts get equal vectors.

    Raises:
        LabelError: the text is empty or not valid Unicode.
    """
    normal = " ".join(unicodedata.normalize("NFC", text).split())
    if not normal:
        raise LabelError(f"The text {text!r} is empty. A label needs at least one word.")
    try:
        normal.encode()
    except UnicodeEncodeError as error:
        raise LabelError(f"{text!r} is not valid Unicode. Give labels as UTF-8.") from error
    return normal


class TextEncoder:
    """A sentence encoder whose embeddings depend on the text only.

    An embedding has the same bits alone, in any batch, from the cache, with another ONNX Runtime
    and on another CPU: they differ only in the last bits of float64, which are rounded away.
    Otherwise a near tie between two sources could be decided differently on workstation and device.

    Several threads may use an encoder at once.

    Attributes:
        digest: identity of the encoder; embeddings of different digests must not be mixed.
        dim: number of values in an embedding.
        max_tokens: maximum word pieces of a text, including the two special tokens.
    """

    def __init__(self, folder: Path, *, digest: str, dim: int, max_tokens: int) -> None:
        self.folder, self.digest, self.dim, self.max_tokens = folder, digest, dim, max_tokens
        self._known: Mapping[str, Float32] = {}
        self._loaded_by: TextEncoder | None = None

    @classmethod
    def open(cls, folder: Path) -> TextEncoder:
        """Read encoder.json in `folder`; the model itself is read when it is first needed.

        Raises:
            BundleError: encoder.json is missing or damaged.
        """
        path = folder / MANIFEST_FILE
        try:
            manifest = load_json(_read_file(path, BUNDLE_JSON_BYTES))
            digest, dim, limit = (manifest[key] for key in ("digest", "dim", "max_tokens"))
            return cls(folder, digest=check_digest(digest), dim=int(dim), max_tokens=int(limit))
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            message = f"{path} does not describe a text encoder ({error!r}). "
            raise BundleError(message + _REMEDY) from error

    def knowing(self, embeddings: Mapping[str, Float32]) -> TextEncoder:
        """Return the same encoder with given embeddings, which it does not compute again.

        Args:
            embeddings: results of `compute`, by text as `normalize_text` returns it.
        """
        encoder = TextEncoder(
            self.folder, digest=self.digest, dim=self.dim, max_tokens=self.max_tokens
        )
        encoder._known, encoder._loaded_by = embeddings, self
        return encoder

    def encode(self, texts: Sequence[str]) -> Float32:
        """Return the embeddings of the texts: given, cached or computed ones.

        A cache that cannot be read or written is ignored; it never fails a call. A damaged cached
        embedding is computed again.

        Returns:
            `(len(texts), dim)` float32, rows of length 1 (to 1e-4), a new array.

        Raises:
            LabelError: a text is empty or longer than `max_tokens`.
            BundleError: the encoder's files do not match their digest, or it gives vectors that are
                not finite or not of length 1.
            MissingExtraError: a text is not in the cache and ONNX Runtime is not installed.
        """
        normal = [normalize_text(text) for text in texts]
        unique = list(dict.fromkeys(normal))
        known = {text: self._known[text] for text in unique if text in self._known}
        others = [text for text in unique if text not in known]
        known |= _read_cache(self.digest, others, self.dim)
        if missing := [text for text in unique if text not in known]:
            fresh = dict(zip(missing, self.compute(missing), strict=True))
            _write_cache(self.digest, fresh)
            known |= fresh
        rows = [known[text] for text in normal]
        return np.array(rows, np.float32).reshape(len(rows), self.dim)

    def compute(self, texts: Sequence[str]) -> Float32:
        """Return the same result as `encode`, without using the cache."""
        ids = [self._tokenize(normalize_text(text)) for text in texts]
        rows = np.empty((len(ids), self.dim))
        for batch in _batches([len(tokens) for tokens in ids]):
            length = max(len(ids[index]) for index in batch)
            tokens, mask = np.zeros((2, len(batch), length), np.int64)
            for row, index in enumerate(batch):
                tokens[row, : len(ids[index])] = ids[index]
                mask[row, : len(ids[index])] = 1
            feeds = {"input_ids": tokens, "attention_mask": mask}
            rows[batch] = self._run(feeds)
        with np.errstate(over="ignore"):  # infinity is refused below
            steps = np.rint(np.ldexp(rows, _GRID_BITS)) + 0.0  # -0.0 becomes 0.0: one byte for zero
            embeddings = np.ldexp(steps, -_GRID_BITS).astype(np.float32)
        for text, embedding in zip(texts, embeddings, strict=True):
            if not is_embedding(embedding):
                raise BundleError(
                    f"The text encoder in {self.folder} does not give a finite vector of length 1 "
                    f"for {text[:60]!r}. {_REMEDY}"
                )
        return embeddings

    def _run(self, feeds: dict[str, Int64]) -> Float32:
        try:
            found: Float32 = self._model[1].run(["embedding"], feeds)[0]
            return found.reshape(len(feeds["input_ids"]), self.dim)
        except Exception as error:  # ONNX Runtime's exceptions have no common base class
            reason = " ".join(str(error).split())
            raise BundleError(
                f"The text encoder in {self.folder} failed: {reason}. {_REMEDY}"
            ) from error

    def has_word(self, word: str) -> bool:
        """Return True if this word is one token, as common words are; loads the model."""
        token: int | None = self._model[0].token_to_id(word)
        return token is not None

    def check(self) -> None:
        """Read the files again and compare them with encoder.json.

        Raises:
            BundleError: a file is missing or damaged.
            BackendError: ONNX Runtime refuses the model.
            MissingExtraError: ONNX Runtime is not installed.
        """
        self._load()
        self.compute(["left"])

    def _tokenize(self, text: str) -> list[int]:
        encoding = encode(self._model[0], text)
        if all(encoding.special_tokens_mask):
            raise LabelError(
                f"The text encoder can read nothing of {text!r}. Use letters or digits."
            )
        if len(encoding.ids) > self.max_tokens:
            raise LabelError(
                f"The label {text[:60]!r}… has {len(encoding.ids)} word pieces; the text encoder "
                f"reads at most {self.max_tokens}. Shorten the label."
            )
        return list(encoding.ids)

    @cached_property
    def _model(self) -> tuple[Tokenizer, onnxruntime.InferenceSession]:
        """Tokenizer and session; if two threads make them at once, either pair is valid."""
        return self._load() if self._loaded_by is None else self._loaded_by._model

    def _load(self) -> tuple[Tokenizer, onnxruntime.InferenceSession]:
        encoder, tokenizer = _read_files(self.folder, self.digest)
        session = open_session(encoder, threads=1)
        shape = session.get_outputs()[0].shape
        dim = shape[-1] if shape else 0
        if dim != self.dim:
            raise BundleError(
                f"The text encoder in {self.folder} gives {dim} values, but its {MANIFEST_FILE} "
                f"names {self.dim}. {_REMEDY}"
            )
        try:
            return open_tokenizer(tokenizer), session
        except ValueError as error:
            raise BundleError(
                f"{self.folder / TOKENIZER_FILE} cannot be used: {error}. {_REMEDY}"
            ) from error


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yield indices of texts with similar numbers of tokens, to keep padding small."""
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
    """Return the bytes of encoder and tokenizer, checked against the digest."""
    encoder = _read_file(folder / ENCODER_FILE, TEXT_ENCODER_BYTES)
    tokenizer = _read_file(folder / TOKENIZER_FILE, TOKENIZER_BYTES)
    if (found := encoder_digest(encoder, tokenizer)) != digest:
        raise BundleError(
            f"The text encoder in {folder} has digest {found[:12]}, but its {MANIFEST_FILE} "
            f"names {digest[:12]}: a file is damaged. {_REMEDY}"
        )
    return encoder, tokenizer


def _read_file(path: Path, limit: int) -> bytes:
    try:
        return read_regular(path, limit, follow_link=True)
    except BundleError as error:
        raise BundleError(f"The text encoder cannot be read: {error} {_REMEDY}") from error


def is_embedding(vector: Float32) -> bool:
    """Return True if a vector is finite, of length 1, and on the grid."""
    length = float(np.linalg.norm(vector.astype(np.float64)))
    if not abs(length - 1) <= _LENGTH_TOLERANCE:  # NaN and infinity give no finite length
        return False
    steps = np.ldexp(vector, _GRID_BITS)
    return bool((steps == np.rint(steps)).all())


def _row_digest(encoder: str, text: str, vector: bytes) -> bytes:
    """Return the sha256 of a row of the cache, since SQLite does not detect flipped bits."""
    return hashlib.sha256(f"{encoder}\0{text}\0".encode() + vector).digest()


def _read_cache(encoder: str, texts: Sequence[str], dim: int) -> dict[str, Float32]:
    """Return the undamaged embeddings in the cache; none if the cache cannot be read."""
    found: dict[str, Float32] = {}

    def read(connection: sqlite3.Connection) -> None:
        for start in range(0, len(texts), _QUERY_TEXTS):
            chunk = texts[start : start + _QUERY_TEXTS]
            marks = ", ".join("?" * len(chunk))
            query = (
                f"SELECT text, vector, digest FROM {_CACHE_TABLE} "
                f"WHERE encoder = ? AND text IN ({marks})"
            )
            for text, blob, digest in connection.execute(query, (encoder, *chunk)):
                # a blob of another length cannot be from this encoder
                if not isinstance(blob, bytes) or len(blob) != 4 * dim:
                    continue
                vector = np.frombuffer(blob, "<f4")
                if digest == _row_digest(encoder, text, blob) and is_embedding(vector):
                    found[text] = vector

    path = find_cached(_CACHE_FILE)
    if path is not None and path.exists():  # connecting would create an empty file
        _use_cache(path, read)
    return found


def _write_cache(encoder: str, vectors: Mapping[str, Float32]) -> None:
    """Add embeddings in one short transaction; if that fails, the cache does not change."""
    blobs = {text: row.astype("<f4").tobytes() for text, row in vectors.items()}
    rows = [(encoder, text, blob, _row_digest(encoder, text, blob)) for text, blob in blobs.items()]

    def write(connection: sqlite3.Connection) -> None:
        connection.execute(f"DROP TABLE IF EXISTS {_OLD_TABLE}")
        connection.execute(_CREATE)
        connection.executemany(f"INSERT OR REPLACE INTO {_CACHE_TABLE} VALUES (?, ?, ?, ?)", rows)

    try:
        make_cache()
        path = cache_path(_CACHE_FILE)
    except CacheError as error:
        warn_of_cache(error)
        return
    _use_cache(path, write)


def _use_cache(path: Path, action: Callable[[sqlite3.Connection], None]) -> None:
    """Run an action on the cache; an SQLite error ends the action and is ignored.

    A file that is not a database any more is removed, so that the next write makes a new one. It is
    kept after any other error (locked, read-only, full disk, another table of that name).
    """
    try:
        with closing(sqlite3.connect(path, timeout=_LOCK_TIMEOUT_S)) as connection, connection:
            action(connection)
    except sqlite3.Error as error:
        # sqlite3 raises this class itself, not a subclass, only for a damaged file
        if type(error) is sqlite3.DatabaseError:
            with suppress(OSError):
                path.unlink()
                path.with_name(f"{path.name}-journal").unlink()
