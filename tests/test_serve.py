"""`hrnet serve`, as an honest client uses it, many at once, and one who should not get far."""

import io
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path
from threading import Thread, get_native_id

import cv2
import httpx
import numpy as np
import pytest
import torch
from fastapi.openapi.models import OpenAPI
from PIL import Image
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from hrnet.cli import main
from hrnet.predicting.estimator import PoseEstimator
from hrnet.predicting.picture import Picture
from hrnet.server.batching import WAY, Batcher, in_background
from hrnet.skeletons import load_skeleton
from hrnet.zoo import find_model
from hrnet.zoo.build import build_model, save_model
from planted import tagged
from real_data import real_data
from serving import serving, until

GROUP_FILE = Path(str(files("hrnet.samples") / "group.jpg"))
GROUP = GROUP_FILE.read_bytes()  # 960 x 720, six people
JUMPING = (Path(__file__).parent / "pictures" / "jumping.jpg").read_bytes()  # 440 x 560, one
PACKAGED, OTHER = "hrnet_w32_small_coco17", "random"
# It takes seconds, while others come and go: as many people as there may be.
SLOW = {"boxes": json.dumps([[10 * n, 0, 10 * n + 200, 700] for n in range(4)] * 50)}
FORM = {"files": {"picture": ("photo.jpg", JUMPING)}}


@pytest.fixture(scope="module")
def other_model(tmp_path_factory):
    """A weights file of another name, with random weights."""
    torch.manual_seed(0)
    card = find_model(PACKAGED).card.model_copy(update={"name": OTHER})
    file = tmp_path_factory.mktemp("other") / "other.safetensors"
    save_model(build_model(card).network, card, file)
    return file


@pytest.fixture(scope="module")
def server(tmp_path_factory, other_model):
    folder = tmp_path_factory.mktemp("served")
    with serving(folder, "--model", PACKAGED, "--model", other_model) as server:
        yield server


@pytest.fixture(scope="module")
def answer(server):
    """To the picture of one person."""
    return server.predict(JUMPING).json()


@pytest.fixture(scope="module")
def estimator(answer):
    """What the server has, in this process."""
    about = answer["model"]
    return PoseEstimator(runtime=about["runtime"], precision=about["precision"])


def assert_same(found, known):
    """Two answers' people. On most machines a batch's company changes nothing; bf16 has 8 bits, and
    where it is split otherwise the last one of them may differ."""
    assert len(found) == len(known)
    for a, b in zip(found, known, strict=True):
        assert a.keys() == b.keys()
        for key in a:
            x, y = np.asarray(a[key], float), np.asarray(b[key], float)
            if key == "keypoints":
                np.testing.assert_allclose(x[:, :2], y[:, :2], atol=0.5)
                x, y = x[:, 2], y[:, 2]
            np.testing.assert_allclose(x, y, atol=0.5 if key == "box" else 0.02)


def test_an_answer_is_what_predict_writes(server, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("HRNET_RUNTIME", raising=False)
    monkeypatch.delenv("HRNET_PRECISION", raising=False)
    monkeypatch.chdir(tmp_path)
    Path("group.jpg").write_bytes(GROUP)
    arguments = ["hrnet", "predict", "group.jpg", "--save", "json", "--quiet"]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit, match="0"):
        main()
    (line,) = capsys.readouterr().out.splitlines()
    written = json.loads(line)

    answered = server.predict(GROUP, name="group.jpg").json()
    assert len(written["people"]) == 6
    assert_same(answered.pop("people"), written.pop("people"))
    assert answered == written


def test_a_form_is_answered_as_the_bytes_are(server, answer):
    form = server.predict(FORM).json()
    assert form["image"] == {**answer["image"], "file": "photo.jpg", "path": "photo.jpg"}
    assert_same(form["people"], answer["people"])
    named = server.predict({**FORM, "data": {"name": "mine.jpg"}}).json()
    assert named["image"]["file"] == "mine.jpg"
    assert server.predict(FORM, name="mine.jpg").json()["image"]["file"] == "mine.jpg"
    upper = {"Content-Type": "Multipart/Form-Data; boundary=b"}
    body = b'--b\r\nContent-Disposition: form-data; name="picture"; filename="ja \xe6\x97\xa5.jpg"'
    body += b"\r\n\r\n" + JUMPING + b"\r\n--b--\r\n"
    found = server.client.post("/predict", content=body, headers=upper).json()
    assert found["image"]["file"] == "ja 日.jpg"
    assert_same(found["people"], answer["people"])


