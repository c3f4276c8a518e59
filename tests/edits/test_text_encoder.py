"""The text encoder and its cache: one text, one vector, whatever else happens."""

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from edgesplit.edits.text_encoder import TextEncoder, _write_cache, normalize_text, packaged_encoder
from edgesplit.errors import BundleError, EdgesplitError, LabelError
from edgesplit.storage.user_cache import cache_folder

HERE = Path(__file__).parents[1]
PACKAGED = packaged_encoder().folder
MODIFIERS = json.loads((HERE / "data" / "text" / "modifiers.json").read_text())
IMPORT_ENCODER = "from edgesplit.edits.text_encoder import packaged_encoder"
TEXTS = sorted({text for case in MODIFIERS for text in case["wanted"] + case["known"]})
TABLE = "checked_embeddings_16"
"""The cache's table; named after the grid, so that another grid's embeddings are not read."""

Array = npt.NDArray[np.float32]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own; returns its file, which does not exist yet."""
    monkeypatch.setenv("EDGESPLIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "embeddings.sqlite"


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return TextEncoder.open(PACKAGED)


@pytest.fixture(scope="module")
def computed(encoder: TextEncoder) -> Array:
    return encoder.compute(TEXTS)


def unavailable_encoder() -> TextEncoder:
    """The packaged encoder without its model: whatever it answers came from the cache."""
    known = TextEncoder.open(PACKAGED)
    return TextEncoder(Path("/nowhere"), digest=known.digest, dim=known.dim, max_tokens=128)


def run_python(code: str) -> str:
    """Run code in a fresh interpreter with this test's environment and return what it prints."""
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout


# What an embedding is


def test_packaged_files_match_their_manifest() -> None:
    files = (PACKAGED / "encoder.onnx").read_bytes() + (PACKAGED / "tokenizer.json").read_bytes()
    assert packaged_encoder().digest == hashlib.sha256(files).hexdigest()
    assert (packaged_encoder().dim, packaged_encoder().max_tokens) == (384, 128)


def test_packaged_model_loads_in_old_onnx_runtimes() -> None:
    model = onnx.load(PACKAGED / "encoder.onnx")
    assert model.ir_version == 8
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 17)]


def test_embedding_is_a_unit_vector(encoder: TextEncoder, computed: Array) -> None:
    assert computed.shape == (len(TEXTS), encoder.dim)
    assert computed.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(computed, axis=1), 1, atol=1e-4)


def test_embedding_is_on_its_grid(computed: Array) -> None:
    steps = computed.astype(np.float64) * 2**16
    np.testing.assert_array_equal(steps, np.rint(steps))
    assert not np.signbit(computed[computed == 0]).any()  # -0.0 has other bytes than 0.0


@pytest.mark.parametrize("seed", range(3))
def test_embedding_is_bit_equal_alone_and_in_any_batch(
    encoder: TextEncoder, computed: Array, seed: int
) -> None:
    order = np.random.default_rng(seed).permutation(len(TEXTS))[: 1 + 7 * seed]
    batch = encoder.compute([TEXTS[index] for index in order])
    np.testing.assert_array_equal(batch, computed[order])


