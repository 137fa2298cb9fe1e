"""The benchmark of tags: what it counts, and what its simulated person says."""

import numpy as np

from benchmarks.tags import ImagePiece, Scores, TagSet, _click, _objects, _project, _tag
from storage.tags import TagRow


def pieces() -> tuple[ImagePiece, ...]:
    """Four pictures of 24 x 32, every other one with two bright squares."""
    out = []
    for number in range(4):
        truth = np.zeros((1, 24, 32), np.uint8)
        if number % 2 == 0:
            truth[0, 4:10, 4:10] = truth[0, 14:20, 20:28] = 1
        out.append(ImagePiece(f"p{number}", (60 + 140 * truth).astype(np.uint8), truth))
    return tuple(out)


def test_dice_is_per_source_and_empty_against_empty_counts_nothing():
    scores, mask = Scores(), np.array([[True, True, False, False]])
    scores.add("a", 1, mask, np.array([[True, False, False, False]]))
    scores.add("a", 1, mask & False, np.array([[True, False, False, False]]))
    scores.add("b", 1, mask & False, mask & False)
    assert scores.mean == 2 * 1 / 4


def test_the_person_tags_the_truth_a_second_each_and_clicks_within_the_same_time(tmp_path):
    data = TagSet("squares", ("object",), pieces(), ())
    project = _project(tmp_path / "a", data, ("tags",), 1.0, 0)
    _tag(project, 1)
    tags: list[TagRow] = project.store.tags.of()
    assert [tag.present for tag in tags] == [True, False, True, False] and project.store.tags.seconds() == 4.0
    project.close()
    project = _project(tmp_path / "b", data, ("supervised",), 1.0, 0)
    spent, labelled = _click(project, 12.0, 1, seed=0)
    assert spent <= 12.0 and labelled == len(project.scheduler.rounds.labelled_images()) >= 1
    project.close()


def test_every_piece_of_a_class_is_an_object():
    assert [(value, int(mask.sum())) for value, mask in _objects(pieces()[0].truth[0])] == [(1, 36), (1, 48)]
