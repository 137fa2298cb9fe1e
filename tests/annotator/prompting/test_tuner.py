"""The built-in model tuned on a project's own masks: better or not at all, and never in anybody's way."""

import threading
import uuid
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from safetensors.torch import save as save_tensors

import app
from annotator.prompting.service import BUILT_IN, TUNED, PromptService
from annotator.prompting.tuned_model import adapter_of, read_tuned
from annotator.prompting.tuner import Tuner
from annotator.prompting.tuning_inputs import MaskCount, count_masks, finished, gather, held_out
from learners.engines import ProcessExecutor, SerialExecutor
from learners.rounds import run_tuning
from learners.rounds.tune import Tuning
from learners.tuning_spec import Skill, TuneResult, TuneSpec
from models.builtin import BuiltIn
from models.clicknet.adapter import WEIGHTS, adapter_bytes, belongs, digest, is_late
from models.clicknet.model import ClickNet
from models.prompt import Prompts
from storage.arrays import Box, Patch, SliceRef
from storage.rows import NewLabel
from storage.scan import Scan
from storage.store import Store

STEPS, JUDGED = 24, 5
SIDE = (88, 130)


def pairs(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Grey noise with pairs of touching discs, one bright and one dark: here both together are one object, which
    nobody could know who has not seen this project's labels."""
    rng = np.random.default_rng(seed)
    image, objects = np.full(SIDE, 110.0), np.zeros(SIDE, np.uint16)
    for n, (row, column) in enumerate(((24, 24), (24, 65), (24, 106), (64, 24), (64, 65), (64, 106)), 1):
        turn, shift = rng.uniform(0, 2 * np.pi), rng.integers(-3, 4, 2)
        for side, value in ((1, 200), (-1, 40)):
            place = column + shift[1] + side * 8 * np.cos(turn), row + shift[0] + side * 8 * np.sin(turn)
            disc = cv2.circle(np.zeros(SIDE, np.uint8), tuple(int(round(v)) for v in place), 8, 1, -1) > 0
            image[disc], objects[disc] = value, n
    return np.clip(image + rng.normal(0, 8, SIDE), 0, 255).astype(np.uint8), objects


def scan(name: str, pixels: np.ndarray) -> Scan:
    return Scan(name, pixels[None], None, None)


def label_objects(store: Store, image_id: int, objects: np.ndarray, source: str = "prompted") -> None:
    for number in np.unique(objects[objects > 0]).tolist():
        mask = objects == number
        patch = Patch(Box(0, 0, *mask.shape), np.where(mask, 1, 255).astype(np.uint8),
                      np.where(mask, number, 0).astype(np.uint16))  # fmt: skip
        ref = SliceRef(image_id, 0, 0)
        store.add_label(NewLabel(ref, patch, uuid.uuid4().hex, "ann", source, instance=number))


@pytest.fixture
def project(store: Store) -> Store:
    """Five images with six finished masks each."""
    store.add_class("pair")
    for seed in range(5):
        pixels, objects = pairs(seed)
        label_objects(store, store.add_image(scan(f"pairs {seed}", pixels)), objects)
    return store


def tuner_of(store: Store, executor=None, **more) -> Tuner:
    return Tuner(store, executor or SerialExecutor(), **{"steps": STEPS, "judged": JUDGED, **more})


class Scripted(SerialExecutor):
    """Hands out the given results instead of training; a result that is kept leaves a real adapter."""

    def __init__(self, *results) -> None:
        self.results = list(results)
        self.specs: list[TuneSpec] = []

    def submit(self, fn, /, *args, **kwargs) -> Future:
        spec, result = args[0], self.results.pop(0)
        future: Future[TuneResult] = Future()
        self.specs.append(spec)
        if isinstance(result, Exception):
            future.set_exception(result)
            return future
        if result.kept:
            (spec.directory / "adapter.safetensors").write_bytes(some_adapter(len(self.specs)))
        future.set_result(result)
        return future


def some_adapter(seed: int) -> bytes:
    """The late layers, a little moved."""
    torch.manual_seed(seed)
    late = {n: v.float() for n, v in load_file(WEIGHTS).items() if is_late(n) and v.dtype.is_floating_point}
    return adapter_bytes(
        {n: v + 0.01 * torch.randn_like(v).abs() for n, v in late.items()}, digest(WEIGHTS.read_bytes())
    )


KEPT = TuneResult(True, True, Skill(3.1, 0.7), Skill(2.4, 0.75), 300)
DROPPED = TuneResult(True, False, Skill(2.4, 0.75), Skill(2.5, 0.74), 300)


def masks_of(prompting: PromptService, image_id: int = 1) -> np.ndarray:
    prompts = Prompts(points_rc=((24.0, 20.0),), labels=(1,))
    return prompting.predict(SliceRef(image_id, 0, 0), (0, 255), prompts).prediction.masks


@pytest.mark.slow
@pytest.mark.thorough
def test_tuning_saves_clicks_on_objects_that_only_this_project_knows(project: Store):
    tuned = tuner_of(project).run_until_idle()
    assert tuned.before is not None and tuned.after is not None and tuned.after <= tuned.before - 0.05, tuned
    assert tuned.objects == 30
    assert (adapter := adapter_of(project)) and adapter.stat().st_size < 5e6
    prompting = PromptService(project)
    assert prompting.answering()["name"] == TUNED  # at the next start too
    prompting.close()


def test_a_model_that_saves_no_clicks_is_dropped_and_every_mask_stays_as_it_was(project: Store):
    prompting = PromptService(project)
    before = masks_of(prompting)
    tuner = tuner_of(project, Scripted(DROPPED), use_tuned_layers=prompting.use_tuned_layers)
    tuned = tuner.run_until_idle()
    assert "saved no clicks" in tuned.message and tuned.file is None and tuned.tried == 30
    assert prompting.answering()["name"] == BUILT_IN
    assert np.array_equal(masks_of(prompting), before)
    assert TUNED not in [entry["name"] for entry in prompting.models()]
    assert not (project.root / "tuning").exists()
    prompting.close()


def test_a_tuned_model_answers_at_once_says_what_it_saved_and_can_be_switched_off(project: Store):
    prompting = PromptService(project)
    before = masks_of(prompting)
    tuner_of(project, Scripted(KEPT), use_tuned_layers=prompting.use_tuned_layers).run_until_idle()
    told = next(entry for entry in prompting.models() if entry["name"] == TUNED)
    assert told["detail"] == "tuned on 30 of your masks: 3.1 -> 2.4 clicks to 0.85" and told["active"]
    assert not np.array_equal(masks_of(prompting), before)
    prompting.choose(BUILT_IN)
    assert np.array_equal(masks_of(prompting), before)
    prompting.close()
    again = PromptService(project)  # the next start
    again.use_tuned_layers()  # and the next tuning
    assert again.answering()["name"] == BUILT_IN
    again.choose(TUNED)
    again.close()
    assert PromptService(project).answering()["name"] == TUNED


def test_it_begins_with_enough_masks_and_again_when_they_doubled(project: Store):
    executor = Scripted(DROPPED, DROPPED)
    tuner = tuner_of(project, executor)
    tuner.run_until_idle()
    for seed in range(5, 9):
        pixels, objects = pairs(seed)
        label_objects(project, project.add_image(scan(f"pairs {seed}", pixels)), objects)
    tuner.run_until_idle()
    assert len(executor.specs) == 1  # 54 masks: not yet twice 30
    pixels, objects = pairs(9)
    label_objects(project, project.add_image(scan("pairs 9", pixels)), objects)
    tuner.run_until_idle()
    assert len(executor.specs) == 2


def test_too_few_masks_are_refused_in_one_sentence(store: Store):
    store.add_class("pair")
    pixels, objects = pairs(0)
    label_objects(store, store.add_image(scan("pairs", pixels)), objects)
    executor = Scripted()
    tuner = tuner_of(store, executor)
    tuner.run_until_idle()
    with pytest.raises(ValueError, match="there are 6 on 1"):
        tuner.ask()
    assert not executor.specs


def test_it_waits_for_learning_rounds_gives_way_to_them_and_goes_on(project: Store):
    busy = threading.Event()
    busy.set()
    stopped, gate = [], threading.Event()

    class Threaded(SerialExecutor):
        """A worker that notices the stop file, as the real one does between two steps."""

        def submit(self, fn, /, *args, **kwargs) -> Future:
            (spec,) = args
            future: Future = Future()

            def work() -> None:
                for _ in range(400):
                    if (spec.directory / "stop").exists():
                        stopped.append(spec)
                        return future.set_result(TuneResult(False))
                    if gate.wait(0.05):
                        return future.set_result(DROPPED)
                raise AssertionError("nobody stopped it")

            threading.Thread(target=work).start()
            return future

    tuner = tuner_of(project, Threaded(), busy=busy.is_set)
    assert tuner.reconcile() and not tuner.running  # a learning round runs: it waits
    busy.clear()
    tuner.reconcile()
    assert tuner.running
    busy.set()
    while tuner.running:
        tuner.reconcile()
    assert len(stopped) == 1 and read_tuned(project).tried == 0
    busy.clear()
    gate.set()
    assert tuner.run_until_idle().tried == 30


def test_a_dead_worker_costs_a_few_steps_and_three_dead_ones_the_round(project: Store):
    death = BrokenProcessPool("a process died")
    executor = Scripted(death, death, KEPT)
    assert tuner_of(project, executor).run_until_idle().file is not None
    assert len({spec.directory for spec in executor.specs}) == 1 and len(executor.specs) == 3
    other = Scripted(death, death, death)
    tuner = tuner_of(project, other)
    tuner.ask()
    assert "worker died" in tuner.run_until_idle().message
    assert (adapter := adapter_of(project)) and adapter.is_file()  # what was in use stays in use


@pytest.mark.slow
def test_a_killed_worker_process_is_survived(project: Store):
    executor = ProcessExecutor(threads=1)
    tuner = tuner_of(project, executor, steps=2, judged=1)
    killed = False
    try:
        while tuner.reconcile():
            if not killed and tuner.phase():
                pool = executor._pool
                assert pool is not None
                next(iter(pool._processes.values())).kill()
                killed = True
            threading.Event().wait(0.05)
    finally:
        executor.kill()
    assert killed and read_tuned(project).tried == 30


def spec_of(project: Store, folder: Path, **more) -> TuneSpec:
    folder.mkdir()
    return TuneSpec(folder, gather(project, folder).slices, **{"steps": 4, "judged": 1, **more})


def test_a_round_that_was_stopped_goes_on_to_the_same_layers(project: Store, tmp_path: Path):
    from learners.rounds.tune import _shown

    whole, parts = spec_of(project, tmp_path / "a"), spec_of(project, tmp_path / "b")
    taught = _shown(whole, held=False)
    straight = Tuning(whole)
    for _ in range(4):
        straight.learn(taught)
    broken = Tuning(parts)
    for _ in range(2):
        broken.learn(taught)
    broken.save()
    resumed = Tuning(parts)
    assert resumed.step == 2
    while resumed.step < 4:
        resumed.learn(taught)
    assert resumed.adapter() == straight.adapter()


def test_a_stop_file_ends_a_round_at_once_and_nothing_is_kept(project: Store, tmp_path: Path):
    spec = spec_of(project, tmp_path / "a")
    (spec.directory / "stop").touch()
    assert run_tuning(spec) == TuneResult(finished=False)
    assert not (spec.directory / "adapter.safetensors").exists()


def test_only_finished_masks_count(store: Store):
    store.add_class("pair")
    pixels, objects = pairs(0)
    image_id = store.add_image(scan("pairs", pixels))
    label_objects(store, image_id, objects, source="drawn")
    assert count_masks(store.labels(image_id)).objects == 0  # perhaps strokes only
    store.add_label(NewLabel(SliceRef(image_id, 0, 0), None, uuid.uuid4().hex, "ann"))
    assert count_masks(store.labels(image_id)).objects == 6
    assert MaskCount(store)() == count_masks(store.labels(image_id))
    assert list(finished(store.labels(image_id))) == [SliceRef(image_id, 0, 0)]


def test_what_is_held_out_stays_held_out_and_is_gathered_as_drawn(project: Store, tmp_path: Path):
    by_image = {i: finished(project.labels(i)) for i in range(1, 6)}
    assert held_out(by_image, {SliceRef(i, 0, 0) for i in by_image}) == {SliceRef(2, 0, 0)}
    folder = tmp_path / "work"
    folder.mkdir()
    gathered = gather(project, folder)
    assert gathered.objects == 30 and [each.held for each in gathered.slices].count(True) == 1
    for seed, each in enumerate(gathered.slices):
        assert np.array_equal(np.load(each.objects) > 0, pairs(seed)[1] > 0)
        assert np.array_equal(np.load(each.picture)[..., 1], pairs(seed)[0])
    pixels, objects = pairs(9)
    label_objects(project, project.add_image(scan("late", pixels)), objects)
    later = {i: finished(project.labels(i)) for i in range(1, 7)}
    assert SliceRef(2, 0, 0) in held_out(later, {SliceRef(i, 0, 0) for i in later})


def test_masks_that_were_accepted_judge_no_tuning(store: Store, tmp_path: Path):
    """They are a model's own: a tuned one would be judged by what another one drew."""
    store.add_class("pair")
    for seed in range(6):
        pixels, objects = pairs(seed)
        image_id = store.add_image(scan(f"pairs {seed}", pixels))
        label_objects(store, image_id, objects, source="prompted" if seed in (0, 4) else "accepted")
    gathered = gather(store, tmp_path)
    assert [each.objects.name.split("-")[0] for each in gathered.slices if each.held] == ["5"]
    assert gathered.objects == 36, "accepted masks teach"


def test_where_every_mask_was_accepted_no_tuning_is_tried_and_a_sentence_says_what_to_do(store: Store):
    store.add_class("pair")
    for seed in range(5):
        pixels, objects = pairs(seed)
        label_objects(store, store.add_image(scan(f"pairs {seed}", pixels)), objects, source="accepted")
    executor = Scripted()
    tuned = tuner_of(store, executor).run_until_idle()
    assert not executor.specs and tuned.file is None
    assert "nothing judges it" in tuned.message and "Label two images" in tuned.message


def test_layers_of_another_version_are_refused_and_not_offered(project: Store, tmp_path: Path):
    stranger = tmp_path / "x.safetensors"
    stranger.write_bytes(adapter_bytes({"out.bias": torch.zeros(3)}, "another"))
    with pytest.raises(ValueError, match="another version"):
        ClickNet(adapter=stranger)
    stranger.write_bytes(b"torn")
    with pytest.raises(ValueError, match="tune the model again"):
        ClickNet(adapter=stranger)
    stranger.write_bytes(save_tensors({"down.0": torch.zeros(3)}, {"base": digest(WEIGHTS.read_bytes())}))
    with pytest.raises(ValueError, match="no tuned layers"):
        ClickNet(adapter=stranger)
    tuner_of(project, Scripted(KEPT)).run_until_idle()
    adapter = adapter_of(project)
    assert adapter is not None and belongs(adapter)
    adapter.write_bytes(b"torn")
    prompting = PromptService(project)
    assert TUNED not in [entry["name"] for entry in prompting.models()]
    assert masks_of(prompting).any()
    prompting.close()


def test_a_tuned_model_has_a_name_of_its_own(tmp_path: Path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(some_adapter(1))
    names = {BuiltIn().model_id, BuiltIn(adapter=path).model_id}
    path.write_bytes(some_adapter(2))
    assert len({*names, BuiltIn(adapter=path).model_id}) == 3


def test_the_command_line_tunes_and_says_what_came_of_it(project: Store, capsys, monkeypatch):
    folder = project.root
    project.close()
    monkeypatch.setattr("learners.engines.SerialExecutor", lambda: Scripted(KEPT))
    assert app.main(["tune", "--project", str(folder), "--steps", "3"]) == 0
    assert "was tuned: 3.1 -> 2.4 clicks" in capsys.readouterr().out
    assert app.main(["tune", "--project", str(folder / "none")]) == 1
    assert "is not a project" in capsys.readouterr().err
