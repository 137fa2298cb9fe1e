"""Names of uploaded files stay whole and apart, so that a mask still finds its image."""

from annotator.web.uploads import MAX_NAME, safe_parts


def test_the_longest_names_stay_apart_and_a_mask_stays_like_its_image() -> None:
    long = ["ü" * 150 + end for end in ("1.png", "1.nii.gz", "2.png")]
    (first,), (mask,), (second,) = (safe_parts(name) for name in long)
    assert first != second and first.removesuffix(".png") == mask.removesuffix(".nii.gz")


def test_names_as_long_as_a_file_system_takes_come_through_whole() -> None:
    name = "slide_" * 38 + "001.png"
    assert len(name) > 230 and len(name) <= MAX_NAME and safe_parts(name) == [name]