def test_boxes(server, answer, estimator):
    boxes = [[100.0, 60.0, 420.0, 540.0, 0.5], answer["people"][0]["box"] + [0.75]]
    known = estimator(JUMPING, boxes=boxes).to_dict()
    in_address = server.predict(JUMPING, boxes=json.dumps(boxes)).json()
    assert in_address["box_source"] == known["box_source"] == "given"
    assert [person["box_score"] for person in in_address["people"]] == [0.5, 0.75]
    assert_same(in_address["people"], known["people"])
    in_form = server.people({**FORM, "data": {"boxes": json.dumps(boxes)}})
    assert_same(in_form, known["people"])
    assert server.people(JUMPING, boxes="[]") == []


def test_the_whole_picture_is_one_person(server, estimator):
    found = server.predict(GROUP, detector="whole").json()
    known = estimator(GROUP, boxes="whole").to_dict()
    assert found["box_source"] == "whole"
    assert [person["box"] for person in found["people"]] == [[0, 0, 959, 719]]
    assert_same(found["people"], known["people"])


def drawn(server, threshold):
    """Where an annotated picture differs from the picture."""
    response = server.predict(JUMPING, answer="image", threshold=threshold)
    assert response.headers["content-type"] == "image/jpeg"
    assert response.content.startswith(b"\xff\xd8")
    after = np.array(Image.open(io.BytesIO(response.content)), int)
    before = np.array(Image.open(io.BytesIO(JUMPING)), int)
    return np.abs(after - before).max(axis=2) > 60


def test_the_annotated_picture(server, answer):
    changed = drawn(server, 0.2)
    (person,) = answer["people"]
    for x, y, score in person["keypoints"]:
        assert score > 0.2
        assert changed[round(y) - 3 : round(y) + 4, round(x) - 3 : round(x) + 4].any()
    x1, y1, x2, y2 = np.round(person["box"]).astype(int)
    changed[y1 - 40 : y2 + 40, x1 - 40 : x2 + 40] = False
    assert changed.mean() < 0.001
    assert drawn(server, 1).sum() < drawn(server, 0.2).sum()


