"""Numbered labels become flows to the objects' centres, and flows become numbered objects again."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from learners.objects.assemble import assemble
from learners.objects.cutting import number_objects
from learners.objects.flows import flows_of, taught_flows
from learners.objects.scale import FLOWS, ObjectScale, same_objects
from learners.objects.scores import count_objects
from learners.training.augment import Views
from learners.training.losses import Sample
from storage.arrays import UNLABELLED
from tests.learners.objects.test_telling_apart import ONE, SCALE, touching

BY_FLOWS = replace(SCALE, told_by=FLOWS)


@pytest.mark.parametrize("depth", [1, 17])
def test_what_is_taught_of_touching_objects_tells_them_apart_again(depth: int):
    classes, numbers = touching(depth)
    values = taught_flows(classes, numbers, (1,), ONE, 2 if depth == 1 else 3)
    scale = replace(BY_FLOWS, flat=depth == 1)
    assert len(values) == 2 * scale.channels == (4 if depth == 1 else 6)
    found = assemble(classes, values[: scale.channels], scale)
    counts = count_objects(found.numbers, numbers, np.ones(numbers.shape, bool))
    assert counts.true == counts.proposed == 4 and counts.mean_ap and counts.mean_ap > 0.9
    assert np.array_equal(found.numbers > 0, numbers > 0) and np.array_equal(found.classes, classes)


def test_flows_lead_around_bends_where_no_straight_way_does():
    """A horseshoe around a ball: its mean place lies in the ball."""
    y, x = np.ogrid[:60, :70]
    far = np.hypot(y - 28, x - 33)
    numbers = np.zeros((1, 60, 70), np.uint16)
    numbers[0][(far < 24) & (far >= 13) & ~((y > 28) & (abs(x - 33) < 6))] = 1
    numbers[0][far < 12] = 2
    classes = (numbers > 0).astype(np.uint8)
    found = assemble(classes, taught_flows(classes, numbers, (1,), ONE, 2)[:2], replace(BY_FLOWS, shrink=2.0))
    counts = count_objects(found.numbers, numbers, np.ones(numbers.shape, bool))
    assert counts.true == counts.proposed == 2


def test_flows_are_unit_vectors_in_millimetres_that_point_to_the_centre():
    numbers = np.zeros((9, 20, 24), np.uint16)
    numbers[1:8, 3:17, 4:18] = 7
    flows = flows_of(numbers, (2.0, 1.0, 1.0), 3)
    inside = numbers > 0
    assert (np.linalg.norm(flows, axis=0)[inside] > 0.99).mean() > 0.98, "all but those at the centre"
    assert not flows[:, ~inside].any()
    assert flows[0, 1, 10, 10] > 0.9 and flows[0, 7, 10, 10] < -0.9
    assert flows[1, 4, 3, 11] > 0.9 and flows[2, 4, 10, 17] < -0.9


def test_a_network_of_volumes_may_be_shown_a_single_slice():
    classes, numbers = touching()
    values = taught_flows(classes, numbers, (1,), ONE, 3)
    assert len(values) == 6 and not (values[0] != 128).any(), "no way leads out of the slice"
    found = assemble(classes, values[:3], replace(BY_FLOWS, flat=False))
    counts = count_objects(found.numbers, numbers, np.ones(numbers.shape, bool))
    assert counts.true == counts.proposed == 4


def test_where_flows_are_nonsense_an_object_is_cut_by_its_shape():
    classes, _ = touching()
    nonsense = np.random.default_rng(0).integers(0, 255, (2, *classes.shape), np.uint8)
    found, cut = assemble(classes, nonsense, BY_FLOWS), number_objects(classes, ONE)
    assert np.array_equal(found.numbers > 0, cut > 0) and found.numbers.max() == cut.max() == 4


def test_an_object_drawn_in_part_and_one_without_a_number_teach_nothing():
    classes, numbers = touching()
    numbers[numbers == 9] = 0
    classes[:, :, :12] = UNLABELLED
    numbers[:, :, :12] = 0
    known = taught_flows(classes, numbers, (1,), ONE, 2)[2:]
    assert not known[:, (classes == 1) & (numbers == 0)].any() and not known[:, classes == UNLABELLED].any()
    assert not known[:, numbers == 3].any(), "half of it is not drawn, so nobody knows where its centre is"
    assert known[:, numbers == 10].all() and known[:, classes == 0].all()


@pytest.mark.parametrize("depth", [1, 20])
def test_flows_turn_with_the_view(depth: int):
    """What the moved numbers would teach is what the moved flows say."""
    classes, numbers = (part[..., :40] for part in touching(depth))
    dims = 2 if depth == 1 else 3
    values = taught_flows(classes, numbers, (1,), ONE, dims)
    apart = torch.from_numpy(values).float()
    apart[:dims] /= 255
    moved = [torch.from_numpy(part.astype(np.float32)) for part in (classes, numbers)]
    if depth == 1:
        apart, moved = apart[:, 0], [part[0] for part in moved]
    y, src = (part[None] for part in moved)
    sample = Sample(y[:, None], y.long(), torch.ones_like(y), torch.ones_like(y), src=src, apart=apart[None])
    views = Views(tuple(range(dims)), (dims - 2, dims - 1), flows=True)
    for seed in range(6):
        seen = views.weak(sample, torch.Generator().manual_seed(seed))
        assert seen.src is not None and seen.apart is not None
        there = seen.src[0].numpy().astype(np.uint16)
        own = 2 * seen.apart[0, :dims].numpy() - 1
        wanted = flows_of(there if dims == 3 else there[None], ONE, dims)
        wanted = wanted if dims == 3 else wanted[:, 0]
        whole = there == 9  # the view cuts none of it off
        assert (own * wanted).sum(0)[whole].mean() > 0.93, seed


def test_a_model_of_flows_and_one_of_distances_do_not_go_on_from_one_another():
    assert not same_objects(SCALE, BY_FLOWS) and same_objects(BY_FLOWS, BY_FLOWS)
    assert ObjectScale.from_json(BY_FLOWS.as_json()) == BY_FLOWS
    before = {k: v for k, v in SCALE.as_json().items() if k != "told_by"}
    assert ObjectScale.from_json(before) == SCALE, "models of before told by distances"
    with pytest.raises(ValueError, match="distances or flows"):
        ObjectScale.from_json(SCALE.as_json() | {"told_by": "luck"})
