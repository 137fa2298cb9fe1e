"""Every call of the client of MONAI Label 0.8.5 against a running server; a line for each. Runs in the client's own
environment: `python monai_calls.py ADDRESS FOLDER I,J,K [NAME PASSWORD]`."""

import sys
from collections.abc import Callable
from typing import Any

from monailabel.client import MONAILabelClient  # type: ignore[import-not-found]

FAILED: list[str] = []


def main(address: str, folder: str, voxel: str, *who: str) -> None:
    client = MONAILabelClient(address, tmpdir=folder, client_id="calls")
    if tried("auth_enabled", client.auth_enabled) and who:
        client.update_auth(tried("auth_token", lambda: client.auth_token(*who)))
        tried("auth_valid_token", client.auth_valid_token)
    info = tried("info", client.info)
    sample = tried("next_sample", lambda: client.next_sample(next(iter(info["strategies"])), {}))
    image = sample["id"]
    tried("datastore", client.datastore)
    params = {
        "foreground": [[int(n) for n in voxel.split(",")]],
        "background": [],
        "label": "ball",
        "result_extension": ".nrrd",
    }
    mask, _ = tried("infer, 2D click", lambda: client.infer("click_slice", image, params))
    tried("infer, 3D click", lambda: client.infer("click_volume", image, params))
    label = {"label_info": [{"name": "ball", "idx": 1}]}
    tried("save_label", lambda: client.save_label(image, mask, tag="final", params=label))
    out = tried("download_label", lambda: client.download_label(image, "final"))
    tried("download_label, original", lambda: client.download_label(image, "original"))
    tried("infer, proposed", lambda: client.infer("proposed", image, {}))
    scribbles = {
        "label_info": [{"name": "background_scribbles", "id": 2}, {"name": "foreground_scribbles", "id": 1}],
        "selected_label_name": "ball",
    }
    tried("infer, scribbles", lambda: client.infer("scribbles", image, scribbles, label_in=out))
    tried("upload_image", lambda: client.upload_image(out, "another"))
    session = tried("create_session", lambda: client.create_session(out))["session_id"]
    tried("get_session", lambda: client.get_session(session))
    tried("infer, session", lambda: client.infer("click_slice", "", params, session_id=session))
    tried("remove_session", lambda: client.remove_session(session))
    tried("train_status, nothing runs", lambda: client.train_status(check_if_running=True) is False or 1 / 0)
    tried("train_stop", client.train_stop)
    tried("train_start, refused in words", lambda: refused(lambda: client.train_start("supervised", {})))
    sys.exit(1 if FAILED else 0)


def refused(work: Callable[[], Any]) -> str:
    """What the server says against it."""
    try:
        work()
    except Exception as error:
        return str(getattr(error, "msg", error))
    raise ValueError("it was not refused")


def tried(name: str, work: Callable[[], Any]) -> Any:
    try:
        found = work()
    except Exception as error:
        FAILED.append(name)
        print(f"FAILED {name}: {getattr(error, 'msg', error)}", flush=True)
        return {}
    print(f"ok     {name}: {str(found)[:100]}", flush=True)
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