def test_a_picture_is_turned_upright_first(server, answer):
    image = cv2.imdecode(np.frombuffer(JUMPING, np.uint8), cv2.IMREAD_COLOR)
    stored = np.rot90(image)  # orientation 6 turns it back to the right
    picture = tagged(cv2.imencode(".jpg", stored)[1].tobytes(), 6)
    found = server.predict(picture).json()
    assert found["image"]["orientation"] == 6
    assert (found["image"]["width"], found["image"]["height"]) == (440, 560)
    ours, known = (np.array(p["people"][0]["keypoints"])[:, :2] for p in (found, answer))
    assert np.abs(ours - known).max() < 3  # it was encoded twice
    (person,) = server.people(picture, boxes=json.dumps([answer["people"][0]["box"]]))
    assert np.abs(np.array(person["keypoints"])[:, :2] - known).max() < 20
    size = Image.open(io.BytesIO(server.predict(picture, answer="image").content)).size
    assert size == (440, 560)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"box": "[]"}, "the request: there is no key 'box'; did you mean boxes?"),
        ({"picture": "http://a/b.jpg"}, "the request: there is no key 'picture'"),
        ({"boxes": "[[1, 2, 3]]"}, "boxes have shape (1, 3)"),
        ({"boxes": "[[1, 2, 3, 4], [5, 6]]"}, "boxes must be numbers"),
        ({"boxes": "1,2,3,4"}, "the request: boxes: it must be JSON, such as [[24, 10, 210, 320]]"),
        ({"boxes": "[[NaN, 0, 9, 9]]"}, "box 0 (nan, 0, 9, 9) is not four finite numbers"),
        ({"boxes": "[[0, 0, Infinity, 9]]"}, "box 0 (0, 0, inf, 9) is not four finite numbers"),
        ({"boxes": "[[9, 9, 5, 5]]"}, "box 0 (9, 9, 5, 5) is empty"),
        ({"boxes": "[[500, 0, 600, 9]]"}, "lies outside the picture of 440 x 560 pixels"),
        ({"boxes": str([[0, 0, 9, 9]] * 201)}, "boxes: there are 201, more than 200"),
        ({"boxes": "[[0, 0, 9, 9]]", "detector": "whole"}, "leave out detector=whole"),
        ({"detector": "yolo"}, "the request: detector: input should be 'auto' or 'whole'"),
        ({"detector": ["auto", "whole"]}, "the request: 'detector' is given twice"),
        ({"answer": "xml"}, "the request: answer: input should be 'json' or 'image'"),
        ({"threshold": "nan"}, "the request: threshold: input should be"),
        ({"threshold": "2"}, "the request: threshold: input should be less than or equal to 1"),
        ({"name": 300 * "a"}, "the request: name: string should have at most 255 characters"),
        ({"model": "nobody"}, f"there is no model 'nobody' here; there is {PACKAGED}, {OTHER}"),
        ({"model": "/etc/passwd"}, "there is no model '/etc/passwd' here"),
    ],
)
def test_what_is_wrong_is_said(server, options, says):
    response = server.predict(JUMPING, **options)
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/json"
    (error,) = response.json().values()
    assert says in error
    assert "\n" not in error


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ({"data": {"picture": "http://a/b.jpg"}}, "the form's 'picture' is text"),
        ({"files": {"image": ("a.jpg", JUMPING)}}, "the form's file is called 'image'"),
        ({"files": [("picture", ("a.jpg", JUMPING))] * 2}, "Too many files"),
        ({"data": {"boxes": "[]"}, "files": {"picture": ("a", b"")}}, "the request has no picture"),
        ({"data": {"detector": ["auto"] * 2}, **FORM}, "'detector' is given twice"),
    ],
)
def test_what_is_wrong_with_a_form_is_said(server, form, says):
    if "files" not in form:
        form["files"] = {"no": (None, "")}
    response = server.predict(form)
    assert response.status_code == 400
    assert says in response.json()["error"]


def test_what_is_no_picture_is_said(server):
    for body, says in {
        b"": "the request has no picture; send its bytes, or a form with the file 'picture'",
        b"{}": "the picture is not a picture",
        JUMPING[:-5000]: "the picture is cut off: its end is missing",
    }.items():
        response = server.predict(body)
        assert (response.status_code, response.json()) == (400, {"error": says})
    huge = io.BytesIO()
    Image.new("L", (10_000, 6_000)).save(huge, "PNG")
    response = server.predict(huge.getvalue())
    assert response.status_code == 413
    assert response.json()["error"].startswith("the picture has 10000 x 6000 pixels, more than 50,")
    # The client that sends all of it before it reads gets the answer nevertheless.
    response = server.predict(JUMPING + bytes(30_000_000))
    assert response.status_code == 413
    assert response.json()["error"].startswith("the request has more than 20,000,000 bytes")
    long = Image.new("L", (70_000, 20))
    long.save(huge := io.BytesIO(), "PNG")
    response = server.predict(huge.getvalue(), detector="whole", answer="image")
    assert response.status_code == 400
    assert "does not go into .jpg" in response.json()["error"]


def test_two_models(server, answer, other_model):
    models = server.client.get("/models").json()["models"]
    assert [model["name"] for model in models] == [PACKAGED, OTHER]
    points = list(load_skeleton("coco17").keypoints)
    card = find_model(PACKAGED).card
    assert models[0] == {
        "name": PACKAGED,
        "description": card.description,
        "of_people": True,
        "keypoints": points,
    }
    assert answer["model"]["name"] == PACKAGED
    assert_same(server.people(JUMPING, model=PACKAGED), answer["people"])
    other = server.predict(JUMPING, model=OTHER, detector="whole").json()
    assert other["model"]["name"] == OTHER
    about = other["model"]
    alone = PoseEstimator(other_model, runtime=about["runtime"], precision=about["precision"])
    assert_same(other["people"], alone(JUMPING, boxes="whole").to_dict()["people"])