def test_texts_of_other_lengths_share_a_run_while_little_is_padded(
    encoder: TextEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer, session = encoder._model
    shapes = []

    class Counting:
        def run(self, names: list[str], feeds: dict[str, Array]) -> Any:
            shapes.append(feeds["input_ids"].shape)
            return session.run(names, feeds)

    monkeypatch.setitem(encoder.__dict__, "_model", (tokenizer, Counting()))
    long = " ".join(["up"] * 58)
    texts = ["left", long, "pushing something left", "pushing something to the right", "right"]
    rows = encoder.compute(texts)
    assert shapes == [(4, 7), (1, 60)]
    for text, row in zip(texts, rows, strict=True):
        np.testing.assert_array_equal(encoder.compute([text])[0], row)


def test_embedding_is_bit_equal_in_parallel_threads(encoder: TextEncoder, computed: Array) -> None:
    with ThreadPoolExecutor(4) as pool:
        rows = list(pool.map(lambda text: encoder.compute([text])[0], TEXTS[:24]))
    np.testing.assert_array_equal(np.stack(rows), computed[:24])


@pytest.mark.parametrize("spelling", [" from left  to\tright\n", "from left to right"])
def test_spacing_does_not_matter(encoder: TextEncoder, spelling: str) -> None:
    np.testing.assert_array_equal(
        encoder.encode([spelling]), encoder.compute(["from left to right"])
    )


def test_accents_are_composed() -> None:
    assert normalize_text("cafe\u0301") == "caf\u00e9"


def test_repeated_texts_share_one_vector(encoder: TextEncoder) -> None:
    rows = encoder.encode(["left", "right", "left"])
    np.testing.assert_array_equal(rows[0], rows[2])
    assert encoder.encode([]).shape == (0, 384)


@pytest.mark.parametrize("text", ["", " \n", "\u200b"], ids=["empty", "blank", "invisible"])
def test_text_without_words_is_refused(encoder: TextEncoder, text: str) -> None:
    with pytest.raises(LabelError, match=r"is empty|can read nothing"):
        encoder.encode(["left", text])


def test_text_in_another_encoding_is_refused(encoder: TextEncoder) -> None:
    with pytest.raises(LabelError, match="UTF-8"):
        encoder.encode(["l\udce9ft"])


def test_too_long_a_text_is_refused(encoder: TextEncoder) -> None:
    assert encoder.compute(["up " * 126]).shape == (1, 384)  # and two special tokens: 128
    with pytest.raises(LabelError, match="has 129 word pieces; the text encoder reads at most 128"):
        encoder.encode(["up " * 127])


# Fidelity to the original model, which is float32


@pytest.fixture(scope="module")
def reference() -> dict[str, Array]:
    with np.load(HERE / "data" / "text" / "reference.npz") as file:
        return dict(zip(file["texts"].tolist(), file["embeddings"], strict=True))


def centred_similarities(wanted: Array, known: Array) -> Array:
    """Cosines between modifiers, each taken relative to the mean of its siblings."""
    first, second = (rows - rows.mean(axis=0) for rows in (wanted, known))
    norms = np.linalg.norm(first, axis=1)[:, None] * np.linalg.norm(second, axis=1)
    similarities: Array = first @ second.T / norms
    return similarities


@pytest.mark.parametrize("case", MODIFIERS, ids=lambda case: "/".join(case["wanted"]))
def test_chosen_source_is_that_of_the_float32_encoder(
    case: dict[str, list[str]], computed: Array, reference: dict[str, Array]
) -> None:
    shipped = dict(zip(TEXTS, computed, strict=True))

    def similarities(vectors: dict[str, Array]) -> Array:
        def rows(texts: Sequence[str]) -> Array:
            return np.stack([vectors[text] for text in texts])

        return centred_similarities(rows(case["wanted"]), rows(case["known"]))

    found, wanted = similarities(shipped), similarities(reference)
    np.testing.assert_array_equal(found.argmax(axis=1), wanted.argmax(axis=1))
    # 0.0146 is the largest seen; int8 rounding must stay far below the margins rules ask for
    assert np.abs(found - wanted).max() < 0.03


def test_int8_weights_keep_the_embeddings(computed: Array, reference: dict[str, Array]) -> None:
    wanted = np.stack([reference[text] for text in TEXTS])
    assert (computed * wanted).sum(axis=1).min() > 0.996


# The cache


def test_cached_equals_computed_bit_for_bit(encoder: TextEncoder, computed: Array) -> None:
    np.testing.assert_array_equal(encoder.encode(TEXTS), computed)
    np.testing.assert_array_equal(unavailable_encoder().encode(TEXTS[::-1]), computed[::-1])


def test_cache_is_shared_by_processes(encoder: TextEncoder) -> None:
    texts = TEXTS[:4]
    run_python(f"{IMPORT_ENCODER}; packaged_encoder().encode({texts})")
    np.testing.assert_array_equal(unavailable_encoder().encode(texts), encoder.compute(texts))


def test_processes_write_at_the_same_time(encoder: TextEncoder) -> None:
    code = (
        "import numpy as np, edgesplit.edits.text_encoder as t, sys\n"
        "for i in range(50):\n"
        "    t._write_cache('d', {f'{sys.argv[1]} {i}': np.full(3, i, np.float32)})\n"
    )
    command = [sys.executable, "-c", code]
    writers = [subprocess.Popen([*command, str(n)]) for n in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    with sqlite3.connect(cache_folder() / "embeddings.sqlite") as connection:
        (rows,) = connection.execute(f"SELECT count(*) FROM {TABLE}").fetchone()
    connection.close()
    assert rows == 150


def test_hits_import_nothing_heavy(encoder: TextEncoder) -> None:
    encoder.encode(TEXTS[:4])
    print_heavy = (
        "import sys\n"
        "from edgesplit.edits.text_encoder import packaged_encoder\n"
        f"packaged_encoder().encode({TEXTS[:4]})\n"
        "print([n for n in ('onnxruntime', 'onnx', 'tokenizers', 'torch') if n in sys.modules])"
    )
    assert run_python(print_heavy).strip() == "[]"


def test_misses_need_no_torch() -> None:
    run_python(
        "import sys; sys.modules.update(torch=None, transformers=None, onnx=None)\n"
        f"{IMPORT_ENCODER}; packaged_encoder().encode(['left'])"
    )


def test_other_encoders_vectors_are_not_used(encoder: TextEncoder, cache: Path) -> None:
    encoder.encode(["left"])
    with sqlite3.connect(cache) as connection:
        connection.execute(f"UPDATE {TABLE} SET encoder = 'another'")
    connection.close()
    with pytest.raises(BundleError):
        unavailable_encoder().encode(["left"])


@pytest.mark.parametrize("value", [b"short", "text", None], ids=["short", "text", "null"])
def test_a_vector_of_wrong_shape_is_replaced(
    encoder: TextEncoder, cache: Path, value: object
) -> None:
    wanted = encoder.encode(["left"])
    with sqlite3.connect(cache) as connection:
        connection.execute(f"UPDATE {TABLE} SET vector = ?", (value,))
    connection.close()
    np.testing.assert_array_equal(encoder.encode(["left"]), wanted)
    np.testing.assert_array_equal(unavailable_encoder().encode(["left"]), wanted)


def flip_bit(cache: Path, column: str, bit: int) -> None:
    """Flips one bit of what the cache's only row holds in a column."""
    with sqlite3.connect(cache) as connection:
        (content,) = connection.execute(f"SELECT {column} FROM {TABLE}").fetchone()
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        connection.execute(f"UPDATE {TABLE} SET {column} = ?", (bytes(flipped),))
    connection.close()


def test_every_flipped_bit_of_a_vector_is_noticed(encoder: TextEncoder, cache: Path) -> None:
    wanted = encoder.encode(["left"])
    content = cache.read_bytes()
    bits = np.random.default_rng(0).choice(32 * encoder.dim, 60, replace=False)
    for bit in map(int, bits):
        flip_bit(cache, "vector", bit)
        with pytest.raises(BundleError):  # it asks the encoder, which is not there
            unavailable_encoder().encode(["left"])
        cache.write_bytes(content)
    flip_bit(cache, "vector", 0)
    np.testing.assert_array_equal(encoder.encode(["left"]), wanted)  # and mends the row
    np.testing.assert_array_equal(unavailable_encoder().encode(["left"]), wanted)


def test_a_vector_without_its_own_digest_is_not_read(encoder: TextEncoder, cache: Path) -> None:
    encoder.encode(["left"])
    flip_bit(cache, "digest", 0)
    with pytest.raises(BundleError):
        unavailable_encoder().encode(["left"])
    encoder.encode(["left", "right"])
    with sqlite3.connect(cache) as connection:  # exchanged, as somebody might who can write
        connection.execute(
            f"UPDATE {TABLE} SET (vector, digest) = (SELECT vector, digest FROM {TABLE} other "
            f"WHERE other.text != {TABLE}.text)"
        )
    connection.close()
    with pytest.raises(BundleError):
        unavailable_encoder().encode(["left"])


@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38, 0.0, 1e-9])
def test_a_vector_that_is_no_embedding_is_not_read(
    encoder: TextEncoder, cache: Path, value: float
) -> None:
    vector = encoder.encode(["left"])[0]
    vector[vector.argmax()] = value
    _write_cache(encoder.digest, {"left": vector})  # with its right digest
    with pytest.raises(BundleError):
        unavailable_encoder().encode(["left"])


