"""A real Label Studio that is pointed at a running server; a line for each call. Runs in Label Studio's own
environment: `python label_studio_calls.py ADDRESS PICTURE COLUMN,ROW TOKEN`, places in per cent of the picture."""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import requests  # type: ignore[import-untyped,unused-ignore]

PORT, START_SECONDS = 8197, 400
USER, PASSWORD = "ann@example.com", "a password for an hour"
CONFIG = """<View><Image name="image" value="$image"/>
<BrushLabels name="brush" toName="image"><Label value="ball"/></BrushLabels>
<KeyPointLabels name="click" toName="image" smart="true"><Label value="ball"/></KeyPointLabels></View>"""
FAILED: list[str] = []


def main(address: str, picture: str, place: str, token: str) -> None:
    with tempfile.TemporaryDirectory() as folder, label_studio(folder) as site:
        project = site.ask("projects", {"title": "calls", "label_config": CONFIG})["id"]
        with open(picture, "rb") as file:
            tried("import", lambda: site.ask(f"projects/{project}/import", files={"file": file}))
        about = {"auth_method": "BASIC_AUTH", "basic_auth_user": "ann", "basic_auth_pass": token}
        backend = {"url": address, "project": project, "title": "Slicewise", "is_interactive": True, **about}
        made = tried("connect: health, setup", lambda: site.ask("ml", backend))
        tried("health again, with wrong password", lambda: refused(site, {**backend, "basic_auth_pass": "x"}))
        task = site.ask(f"projects/{project}/tasks")[0]["id"]
        x, y = (float(n) for n in place.split(","))
        click = {
            "type": "keypointlabels", "from_name": "click", "to_name": "image", "is_positive": True,
            "original_width": 240, "original_height": 200,
            "value": {"x": x, "y": y, "width": 0.3, "keypointlabels": ["ball"]},
        }  # fmt: skip
        said = {"task": task, "context": {"result": [click]}}
        found = tried(
            "predict, a smart click", lambda: site.ask(f"ml/{made['id']}/interactive-annotating", said)
        )
        regions = found["data"]["result"] if found else []
        hook = {
            "url": f"{address}/webhook",
            "project": project,
            "headers": {"Authorization": f"Bearer {token}"},
        }
        more = {"send_payload": True, "send_for_all_actions": True}
        tried("webhook", lambda: site.ask("webhooks", {**hook, **more}))
        tried("an annotation is saved", lambda: site.ask(f"tasks/{task}/annotations", {"result": regions}))
        tried("predict, batch", lambda: site.ask(f"ml/{made['id']}/predict/test?random=true", method="post"))
    sys.exit(1 if FAILED else 0)


def refused(site: "Site", backend: dict[str, Any]) -> str:
    answer = site.http.post(site.at("ml"), json=backend, headers=site.token())
    if answer.ok and answer.json().get("state") == "CO":
        raise ValueError("it was let in")
    return str(answer.status_code)


class Site:
    """Label Studio as a person who is signed in."""

    def __init__(self) -> None:
        self.http = requests.Session()

    def at(self, path: str) -> str:
        return f"http://127.0.0.1:{PORT}/api/{path}"

    def token(self) -> dict[str, str]:
        return {"X-CSRFToken": self.http.cookies.get("csrftoken", "")}

    def sign_in(self) -> None:
        page = f"http://127.0.0.1:{PORT}/user/login/"
        self.http.get(page).raise_for_status()
        form = {"email": USER, "password": PASSWORD, "csrfmiddlewaretoken": self.token()["X-CSRFToken"]}
        self.http.post(page, data=form, headers={"Referer": page}).raise_for_status()

    def ask(self, path: str, body: Any = None, *, files: Any = None, method: str = "") -> Any:
        method = method or ("get" if body is None and files is None else "post")
        answer = self.http.request(method, self.at(path), json=body, files=files, headers=self.token())
        if not answer.ok:
            raise ValueError(f"{answer.status_code} {answer.text[:300]}")
        return answer.json() if answer.content else {}


@contextlib.contextmanager
def label_studio(folder: str) -> Iterator[Site]:
    command = [
        str(Path(sys.executable).with_name("label-studio")),
        "start",
        "--no-browser",
        "--port",
        str(PORT),
    ]
    command += ["--username", USER, "--password", PASSWORD, "--data-dir", folder]
    more = {"LABEL_STUDIO_BASE_DATA_DIR": folder, "COLLECT_ANALYTICS": "false", "ML_BLOCK_LOCAL_IP": "false"}
    with open(Path(folder) / "log", "wb") as log:
        process = subprocess.Popen(command, env=os.environ | more, stdout=log, stderr=log)
    try:
        until, site = time.monotonic() + START_SECONDS, Site()
        while True:
            with contextlib.suppress(requests.RequestException):
                site.sign_in()
                break
            if time.monotonic() > until or process.poll() is not None:
                raise RuntimeError((Path(folder) / "log").read_text()[-2000:])
            time.sleep(2)
        yield site
    finally:
        process.terminate()
        process.wait()


def tried(name: str, work: Callable[[], Any]) -> Any:
    try:
        found = work()
    except Exception as error:
        FAILED.append(name)
        print(f"FAILED {name}: {error}", flush=True)
        return {}
    print(f"ok     {name}: {str(found)[:160]}", flush=True)
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