def test_other_addresses(server):
    get = server.client.get
    assert get("/health").json() == {"status": "running"}
    assert get("/ready").json() == {"status": "ready"}
    page = get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert get("/page/sample.jpg").content == GROUP
    for response, status, error in [
        (get("/nowhere"), 404, "there is nothing at /nowhere"),
        (get("/predict/"), 404, "there is nothing at /predict/"),
        (get("/live"), 404, "there is nothing at /live"),
        (get("/predict"), 405, "GET /predict: Method Not Allowed"),
        (server.client.put("/predict", content=JUMPING), 405, "PUT /predict: Method Not Allowed"),
        (get("/nowhere", headers={"Host": "[::1"}), 404, "there is nothing at /nowhere"),
    ]:
        assert (response.status_code, response.json()) == (status, {"error": error})
    assert get("/predict").headers["allow"] == "POST"
    for response in (server.client.head("/predict"), server.client.options("/predict")):
        assert response.status_code == 405
    for path in ("/", "/health", "/models", "/page/sample.jpg"):
        head = server.client.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == get(path).headers["content-length"]


def test_metrics_count_what_was_asked(server):
    before = server.metrics()
    assert len(server.people(GROUP)) == 6
    assert len(server.people(JUMPING)) == 1
    assert server.predict(b"no picture").status_code == 400
    after = server.metrics()
    moved = {key: after[key] - before.get(key, 0) for key in after}
    assert moved["hrnet_requests_total", "/predict", "200"] == 2
    assert moved["hrnet_requests_total", "/predict", "400"] == 1
    assert moved["hrnet_pictures_total",] == 2
    assert moved["hrnet_people_total",] == 7
    assert moved["hrnet_batch_pictures_sum",] == 3
    for step in ("receive", "queue", "predict", "write"):
        assert moved["hrnet_step_seconds_count", step] == 2
    assert after["hrnet_in_service",] == 0
    assert after["process_resident_memory_bytes",] > 50_000_000


def test_a_line_a_request(server):
    lines = len(server.log())
    assert server.predict(GROUP, name="a\nb\x1b[31m").status_code == 200
    assert server.predict(GROUP[:5000]).status_code == 400
    good, bad = server.log()[lines:]
    assert (good["path"], good["status"], good["bytes"]) == ("/predict", 200, len(GROUP))
    assert (good["size"], good["people"], good["batch"]) == ([960, 720], 6, 1)
    steps = [good[f"{step}_ms"] for step in ("receive", "queue", "predict", "write")]
    assert 0 < sum(steps) <= good["ms"] + 1
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", good["time"])
    assert (bad["path"], bad["status"]) == ("/predict", 400)
    assert bad["error"] == "the picture is cut off: its end is missing"


def test_the_description_is_valid_and_its_examples_run(server, tmp_path):
    description = server.client.get("/openapi.json").json()
    OpenAPI.model_validate(description)
    paths = description["paths"]
    assert paths.keys() == {"/predict", "/models", "/health", "/ready", "/metrics"}
    predict = paths["/predict"]["post"]
    options = {"model", "detector", "boxes", "answer", "threshold", "name"}
    assert {parameter["name"] for parameter in predict["parameters"]} == options
    form = predict["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["properties"].keys() == {"picture", *options}
    assert predict["responses"].keys() == {"200", "400", "401", "403", "408", "413", "503"}

    (tmp_path / "photo.jpg").write_bytes(JUMPING)
    answers = {}
    for sample in predict["x-codeSamples"]:
        command = sample["source"].replace("http://127.0.0.1:8000", server.address)
        ran = subprocess.run(
            [*shlex.split(command), "--silent", "--noproxy", "*"], cwd=tmp_path, capture_output=True
        )
        assert ran.returncode == 0, ran.stderr
        answers[sample["label"]] = ran.stdout
    assert answers.keys() == {"A picture's bytes", "A form", "Boxes", "The joints drawn in"}
    assert (tmp_path / "drawn.jpg").read_bytes().startswith(b"\xff\xd8")
    for label in ("A picture's bytes", "A form"):
        assert len(json.loads(answers[label])["people"]) == 1
    (person,) = json.loads(answers["Boxes"])["people"]
    assert person["box"] == [24, 10, 210, 320]


def pictures(number):
    """Real ones, with people."""
    names = sorted(real_data("coco/images").iterdir())
    return [name.read_bytes() for name in names[:number]]


def test_requests_that_come_together_share_batches_and_get_their_own_answers(server, estimator):
    known = {picture: estimator(picture).to_dict()["people"] for picture in pictures(16)}
    lines = len(server.log())
    asked = [*known] * 2
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(server.people, asked))
    for picture, people in zip(asked, answers, strict=True):
        assert_same(people, known[picture])
    batches = [line["batch"] for line in server.log()[lines:]]
    assert len(batches) == 32
    assert max(batches) > 1


