"""Models on the hub, against a small server that speaks as much of its language as is needed."""

import base64
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import hrnet
from hrnet.errors import ConfigError
from hrnet.zoo.hub import fetch, push

pytestmark = pytest.mark.usefixtures("whole_pictures")

pytest.importorskip("huggingface_hub")
COMMIT = "0" * 40


class Hub(BaseHTTPRequestHandler):
    files: dict[str, bytes]

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        body = self.files.get(self.path)
        if body is None:
            return self.answer(
                404, X_Error_Code="RepoNotFound", X_Error_Message="no such repository"
            )
        return self.answer(200, body, ETag=f'"{len(body)}"', X_Repo_Commit=COMMIT)

    def do_POST(self):
        data = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/api/repos/create":
            owner = json.loads(data)
            name = "/".join(filter(None, (owner.get("organization"), owner["name"])))
            reply = {"url": f"http://{self.headers['Host']}/{name}", "id": name}
        elif "/preupload/" in self.path:
            files = json.loads(data)["files"]
            reply = {
                "files": [{**f, "uploadMode": "regular", "shouldIgnore": False} for f in files]
            }
        elif "/validate-yaml" in self.path:
            reply = {"errors": [], "warnings": []}
        else:  # /api/models/owner/name/commit/main
            repository = "/".join(self.path.split("/")[3:5])
            for line in map(json.loads, data.splitlines()):
                if line["key"] == "file":
                    file = f"/{repository}/resolve/main/{line['value']['path']}"
                    self.files[file] = base64.b64decode(line["value"]["content"])
            reply = {
                "commitUrl": f"http://{self.headers['Host']}/{repository}/commit/{COMMIT}",
                "commitOid": COMMIT,
            }
        return self.answer(200, json.dumps(reply).encode(), Content_Type="application/json")

    def log_message(self, *_):
        pass


@pytest.fixture
def hub():
    handler = type("Handler", (Hub,), {"files": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.files = handler.files
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def run(hub, tmp_path):
    """The command line in a process of its own, as the library reads the hub's address once."""
    environment = {
        **os.environ,
        "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}",
        "HF_HOME": str(tmp_path / "hf"),
        "HF_TOKEN": "hf_x",
        "HF_HUB_DISABLE_XET": "1",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }

    def run(*arguments):
        program = "from hrnet.cli import main; main()"
        command = [sys.executable, "-c", program, *map(str, arguments)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    return run


def test_a_model_goes_to_the_hub_and_comes_back(hub, run, weights_file, tmp_path):
    pushed = run("models", "push", weights_file, "hf:someone/pose")
    assert pushed.returncode == 0, pushed.stderr
    assert "someone/pose" in pushed.stdout
    assert hub.files["/someone/pose/resolve/main/model.safetensors"] == weights_file.read_bytes()
    page = hub.files["/someone/pose/resolve/main/README.md"].decode()
    assert 'hrnet.PoseEstimator("hf:someone/pose")' in page
    assert "left_eye" in page

    out = tmp_path / "copy.safetensors"
    converted = run("convert", "hf:someone/pose", out)
    assert converted.returncode == 0, converted.stderr
    copy, original = hrnet.create_model(out), hrnet.create_model(weights_file)
    for (name, a), b in zip(
        copy.network.state_dict().items(), original.network.state_dict().values(), strict=True
    ):
        assert a.equal(b), name


def test_what_is_not_on_the_hub_is_one_sentence(hub, run):
    result = run("models", "show", "hf:nobody/nothing")
    assert result.returncode == 2
    assert result.stderr.startswith(
        "error: model.safetensors of hf:nobody/nothing cannot be fetched"
    )
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["hf:x", "hf:../a/b", "hf:a/b/c", "hf:/a", "hf:a/b@"])
def test_names_that_are_none_are_refused(name):
    with pytest.raises(ConfigError, match="is not of the form hf:owner/name"):
        fetch(name)


def test_only_files_with_a_card_are_pushed(tmp_path, weights_file):
    import torch
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(ConfigError, match="carries no model card; hrnet convert"):
        push(tmp_path / "x.safetensors", "hf:a/b")
    with pytest.raises(ConfigError, match="is not of the form hf:owner/name$"):
        push(weights_file, "hf:a/b@main")
