"""The command line of an exported model: what it takes, what it refuses, how it ends."""

import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from annotator.learning.exported.program import main
from learners.prediction.drawn import DrawnClass, DrawnObjects
from learners.prediction.label_guards import FILE as GUARDS
from learners.prediction.label_guards import LabelGuards, save_guards
from learners.training.checkpoint import WEIGHTS, Card, save_model
from learners.training.state import TrainingState
from models.networks import NetworkSpec, UNet
from tests.storage.test_formats_dicom import save_series

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(1)
    spec = NetworkSpec(2, 1, 2, (8, 8), ((2, 2),))
    save_model(folder, TrainingState.fresh(UNet(spec)), Card(spec, (7,), (1.0, 1.0), "supervised"))
    return folder


def picture(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (12, 17), dtype=np.uint8)).save(path)
    return path


def run(model: Path, *arguments: object) -> int:
    return main([*map(str, arguments), "--device", "cpu"], model)


def below(out: Path) -> list[str]:
    return sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())


def test_folders_and_files_get_masks_under_their_own_names(model: Path, tmp_path: Path, capsys):
    picture(tmp_path / "in" / "a" / "scan.png"), picture(tmp_path / "in" / "b" / "scan.png")
    (tmp_path / "in" / "notes.txt").write_text("not an image")
    save_series(tmp_path / "in" / "ct")
    single = picture(tmp_path / "scan.png")
    assert run(model, tmp_path / "in", single, single, tmp_path / "out") == 0
    names = ["a/scan.png", "b/scan.png", "ct.nii.gz", "scan.png", "scan_2.png"]
    assert below(tmp_path / "out") == names
    told = capsys.readouterr()
    assert told.out.count("\n") == 5 and "5 masks in" in told.err and "notes" not in told.err
    values = np.unique(np.asarray(Image.open(tmp_path / "out" / "scan.png")))
    assert set(values) <= {0, 7}


def test_masks_inside_a_folder_that_is_searched_are_no_images(model: Path, tmp_path: Path):
    picture(tmp_path / "scan.png")
    assert run(model, tmp_path, tmp_path / "masks") == 0
    (tmp_path / "masks" / "scan.png").unlink()
    assert run(model, tmp_path, tmp_path / "masks") == 0
    assert below(tmp_path / "masks") == ["scan.png"]


def test_each_refused_file_costs_one_sentence_and_the_exit_code(model: Path, tmp_path: Path, capsys):
    picture(tmp_path / "in" / "good.png")
    (tmp_path / "in" / "empty.png").touch()
    (tmp_path / "in" / "film.mp4").write_bytes(b"no image at all")
    whole = nibabel.Nifti1Image(np.zeros((9, 8, 7), np.int16), np.eye(4)).to_bytes()
    (tmp_path / "in" / "short.nii").write_bytes(whole[:500])
    assert run(model, tmp_path / "in", tmp_path / "gone", tmp_path / "out") == 1
    assert below(tmp_path / "out") == ["good.png"]
    told = capsys.readouterr().err
    assert "empty.png: it is empty" in told and "film.mp4: its format is not supported" in told
    assert "short.nii: it is cut short" in told and "there is no such file or folder" in told
    assert "1 mask in" in told and "4 refused" in told and "Traceback" not in told


def test_a_mask_that_is_there_is_never_overwritten(model: Path, tmp_path: Path, capsys):
    source = picture(tmp_path / "scan.png")
    assert run(model, source, tmp_path / "out") == 0
    mask = tmp_path / "out" / "scan.png"
    mask.write_bytes(b"mine")
    assert run(model, source, tmp_path / "out") == 1
    assert mask.read_bytes() == b"mine" and "is there already" in capsys.readouterr().err


def test_wrong_arguments_and_damaged_models_are_refused_in_a_sentence(model: Path, tmp_path: Path, capsys):
    source = picture(tmp_path / "scan.png")
    assert run(model, source, source) == 2
    assert "name the folder for the masks last" in capsys.readouterr().err
    assert run(tmp_path, source, tmp_path / "out") == 1
    assert "cannot be read" in capsys.readouterr().err
    if not torch.cuda.is_available():
        assert main([str(source), str(tmp_path / "out"), "--device", "cuda"], model) == 1
        assert "finds no GPU" in capsys.readouterr().err
    (tmp_path / "nothing").mkdir()
    assert run(model, tmp_path / "nothing", tmp_path / "out") == 1
    assert "there is no image" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def guarded(model: Path, folder: Path, guards: LabelGuards) -> Path:
    """The same model, with what people labelled beside it."""
    shutil.copytree(model, folder)
    save_guards(folder, guards)
    return folder


def test_a_mask_that_the_app_would_withhold_is_not_written_unless_somebody_asks(
    model: Path, tmp_path: Path, capsys
):
    little, nothing = DrawnClass(shares=[1e-4] * 4), DrawnObjects({}, DrawnClass(), ())
    source = picture(tmp_path / "scan.png")
    paints = tmp_path / "paints"
    shutil.copytree(model, paints)
    weights = load_file(paints / WEIGHTS)
    head = next(name for name in reversed(weights) if name.endswith("bias") and len(weights[name]) == 2)
    save_file({**weights, head: torch.tensor([-99.0, 99.0])}, paints / WEIGHTS)
    cases = {
        "painted nearly all of it": guarded(
            paints, tmp_path / "a", LabelGuards(DrawnObjects({}, little, ()))
        ),
        "finds next to nothing": guarded(model, tmp_path / "b", LabelGuards(nothing, learnt=False)),
    }
    for number, (why, folder) in enumerate(cases.items()):
        out = tmp_path / f"out{number}"
        assert run(folder, source, out) == 1
        assert not below(out) and why in (told := capsys.readouterr().err) and "0 masks in" in told
        assert run(folder, source, out, "--anyway") == 0
        assert below(out) == ["scan.png"]
    sound = guarded(model, tmp_path / "c", LabelGuards(nothing))
    assert run(sound, source, tmp_path / "out") == 0
    (sound / GUARDS).write_text('{"classes": 3}')
    assert run(sound, source, tmp_path / "again") == 1
    assert f"{GUARDS} beside the model cannot be read" in capsys.readouterr().err