def request(picture, head=""):
    """As the bytes on the wire."""
    length = f"Content-Length: {len(picture)}\r\n"
    return f"POST /predict HTTP/1.1\r\nHost: h\r\n{length}{head}\r\n".encode() + picture


def opened(server, sent=b""):
    client = socket.create_connection(("127.0.0.1", server.port))
    client.settimeout(60)
    client.sendall(sent)
    return client


def test_who_leaves_the_queue_is_not_computed(server):
    def is_in_service(number):
        until(lambda: server.metrics()["hrnet_in_service",] == number)

    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(server.people, GROUP, **SLOW)
        is_in_service(1)
        # Once the other model's thread has answered, this one's is at work.
        assert len(server.people(JUMPING, model=OTHER, detector="whole")) == 1
        before, lines = server.metrics()["hrnet_pictures_total",], len(server.log())
        waiting = [opened(server, request(JUMPING)) for _ in range(5)]
        is_in_service(6)
        for client in waiting:
            client.close()
        is_in_service(1)
        assert not slow.done()
        assert len(slow.result()) == 200
    assert server.metrics()["hrnet_pictures_total",] == before + 1
    lines = server.log()[lines:]
    assert [line["status"] for line in lines] == [499] * 5 + [200]
    assert lines[-1]["batch"] == 1


def test_what_was_accepted_is_answered_after_sigterm(tmp_path):
    with serving(tmp_path) as server, ThreadPoolExecutor(8) as pool:
        idle = opened(server)
        answers = [pool.submit(server.predict, GROUP, **SLOW)]
        until(lambda: server.metrics()["hrnet_in_service",] == 1)
        answers += [pool.submit(server.predict, JUMPING) for _ in range(5)]
        until(lambda: server.metrics()["hrnet_in_service",] == 6)
        server.signal()
        assert idle.recv(1) == b""
        with pytest.raises(ConnectionRefusedError):
            opened(server)
        assert not answers[0].done()
        people = [len(answer.result().json()["people"]) for answer in answers]
        assert people == [200, 1, 1, 1, 1, 1]
        assert server.process.wait(60) == 0