def test_a_table_without_digests_is_dropped(encoder: TextEncoder, cache: Path) -> None:
    cache.parent.mkdir(mode=0o700)
    with sqlite3.connect(cache) as connection:
        connection.execute("CREATE TABLE embeddings_16 (encoder TEXT, text TEXT, vector BLOB)")
    connection.close()
    encoder.encode(["left"])
    with sqlite3.connect(cache) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master").fetchall()
    connection.close()
    assert tables == [(TABLE,)]


def test_a_corrupt_cache_is_replaced(encoder: TextEncoder, cache: Path) -> None:
    cache.parent.mkdir(mode=0o700)
    cache.write_bytes(b"no database at all " * 100)
    wanted = encoder.encode(["left"])
    np.testing.assert_array_equal(encoder.encode(["left"]), wanted)  # written into a new file
    np.testing.assert_array_equal(unavailable_encoder().encode(["left"]), wanted)


def test_a_cache_with_damaged_pages_is_replaced(encoder: TextEncoder, cache: Path) -> None:
    texts = TEXTS[:16]  # several pages
    wanted = encoder.encode(texts)
    content = bytearray(cache.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)  # the header page stays whole
    cache.write_bytes(content)
    for _ in range(2):
        np.testing.assert_array_equal(encoder.encode(texts), wanted)
    np.testing.assert_array_equal(unavailable_encoder().encode(texts), wanted)


