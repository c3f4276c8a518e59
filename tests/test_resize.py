"""Pictures in another size, against the definition, worked by hand and by Pillow."""

import numpy as np
import numpy.typing as npt
import pytest

from edgesplit.resize import resize_picture

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
    made = resize_picture(picture, 1, 2, rows=WHOLE, columns=WHOLE, antialias=False)
    np.testing.assert_array_equal(made[0, :, 0], [80, 8])  # the centres, 1 and 4, and no other


@pytest.mark.torch
@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize(("shape", "size"), [((240, 320), (224, 298)), ((101, 177), (224, 392))])
def test_pixels_are_within_one_level_of_torchs(
    shape: tuple[int, int], size: tuple[int, int], antialias: bool
) -> None:
    torch = pytest.importorskip("torch")
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    batch = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
    theirs = torch.nn.functional.interpolate(
        batch, size, mode="bilinear", align_corners=False, antialias=antialias
    )
    ours = resize_picture(picture, *size, rows=WHOLE, columns=WHOLE, antialias=antialias)
    difference = np.abs(ours - theirs[0].permute(1, 2, 0).numpy())
    assert difference.max() <= 1.01  # half a level of rounding for either axis
    assert difference.mean() < 0.4


@pytest.mark.parametrize("shape", [(48, 64), (64, 48), (5, 7), (300, 20), (1, 1)])
def test_a_part_is_that_part_of_the_whole(shape: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    rows, columns = slice(3, 19), slice(5, 12)
    part = resize_picture(picture, 24, 31, rows=rows, columns=columns)
    np.testing.assert_array_equal(part, resize(picture, 24, 31)[rows, columns])


@pytest.mark.parametrize("n", [1, 2, 3, 7, 100, 1080, 4000])
def test_white_stays_white(n: int) -> None:
    """Weights are rounded; what they add up to must not leave the byte."""
    white = np.full((n, 3, 3), 255, np.uint8)
    for n_made in (1, 2, 5, 64, 224):
        assert (resize(white, n_made, 3) == 255).all()


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((240, 320), (224, 298)),
        ((320, 240), (298, 224)),
        ((101, 177), (224, 392)),
        ((9, 8), (3, 5)),
    ],
)
def test_pixels_are_within_one_level_of_pillows(
    shape: tuple[int, int], size: tuple[int, int]
) -> None:
    image = pytest.importorskip("PIL.Image")
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    theirs = np.asarray(image.fromarray(picture).resize(size[::-1], image.Resampling.BILINEAR))
    difference = np.abs(resize(picture, *size).astype(int) - theirs)
    assert difference.max() <= 1
    # Ties and the order of the axes, which Pillow chooses by the shape.
    assert difference.mean() < 0.3