def test_ctrl_c_ends_it(tmp_path):
    with serving(tmp_path) as server:
        with connected(server) as live:
            assert json.loads(live.recv()) == {"ready": True}
            server.signal(signal.SIGINT)
            with pytest.raises(ConnectionClosed):
                live.recv()
        assert server.process.wait(60) == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--port", "TAKEN"], r"cannot listen on 127.0.0.1 port \d+: Address already in use"),
        (["--port", "99999"], "--port is 99999; it must be from 0 to 65535"),
        (["--host", "nowhere.invalid"], "cannot listen on nowhere.invalid port 8000: "),
        (["--host", "a..b"], "cannot listen on a..b port 8000: "),
        (["--queue", "0"], "--queue is 0; it must be at least 1"),
        (["--deadline", "nan"], "--deadline is nan; it must be from 0 to 1000 milliseconds"),
        (["--model", "nobody", "--port", "0"], "there is no model 'nobody'"),
        (["--detector", "nobody", "--port", "0"], "there is no detector 'nobody'"),
    ],
)
def test_a_wrong_start_is_one_sentence(arguments, says, monkeypatch, capsys):
    monkeypatch.delenv("HRNET_DETECTOR", raising=False)
    monkeypatch.setenv("HRNET_MAX_PIXELS", "200000000")  # else it sets that of this process
    with socket.create_server(("127.0.0.1", 0)) as taken:
        arguments = [str(taken.getsockname()[1]) if a == "TAKEN" else a for a in arguments]
        monkeypatch.setattr(sys, "argv", ["hrnet", "serve", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
    assert end.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.match(f"error: {says}", err), err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("HRNET_DETECTOR", "nobody", "there is no detector 'nobody'"),
        ("HRNET_MAX_PIXELS", "many", "HRNET_MAX_PIXELS is 'many'; it must be a number of pixels"),
        ("HRNET_TOKEN", "ge\u0142", "HRNET_TOKEN must be printable ASCII"),
    ],
)
def test_a_wrong_environment_is_one_sentence(name, value, says, monkeypatch, capsys):
    monkeypatch.setenv("HRNET_MAX_PIXELS", "200000000")
    monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["hrnet", "serve", "--port", "0"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith(f"error: {says}")


def connected(server, first='{"detector": "whole"}', **headers):
    """A WebSocket, with its first message sent, if there is one."""
    live = connect(
        f"ws://127.0.0.1:{server.port}/live",
        sock=opened(server),
        additional_headers=headers,
        max_size=None,
    )
    if first is not None:
        live.send(first)
    return live


def test_a_token_is_asked_for(tmp_path):
    with serving(tmp_path, HRNET_TOKEN="open sesame") as server:
        bearing = {"Authorization": "Bearer open sesame"}
        refusals = []
        for headers in ({}, {"Authorization": "Bearer open"}, {"Authorization": b"Bearer \xff"}):
            for path in ("/models", "/metrics"):
                refusals.append(server.client.get(path, headers=headers))
            refusals.append(server.client.post("/predict", content=JUMPING, headers=headers))
        assert {response.status_code for response in refusals} == {401}
        says = '{"error":"the token is missing or wrong; send \'Authorization: Bearer TOKEN\'"}'
        assert {response.text for response in refusals} == {says}
        for path in ("/models", "/metrics"):
            assert server.client.get(path, headers=bearing).status_code == 200
        for path in ("/", "/health", "/ready"):
            assert server.client.get(path).status_code == 200
        response = server.client.post("/predict", content=JUMPING, headers=bearing)
        assert len(response.json()["people"]) == 1

        for first, headers in [
            ("{}", {}),
            ('{"token": "open"}', {}),
            ('{"token": "open"}', bearing),  # what is said counts
            (r'{"token": "\ud800"}', {}),
        ]:
            with connected(server, first, **headers) as live:
                assert live.recv() == says
                with pytest.raises(ConnectionClosed) as closed:
                    live.recv()
                assert closed.value.rcvd.code == 1008
        for first, headers in [('{"token": "open sesame"}', {}), ("{}", bearing)]:
            with connected(server, first, **headers) as live:
                assert json.loads(live.recv()) == {"ready": True}
        statuses = [line["status"] for line in server.log() if line["path"] == "/live"]
        assert statuses[:4] == [401] * 4


def test_pages_of_other_sites_may_not_ask(server):
    own = f"http://127.0.0.1:{server.port}"
    other = {"Origin": "http://elsewhere.example"}
    for headers in (other, {"Origin": "null"}, {"Origin": "http://["}, {"Origin": f"{own}0"}):
        response = server.client.post("/predict", content=JUMPING, headers=headers)
        assert response.status_code == 403
        assert response.json() == {"error": f"pages of {headers['Origin']} may not ask here"}
    assert server.client.get("/models", headers=other).status_code == 403
    assert "access-control-allow-origin" not in server.client.get("/models").headers
    response = server.client.post("/predict", content=JUMPING, headers={"Origin": own})
    assert response.status_code == 200
    with pytest.raises(InvalidStatus, match="403"):
        connected(server, **other)
    with connected(server, Origin=own) as live:
        assert json.loads(live.recv()) == {"ready": True}


def test_live_frames(server, estimator):
    with connected(server, '{"model": null, "detector": "auto", "smooth": false}') as live:
        assert json.loads(live.recv()) == {"ready": True}
        known = estimator(JUMPING).to_dict()["people"]
        for number in range(2):
            live.send(JUMPING)
            answer = json.loads(live.recv())
            assert answer["frame"] == number
            assert answer["model"]["name"] == PACKAGED
            ids = [person.pop("track_id") for person in answer["people"]]
            assert ids == [1]
            assert_same(answer["people"], known)
        live.send(JUMPING[:1000])
        error = {"error": "the picture is cut off: its end is missing", "frame": 2}
        assert json.loads(live.recv()) == error
        live.send("a frame in text")
        assert json.loads(live.recv())["frame"] == 3
        live.send(JUMPING)
        assert json.loads(live.recv())["frame"] == 4


def test_live_frames_that_wait_are_dropped_for_newer_ones(server):
    image = cv2.imdecode(np.frombuffer(GROUP, np.uint8), cv2.IMREAD_COLOR)
    large = cv2.imencode(".jpg", cv2.resize(image, (8000, 6000)))[1].tobytes()
    before, lines = server.metrics(), len(server.log())
    with connected(server, "{}") as live:
        assert json.loads(live.recv()) == {"ready": True}
        live.send(large)  # while it is looked at the others come
        for _ in range(6):
            live.send(JUMPING)
        frames = []
        while 6 not in frames:
            frames.append(json.loads(live.recv())["frame"])
    assert frames == sorted(set(frames))
    assert len(frames) < 7
    after = server.metrics()
    moved = {key: after[key] - before[key] for key in before}
    assert moved["hrnet_live_frames_dropped_total",] == 7 - len(frames)
    assert moved["hrnet_pictures_total",] == len(frames)
    until(lambda: len(server.log()) > lines)
    line = server.log()[-1]
    assert (line["path"], line["status"]) == ("/live", 101)
    assert (line["frames"], line["answered"]) == (7, len(frames))


@pytest.mark.parametrize(
    ("first", "says"),
    [
        ("", "the first message must be the options, as JSON in text"),
        (b"{}", "the first message must be the options, as JSON in text"),
        ("[" * 5000, "the first message must be the options, as JSON in text"),
        (" " * 20_000, "the first message must be the options, as JSON in text"),
        ("NaN", "the first message: input should be a valid dictionary"),
        ('{"models": 1}', "the first message: there is no key 'models'; did you mean model?"),
        ('{"model": "nobody"}', "there is no model 'nobody' here"),
        ('{"smooth": NaN}', "the first message: smooth: input should be a valid boolean"),
    ],
)
def test_wrong_live_options(server, first, says):
    with connected(server, first) as live:
        assert says in json.loads(live.recv())["error"]
        with pytest.raises(ConnectionClosed) as closed:
            live.recv()
        assert closed.value.rcvd.code == 1008


def test_four_live_at_once(server):
    with connected(server, None):  # which has no place before it says what it wants
        lives = [connected(server) for _ in range(4)]
        assert all(json.loads(live.recv()) == {"ready": True} for live in lives)
        with connected(server) as live:
            assert "too many live pictures" in json.loads(live.recv())["error"]
            with pytest.raises(ConnectionClosed) as closed:
                live.recv()
            assert closed.value.rcvd.code == 1013
    for live in lives:
        live.close()

    def is_let_in():
        with connected(server) as live:
            return "ready" in json.loads(live.recv())

    until(is_let_in)


@pytest.mark.parametrize(
    "path",
    [
        "../app.py",
        "..%2fapp.py",
        "%2e%2e/app.py",
        "%2e%2e%2fapp.py",
        "%252e%252e/app.py",
        "x/../../app.py",
        "..\\app.py",
        "..%5capp.py",
        "....//app.py",
        "..;/app.py",
        "..%c0%afapp.py",
        "..%00/app.py",
        "index.html%00",
        "%00",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "//etc/passwd",
        "file:///etc/passwd",
        "C:\\x",
        "~root",
        "a" * 5000,
        "../samples/group.jpg",
    ],
)
def test_nothing_outside_the_page_s_folder_is_served(server, path):
    for start in ("/page/", "/", "//page/"):
        with opened(server, f"GET {start}{path} HTTP/1.1\r\nHost: h\r\n".encode()) as client:
            client.sendall(b"Connection: close\r\n\r\n")
            status, *_ = client.makefile("rb").read().split(b"\r\n")
        assert status == b"HTTP/1.1 404 Not Found"


def test_addresses_and_paths_are_never_read(server):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/a.jpg"
        for address in (url, url.replace("http", "HTTPS"), f"file://{GROUP_FILE}", str(GROUP_FILE)):
            for picture in (
                address.encode(),
                json.dumps({"picture": address}).encode(),
                {"data": {"picture": address}, "files": {"other": (None, "")}},
                {"files": {"picture": (address, address.encode())}},
                {"json": {"picture": address}},
            ):
                assert server.predict(picture).status_code == 400
            for option in ("picture", "boxes", "model", "detector", "url"):
                assert server.predict(JUMPING, **{option: address}).status_code == 400
            assert server.predict(JUMPING, name=address).json()["image"]["path"] == address
            with connected(server, json.dumps({"model": address})) as live:
                assert "error" in json.loads(live.recv())
            with connected(server) as live:
                live.recv()
                live.send(address.encode())
                assert "error" in json.loads(live.recv())
        with pytest.raises(BlockingIOError):
            listening.accept()


def test_a_fault_with_one_picture_is_not_that_of_others_in_its_batch(estimator):
    class Faulty:
        """It passes for a picture of PIL's, and fails as nothing of ours would."""

        getexif = convert = mode = None

        @property
        def size(self):
            raise ZeroDivisionError

    batcher = Batcher(estimator, deadline=0.0, most=8)
    good = files("hrnet.samples") / "group.jpg"
    pictures = [Picture(source) for source in (str(good), Faulty(), str(good))]
    answers = [batcher.submit(picture) for picture in pictures]
    batcher.close()
    with pytest.raises((ZeroDivisionError, AttributeError)):
        answers[1].result()
    assert [len(answers[i].result().result.poses) for i in (0, 2)] == [6, 6]


@pytest.mark.skipif(sys.platform != "linux", reason="threads have priorities of their own on Linux")
def test_what_computes_gives_way_to_what_speaks_with_clients():
    def niceness():
        return os.getpriority(os.PRIO_PROCESS, get_native_id())

    found = []

    def start():
        found.append(niceness())
        thread = Thread(target=lambda: found.append(niceness()))
        thread.start()
        thread.join()
        return "started"

    before = niceness()
    assert in_background(start) == "started"
    assert found == [before + WAY, before + WAY]
    assert niceness() == before


@pytest.mark.slow
def test_a_load_of_four_times_what_is_taken(tmp_path, estimator):
    known = {picture: estimator(picture).to_dict()["people"] for picture in pictures(8)}
    # One arena, as what many leave free of each is no growth.
    with serving(tmp_path, "--queue", "8", MALLOC_ARENA_MAX="1") as server:

        def ask(client):
            refused = 0
            with httpx.Client(base_url=server.address, timeout=60, trust_env=False) as own:
                for number in range(4):
                    picture = list(known)[(client + number) % len(known)]
                    response = own.post("/predict", content=picture)
                    if response.status_code == 200:
                        assert_same(response.json()["people"], known[picture])
                        continue
                    assert response.status_code == 503
                    error = {"error": "too many requests are waiting; try again later"}
                    assert response.json() == error
                    assert 1 <= int(response.headers["Retry-After"]) <= 60
                    refused += 1
            return refused

        memory = []
        with ThreadPoolExecutor(32) as pool:
            for _ in range(12):
                lines = len(server.log())
                refused = sum(pool.map(ask, range(32)))
                assert 8 <= refused <= 32 * 4 - 8
                times = [line["ms"] for line in server.log()[lines:] if line["status"] == 503]
                assert len(times) == refused
                assert np.quantile(times, 0.9) < 50  # cores may be somebody else's for a while
                memory.append(server.metrics()["process_resident_memory_bytes",])
        # The first four rounds still meet new sizes of batches; from then on it was flat for 140.
        assert np.mean(memory[8:]) < 1.02 * np.mean(memory[4:8])
