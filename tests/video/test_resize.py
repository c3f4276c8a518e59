"""Pictures in another size, against the definition, worked by hand and by Pillow."""

import numpy as np
import numpy.typing as npt
import pytest

from edgesplit.video.resize import RESAMPLINGS, resize_picture

Bytes = npt.NDArray[np.uint8]
WHOLE = slice(None)


def resize(picture: Bytes, height: int, width: int) -> Bytes:
    return resize_picture(picture, height, width, rows=WHOLE, columns=WHOLE)


def line(*levels: int) -> Bytes:
    return np.array(levels, np.uint8).reshape(1, -1, 1)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        # Twice as small: a triangle over four pixels, 1 3 3 1 of 8, less what is outside.
        (line(0, 80, 160, 240), [(3 * 0 + 3 * 80 + 160) / 7, (80 + 3 * 160 + 3 * 240) / 7]),
        (line(70, 70, 70), [70, 70]),
        # Twice as large: between neighbours, and the border goes on outside.
        (line(0, 100), [0, 25, 75, 100]),
        (line(9), [9, 9]),
        (line(3, 200, 77), [3, 200, 77]),
    ],
    ids=["down", "grey", "up", "one", "same"],
)
def test_a_line_is_resized_as_worked_by_hand(before: Bytes, after: list[float]) -> None:
    row = resize(before, 1, len(after))
    np.testing.assert_array_equal(row[0, :, 0], np.rint(after))
    column = resize(before.swapaxes(0, 1), len(after), 1)
    np.testing.assert_array_equal(column[:, 0, 0], np.rint(after))


def test_without_antialias_only_neighbours_count() -> None:
    picture = line(0, 80, 160, 240, 8, 16)
    made = resize_picture(picture, 1, 2, rows=WHOLE, columns=WHOLE, resampling="no-antialias")
    np.testing.assert_array_equal(made[0, :, 0], [80, 8])  # the centres, 1 and 4, and no other


@pytest.mark.torch
@pytest.mark.parametrize("resampling", RESAMPLINGS)
@pytest.mark.parametrize(("shape", "size"), [((240, 320), (224, 298)), ((101, 177), (224, 392))])
def test_pixels_are_within_one_level_of_torchs(
    shape: tuple[int, int], size: tuple[int, int], resampling: str
) -> None:
    torch = pytest.importorskip("torch")
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    batch = torch.from_numpy(picture).permute(2, 0, 1)[None]
    theirs = torch.nn.functional.interpolate(
        batch,
        size,
        mode="bicubic" if "bicubic" in resampling else "bilinear",
        align_corners=False,
        antialias=resampling != "no-antialias",
    )
    ours = resize_picture(picture, *size, rows=WHOLE, columns=WHOLE, resampling=resampling)
    difference = np.abs(ours.astype(int) - theirs[0].permute(1, 2, 0).numpy())
    assert difference.max() <= (2 if "bicubic" in resampling else 1)
    assert difference.mean() < 0.02


@pytest.mark.parametrize("shape", [(48, 64), (64, 48), (5, 7), (300, 20), (1, 1)])
def test_a_part_is_that_part_of_the_whole(shape: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    rows, columns = slice(3, 19), slice(5, 12)
    part = resize_picture(picture, 24, 31, rows=rows, columns=columns)
    np.testing.assert_array_equal(part, resize(picture, 24, 31)[rows, columns])


@pytest.mark.parametrize("resampling", RESAMPLINGS)
@pytest.mark.parametrize("n", [1, 2, 3, 7, 100, 1080, 4000])
def test_one_grey_stays_that_grey(n: int, resampling: str) -> None:
    """Weights are rounded; what they add up to must not be another byte."""
    for level in (1, 128, 255):
        grey = np.full((n, 3, 3), level, np.uint8)
        for n_made in (1, 2, 5, 64, 224):
            made = resize_picture(grey, n_made, 3, rows=WHOLE, columns=WHOLE, resampling=resampling)
            assert (made == level).all()


def test_a_cubic_does_not_leave_the_byte() -> None:
    edge = line(0, 0, 0, 255, 255, 255)
    made = resize_picture(edge, 1, 24, rows=WHOLE, columns=WHOLE, resampling="antialias-bicubic")[
        0, :, 0
    ]
    assert (np.diff(made.astype(int)) >= 0).all()  # nothing wrapped around
    assert (made[0], made[-1]) == (0, 255)


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((240, 320), (224, 298)),
        ((320, 240), (298, 224)),
        ((101, 177), (224, 392)),
        ((9, 8), (3, 5)),
    ],
)
@pytest.mark.parametrize(
    ("resampling", "filter_"), [("antialias", "BILINEAR"), ("antialias-bicubic", "BICUBIC")]
)
def test_pixels_are_within_a_level_of_pillows(
    shape: tuple[int, int], size: tuple[int, int], resampling: str, filter_: str
) -> None:
    image = pytest.importorskip("PIL.Image")
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    made = image.fromarray(picture).resize(size[::-1], image.Resampling[filter_])
    ours = resize_picture(picture, *size, rows=WHOLE, columns=WHOLE, resampling=resampling)
    difference = np.abs(ours.astype(int) - np.asarray(made))
    assert difference.max() <= (2 if filter_ == "BICUBIC" else 1)
    # Ties and the order of the axes, which Pillow chooses by the shape.
    assert difference.mean() < 0.3
