"""An organ that every labelled slice shows in one piece is proposed without pieces in far corners."""

from dataclasses import replace

import numpy as np
import pytest

from learners.prediction.predict import class_map
from learners.progress import classes_file
from learners.rounds.train import run
from learners.training.checkpoint import load_network, plan_of_card, read_card
from learners.training.data import ImageReader
from learners.training.plan import plan_of
from learners.training.single_pieces import SHARE, single_pieces
from learners.training.targets import Classes
from learners.training.tidying import ClassTidying, Tidying, tidied
from storage.arrays import UNLABELLED, open_npy
from tests.learners.test_learning import example, spec_of

pytestmark = pytest.mark.usefixtures("one_thread")
SHAPE = (12, 40, 44)
ORGAN = np.s_[3:9, 10:28, 12:30]
SLICES = ((0, 5), (1, 20))


def volume(folder, number: int, truth: np.ndarray, slices=SLICES, **more):
    """Slices known whole, and nothing else."""
    known = np.full(SHAPE, UNLABELLED, np.uint8)
    for axis, index in slices:
        at = tuple(index if k == axis else slice(None) for k in range(3))
        known[at] = truth[at]
    rng = np.random.default_rng(number)
    pixels = (80 + 90 * (truth == 1) + rng.normal(0, 12, SHAPE)).clip(0, 255).astype(np.uint8)
    return example(folder, number, pixels, known, slices=slices, **more)


def organ(*others) -> np.ndarray:
    truth = np.zeros(SHAPE, np.uint8)
    truth[ORGAN] = 1
    for box in others:
        truth[box] = 1
    return truth


def test_a_class_in_one_piece_on_every_whole_slice_is_one_piece(tmp_path):
    speck = np.s_[5:6, 2:4, 2:4]  # a slip of the hand
    assert single_pieces([volume(tmp_path, 1, organ(speck))], (1, 2)) == {1: ClassTidying(share=SHARE)}


@pytest.mark.parametrize(
    "change",
    [{"slices": SLICES[:1]}, {"all_held": True}, {"held": SLICES[1:]}],
    ids=["one slice tells too little", "held out", "one of two is held out"],
)
def test_what_labels_do_not_tell_is_not_assumed(tmp_path, change):
    assert single_pieces([replace(volume(tmp_path, 1, organ()), **change)], (1,)) == {}


def test_a_class_that_one_slice_shows_in_two_pieces_keeps_all_of_them(tmp_path):
    twin = np.s_[4:7, 30:38, 32:40]
    assert single_pieces([volume(tmp_path, 1, organ()), volume(tmp_path, 2, organ(twin))], (1,)) == {}


def test_a_whole_volume_shows_its_pieces_in_3d(tmp_path):
    """One horn of the organ is apart on the slices of its end, and joined below."""
    horned = organ(np.s_[9:11, 10:14, 12:30], np.s_[9:11, 22:28, 12:30])
    whole = example(tmp_path, 1, 90 * horned, horned, slices=tuple((0, i) for i in range(SHAPE[0])))
    assert single_pieces([whole], (1,)) == {1: ClassTidying(share=SHARE)}
    two = organ(np.s_[4:8, 32:38, 32:40])
    apart = example(tmp_path, 2, 90 * two, two, slices=((0, 5),))
    assert single_pieces([whole, apart], (1,)) == {}


def test_pictures_show_what_they_show(tmp_path):
    truth = organ()[5:6]
    picture = example(tmp_path, 2, truth * 90, truth, slices=((0, 0),))
    assert single_pieces([volume(tmp_path, 1, organ()), picture], (1,)) == {}


def test_far_smaller_pieces_are_left_out_and_what_is_as_large_stays():
    crumb, twin = np.s_[0:3, 0:4, 0:4], np.s_[3:9, 30:40, 12:30]
    single = Tidying({1: ClassTidying(share=SHARE)})
    assert (tidied(organ(crumb), single) == organ()).all()
    assert (tidied(organ(twin), single) == organ(twin)).all()
    assert Tidying.from_json(single.as_json()) == single


def test_a_model_proposes_one_piece_and_its_card_says_so(tmp_path):
    """The second volume has a bright corner that looks like the organ."""
    taught = volume(tmp_path, 1, organ())
    bright = volume(tmp_path, 2, organ(np.s_[0:4, 0:7, 0:7]), ())
    unknown = replace(bright, known=None)
    spec = replace(spec_of(tmp_path, [taught, unknown]), predict=(2,), steps=60)
    assert plan_of(spec).tidy == Tidying({1: ClassTidying(share=SHARE)})
    run(spec)
    proposed = open_npy(classes_file(spec.directory, 2)) == 1
    assert proposed[ORGAN].mean() > 0.7
    assert not proposed[:5, :8, :8].any()
    plan = plan_of_card(read_card(spec.directory), "cpu")
    assert plan.tidy == plan_of(spec).tidy
    case = ImageReader(unknown, Classes((1,)), 1)
    bare = class_map(load_network(spec.directory), case, replace(plan, tidy=None), Classes((1,)))
    assert bare[:4, :7, :7].any(), "the network itself takes the corner for the organ"


def test_so_much_is_looked_at_before_a_round_and_no_more(tmp_path, monkeypatch):
    """A volume too large to be looked at whole is known by its slices, and the newest come first."""
    horned = organ(np.s_[9:11, 10:14, 12:30], np.s_[9:11, 22:28, 12:30])
    whole = example(tmp_path, 1, 90 * horned, horned, slices=tuple((0, i) for i in range(SHAPE[0])))
    monkeypatch.setattr("learners.training.single_pieces.MOST_VOXELS", horned.size - 1)
    assert single_pieces([whole], (1,)) == {}, "two of its eight slices show two pieces"
    assert single_pieces([whole, volume(tmp_path, 2, organ())], (1,)) == {}
    monkeypatch.setattr("learners.training.single_pieces.MOST_VOXELS", 1)
    assert single_pieces([whole, volume(tmp_path, 2, organ())], (1,)) == {}, "one slice tells too little"