def test_a_foreign_table_is_left_alone(encoder: TextEncoder, cache: Path) -> None:
    cache.parent.mkdir(mode=0o700)
    with sqlite3.connect(cache) as connection:
        connection.execute(f"CREATE TABLE {TABLE} (something TEXT)")
    connection.close()
    content = cache.read_bytes()
    encoder.encode(["left"])
    assert cache.read_bytes() == content


def test_a_locked_cache_is_done_without(
    encoder: TextEncoder, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = encoder.encode(["left"])
    monkeypatch.setattr("edgesplit.edits.text_encoder._LOCK_TIMEOUT_S", 0.01)
    holder = sqlite3.connect(cache, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    np.testing.assert_array_equal(encoder.encode(["left"]), wanted)
    holder.close()
    np.testing.assert_array_equal(unavailable_encoder().encode(["left"]), wanted)


def test_a_folder_in_the_caches_place_is_done_without(encoder: TextEncoder, cache: Path) -> None:
    cache.parent.mkdir(mode=0o700)
    cache.mkdir()
    np.testing.assert_array_equal(encoder.encode(["left"]), encoder.compute(["left"]))


def test_a_file_in_the_folders_place_is_done_without(encoder: TextEncoder, cache: Path) -> None:
    cache.parent.touch()
    np.testing.assert_array_equal(encoder.encode(["left"]), encoder.compute(["left"]))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_cache_answers_and_stays_as_it_is(encoder: TextEncoder, cache: Path) -> None:
    encoder.encode(["left"])
    content = cache.read_bytes()
    cache.chmod(0o444)
    cache.parent.chmod(0o555)
    np.testing.assert_array_equal(encoder.encode(["up"]), encoder.compute(["up"]))
    np.testing.assert_array_equal(unavailable_encoder().encode(["left"]), encoder.compute(["left"]))
    assert cache.read_bytes() == content
    cache.parent.chmod(0o755)


def test_a_full_cache_is_done_without(
    encoder: TextEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("sqlite3.connect", refuse)
    np.testing.assert_array_equal(encoder.encode(["left"]), encoder.compute(["left"]))


def test_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder() == Path(os.environ["EDGESPLIT_CACHE"])
    monkeypatch.delenv("EDGESPLIT_CACHE")
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/caches")
    assert cache_folder() == Path("/var/caches/edgesplit")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder() == Path("/home/someone/.cache/edgesplit")


def test_a_user_without_a_home_is_done_without_a_cache(
    encoder: TextEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("EDGESPLIT_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(EdgesplitError, match="Set EDGESPLIT_CACHE"):
        cache_folder()
    np.testing.assert_array_equal(encoder.encode(["left"]), encoder.compute(["left"]))


# Damaged encoders


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300, 0.5, 0.0])
def test_an_encoder_that_gives_no_unit_vectors_is_refused(
    encoder: TextEncoder, cache: Path, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    class Broken:
        def run(self, names: list[str], feeds: dict[str, Array]) -> list[Array]:
            return [np.full((len(feeds["input_ids"]), encoder.dim), value)]

    monkeypatch.setitem(encoder.__dict__, "_model", (encoder._model[0], Broken()))
    with pytest.raises(
        BundleError, match=r"encoder in .*text does not give a finite vector .* 'left'"
    ):
        encoder.encode(["left"])
    assert not cache.exists()


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        BundleError, match=r"text encoder cannot be read: .*encoder\.json: No such file"
    ):
        TextEncoder.open(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"dim": 384}',
        '{"digest": "x", "dim": "wide"}',
        '{"digest": "x", "dim": 8, "max_tokens": 9}',
        f'{{"digest": "{"A" * 64}", "dim": 8, "max_tokens": 9}}',
    ],
)
def test_a_damaged_manifest_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "encoder.json").write_text(content)
    with pytest.raises(BundleError, match="does not describe a text encoder"):
        TextEncoder.open(tmp_path)


def test_a_damaged_encoder_is_refused_before_it_runs(tmp_path: Path) -> None:
    folder = shutil.copytree(PACKAGED, tmp_path / "text")
    with (folder / "tokenizer.json").open("a") as file:
        file.write(" ")
    with pytest.raises(BundleError, match="a file is damaged"):
        TextEncoder.open(folder).encode(["left"])


def test_a_manifest_with_another_size_is_refused(tmp_path: Path) -> None:
    folder = shutil.copytree(PACKAGED, tmp_path / "text")
    path = folder / "encoder.json"
    path.write_text(path.read_text().replace('"dim": 384', '"dim": 385'))
    for use in (lambda known: known.encode(["left"]), TextEncoder.check):
        with pytest.raises(BundleError, match=r"gives 384 values, but its encoder\.json names 385"):
            use(TextEncoder.open(folder))
