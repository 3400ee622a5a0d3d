"""The page of `hrnet serve`, used in Chromium as people use it."""

import csv
import io
import json
import os
import re
import shutil
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import expect, sync_playwright

from hrnet.predicting.estimator import PoseEstimator
from hrnet.result import probability_columns, row_columns
from serving import serving

GROUP = Path(str(files("hrnet") / "samples" / "group.jpg"))
JUMPING = Path(__file__).parent / "pictures" / "jumping.jpg"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
LOCALES = {"en": "en-GB", "zh": "zh-CN"}
SIZES = pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
LANGUAGES = pytest.mark.parametrize("language", LOCALES)
SIX = {"en": "6 people", "zh": "6 人"}
BLUE_LEFT, BLUE_RIGHT = "oklch(0.87 0.15 255)", "oklch(0.52 0.19 255)"  # of the first person


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Of a service of the packaged model."""
    folder = tmp_path_factory.mktemp("service")
    with serving(folder, HRNET_RUNTIME="torch", HRNET_PRECISION="fp32") as server:
        yield f"{server.address}/"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Chromium, with a webcam before which the sample photograph hangs."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        reason = "there is no Chromium to open the page in: apt-get install chromium"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    film = tmp_path_factory.mktemp("webcam") / "webcam.mjpeg"
    film.write_bytes(GROUP.read_bytes())
    webcam = f"--use-file-for-fake-video-capture={film}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=[*ARGUMENTS, webcam])
        yield browser
        browser.close()


@pytest.fixture
def opened(address, browser):
    """Opens the page in a browser of its own; in the end nothing has been asked of another
    address, and no error has been logged but those a test takes from `page.errors`."""
    contexts = []
    pages = []

    def open_page(language="en", size=WIDE, **options):
        context = browser.new_context(viewport=size, locale=LOCALES[language], **options)
        contexts.append(context)
        page = context.new_page()
        page.errors, page.asked = [], []
        page.on("console", lambda said: page.errors.append(said.text) if is_error(said) else None)
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(address)
        expect(page.locator("#model option")).to_have_count(1)
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        assert page.errors == []
        assert [
            url for url in page.asked if not url.removeprefix("blob:").startswith(address)
        ] == []
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def poses():
    """What the page must say of the sample photograph."""
    return PoseEstimator()(GROUP)


def is_error(message):
    return message.type == "error"


def drop(page, *paths):
    """As from a file manager."""
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 200, "y": 300, "data": data})


def show(page, *paths, state=SIX["en"]):
    page.set_input_files("#files", paths)
    expect(page.locator("#shown-state")).to_have_text(state)


def asked_for_answers(page):
    return sum("/predict" in url for url in page.asked)


def downloaded(page, button):
    with page.expect_download() as download:
        page.click(button)
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def percents(poses):
    """(P, K) whole numbers, of the probabilities with the three decimals of an answer."""
    return np.floor(100 * poses.probability.astype(float).round(3) + 0.5).astype(int)


def on_screen(page, x, y, width=960):
    """Where a pixel of a picture is, for the mouse."""
    box = page.locator("#drawing").bounding_box()
    scale = box["width"] / width
    return box["x"] + (float(x) + 0.5) * scale, box["y"] + (float(y) + 0.5) * scale


def colour_of(page, css):
    """(3,) that a canvas makes of it."""
    return page.evaluate(
        """(css) => {
          const context = new OffscreenCanvas(1, 1).getContext("2d");
          context.fillStyle = css;
          context.fillRect(0, 0, 1, 1);
          return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
        }""",
        css,
    )


def check_accessible(page):
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        broken = Axe().run(page).response["violations"]
        assert [(rule["id"], node["html"]) for rule in broken for node in rule["nodes"]] == []


def check_fits(page):
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width == page.viewport_size["width"]


@SIZES
@LANGUAGES
def test_everyone_in_a_dropped_picture_is_shown(opened, poses, language, size):
    page = opened(language, size)
    assert page.locator("html").get_attribute("lang") == {"en": "en", "zh": "zh-CN"}[language]
    check_fits(page)
    check_accessible(page)
    drop(page, GROUP)
    expect(page.locator("#shown-state")).to_have_text(SIX[language])
    expect(page.locator("#pictures .state")).to_have_text(SIX[language])
    expect(page.locator("#people-choice label")).to_have_count(6)
    rows = [row.split("\t") for row in page.locator("#joints tbody tr").all_inner_texts()]
    k = poses.skeleton.index("left_wrist")
    wrist = rows[k]
    assert wrist[0] == {"en": "Left wrist", "zh": "左腕"}[language]
    assert wrist[1] == f"{percents(poses)[0, k]} %"
    assert [float(v) for v in wrist[2:]] == pytest.approx(poses.keypoints[0, k], abs=0.1)
    page.locator("#drawing").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#tip")).to_be_visible()
    check_fits(page)
    check_accessible(page)


@SIZES
def test_arrow_keys_say_joint_probability_and_person(opened, poses, size):
    page = opened(size=size)
    show(page, GROUP)
    page.locator("#drawing").focus()
    said = page.locator("#announcer")
    percent = percents(poses)
    for key, expected in [
        ("ArrowRight", f"Nose, probability {percent[0, 0]} %, Person 1"),
        ("ArrowRight", f"Left eye, probability {percent[0, 1]} %, Person 1"),
        ("ArrowDown", f"Left eye, probability {percent[1, 1]} %, Person 2"),
        ("ArrowLeft", f"Nose, probability {percent[1, 0]} %, Person 2"),
        ("ArrowLeft", f"Right ankle, probability {percent[1, 16]} %, Person 2"),
        ("ArrowUp", f"Right ankle, probability {percent[0, 16]} %, Person 1"),
        ("ArrowUp", f"Right ankle, probability {percent[5, 16]} %, Person 6"),
    ]:
        page.keyboard.press(key)
        expect(said).to_have_text(expected)
    expect(page.locator("#tip")).to_have_text(f"Right ankle {percent[5, 16]} %")
    expect(page.locator("#joints .selected th")).to_have_text("Right ankle")
    expect(page.locator("#people-choice input").nth(5)).to_be_checked()
    page.keyboard.press("Escape")
    expect(page.locator("#tip")).to_be_hidden()
    page.locator("#people-choice input").nth(5).focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#joints-title")).to_have_text("Person 5")


@SIZES
@LANGUAGES
def test_a_joint_that_is_pointed_at_is_named(opened, poses, language, size):
    page = opened(language, size)
    show(page, GROUP, state=SIX[language])
    name = {"en": "Right knee", "zh": "右膝"}[language]
    k = poses.skeleton.index("right_knee")
    for person in range(6):
        page.mouse.move(*on_screen(page, *poses.keypoints[person, k]))
        expect(page.locator("#tip")).to_have_text(f"{name} {percents(poses)[person, k]} %")
    page.mouse.move(*on_screen(page, 480, 40))
    expect(page.locator("#tip")).to_be_hidden()


def answer(keypoints, *, score=0.9, size=(400, 300)):
    """Of a service, for a person whose joints are nowhere but there."""
    return {
        "schema": 1,
        "image": {
            "file": "a.png",
            "path": "a.png",
            "width": size[0],
            "height": size[1],
            "pixels": "upright",
            "orientation": 1,
        },
        "model": {"name": "own"},
        "box_source": "whole",
        "people": [
            {
                "keypoints": [[*point, score] for point in keypoints],
                "score": score,
                "box": [0, 0, *size],
                "box_score": 1,
            }
        ],
        "skeleton": {
            "schema": 1,
            "name": "own",
            "keypoints": [f"joint_{i}" for i in range(len(keypoints))],
            "pairs": [],
            "limbs": [],
        },
    }


@pytest.mark.parametrize("density", [1, 2])
def test_a_joint_is_drawn_where_it_is_to_a_part_of_a_pixel(opened, tmp_path, density):
    page = opened(device_scale_factor=density)
    Image.new("RGB", (400, 300)).save(tmp_path / "a.png")
    x, y = 123.25, 45.5
    page.route("**/predict*", lambda route: route.fulfill(json=answer([(x, y)])))
    show(page, tmp_path / "a.png", state="1 person")
    # As high as the window lets it, and as wide as the room.
    for window, shown in ((1280, 0.74 * 900 / 300 * 400), (700, 700 - 2 * 24)):
        page.set_viewport_size({"width": window, "height": 900})
        expect(page.locator("#frame")).to_have_css("width", f"{shown:.0f}px")
        canvas = page.evaluate(
            """() => {
              const { width, height } = document.getElementById("drawing");
              const context = document.getElementById("drawing").getContext("2d");
              const { data } = context.getImageData(0, 0, width, height);
              let [sum, left, top] = [0, 0, 0];
              for (let i = 3; i < data.length; i += 4) {
                const pixel = (i - 3) / 4;
                sum += data[i];
                left += data[i] * ((pixel % width) + 0.5);
                top += data[i] * (Math.floor(pixel / width) + 0.5);
              }
              return [width, left / sum, top / sum];
            }"""
        )
        assert canvas[0] == round(shown * density)
        scale = canvas[0] / 400
        assert canvas[1:] == pytest.approx([(x + 0.5) * scale, (y + 0.5) * scale], abs=0.2)


@SIZES
def test_the_threshold_changes_the_drawing_and_asks_nothing(opened, poses, size):
    page = opened(size=size)
    show(page, GROUP)
    expect(page.locator("#threshold-value")).to_have_text("20 %")
    assert page.locator("#joints .left-out").count() == (poses.probability[0] < 0.2).sum()
    before = page.locator("#drawing").screenshot()
    page.locator("#threshold").focus()
    page.keyboard.press("End")
    expect(page.locator("#threshold-value")).to_have_text("100 %")
    expect(page.locator("#joints .left-out")).to_have_count(17)
    assert page.locator("#drawing").screenshot() != before
    page.mouse.move(*on_screen(page, *poses.keypoints[0, 0]))
    expect(page.locator("#tip")).to_be_hidden()
    assert asked_for_answers(page) == 1


def test_scores_stand_where_a_model_has_no_probability(opened, tmp_path):
    page = opened()
    Image.new("RGB", (400, 300)).save(tmp_path / "a.png")
    content = answer([(30, 40)], score=1.07)
    page.route("**/predict*", lambda route: route.fulfill(json=content))
    show(page, tmp_path / "a.png", state="1 person")
    expect(page.locator("#sure")).to_have_text("Score")
    expect(page.locator("#threshold-value")).to_have_text("0.20")
    page.mouse.move(*on_screen(page, 30, 40, width=400))
    expect(page.locator("#tip")).to_have_text("Joint 0 1.07")
    header = downloaded(page, "#one-csv")[1].decode().splitlines()[0]
    assert header.endswith("joint_0_x,joint_0_y,joint_0_score")


@pytest.fixture
def folder(tmp_path):
    """With pictures at two depths, and what is none."""
    shots = tmp_path / "shots"
    (shots / "deep").mkdir(parents=True)
    shutil.copy(JUMPING, shots / "b, c.jpg")
    shutil.copy(GROUP, shots / "deep" / "group.jpg")
    (shots / "notes.txt").write_text("no picture")
    return shots


@SIZES
@LANGUAGES
def test_a_folder_s_answers_are_downloaded_as_hrnet_predict_writes_them(
    opened, poses, folder, language, size
):
    page = opened(language, size)
    if size is WIDE:
        drop(page, folder)
    else:
        page.set_input_files("#folder", folder)
    one = {"en": "1 person", "zh": "1 人"}[language]
    expect(page.locator("#pictures .state")).to_have_text([one, SIX[language]])
    check_fits(page)
    paths = ["shots/b, c.jpg", "shots/deep/group.jpg"]
    assert page.locator("#pictures .name").all_text_contents() == paths
    name, content = downloaded(page, "#all-json")
    assert name == "poses.json"
    answers = json.loads(content)
    assert [a["image"]["path"] for a in answers] == paths
    for found, expected in zip(answers[1]["people"], poses.to_dict()["people"], strict=True):
        for key, values in expected.items():
            np.testing.assert_allclose(found[key], values, atol=0.01)
    name, content = downloaded(page, "#all-csv")
    assert name == "poses.csv"
    lines = content.decode().split("\r\n")
    assert lines[-1] == ""
    rows = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    skeleton = poses.skeleton
    columns = ["path", "pixels", *row_columns(skeleton), *probability_columns(skeleton)]
    assert lines[0].split(",") == columns
    assert [row["path"] for row in rows] == [paths[0]] + [paths[1]] * 6
    for row, expected in zip(rows[1:], poses.to_rows(), strict=True):
        assert row["pixels"] == "upright"
        for column, value in expected.items():
            assert float(row[column]) == pytest.approx(value, abs=0.01), column
    page.locator("#pictures button").nth(1).click()
    name, content = downloaded(page, "#one-json")
    assert name == "group.json"
    assert json.loads(content) == answers[1]


def test_the_annotated_picture_has_the_picture_s_pixels(opened, poses):
    page = opened()
    show(page, GROUP)
    name, content = downloaded(page, "#one-png")
    assert name == "group.png"
    drawn = np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)
    original = np.asarray(Image.open(GROUP)).astype(int)
    assert drawn.shape == original.shape
    differs = np.abs(drawn - original).max(axis=2) > 30
    assert 0.01 < differs.mean() < 0.1
    for joint, colour in [("left_hip", BLUE_LEFT), ("right_hip", BLUE_RIGHT)]:
        x, y = np.rint(poses.keypoints[0, poses.skeleton.index(joint)]).astype(int)
        assert np.abs(drawn[y, x] - colour_of(page, colour)).max() < 5


def test_a_turned_picture_is_shown_and_drawn_upright(opened, tmp_path):
    page = opened()
    upright = Image.open(GROUP)
    turned = upright.transpose(Image.Transpose.ROTATE_90)
    turned.save(tmp_path / "turned.jpg", exif=exif_of(6), quality=95)
    upright.save(tmp_path / "upright.png")
    drawn = []
    for name in ("turned.jpg", "upright.png"):
        show(page, tmp_path / name)
        expect(page.locator("#unshowable")).to_be_hidden()
        assert page.evaluate("document.getElementById('picture').naturalWidth") == 960
        content = downloaded(page, "#one-png")[1]
        drawn.append(np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int))
    assert np.abs(drawn[0] - drawn[1]).mean() < 3
    # Chromium leaves WebP pictures as they are stored.
    upright.rotate(180).save(tmp_path / "turned.webp", exif=exif_of(3))
    show(page, tmp_path / "turned.webp")
    expect(page.locator("#unshowable")).to_be_visible()


def exif_of(orientation):
    exif = Image.Exif()
    exif[274] = orientation
    return exif


def test_what_the_browser_cannot_show_is_drawn_on_an_empty_ground(opened, poses, tmp_path):
    page = opened()
    Image.open(GROUP).save(tmp_path / "group.tif")
    show(page, tmp_path / "group.tif")
    expect(page.locator("#unshowable")).to_contain_text("cannot show")
    expect(page.locator("#picture")).to_be_hidden()
    expect(page.locator("#one-png")).to_be_disabled()
    page.mouse.move(*on_screen(page, *poses.keypoints[0, 15]))
    expect(page.locator("#tip")).to_contain_text("Left ankle")


def test_a_broken_picture_has_its_sentence_and_the_others_their_answers(opened, tmp_path):
    page = opened("zh")
    (tmp_path / "broken.jpg").write_bytes(GROUP.read_bytes()[:20_000])
    drop(page, tmp_path / "broken.jpg", JUMPING)
    state = page.locator("#shown-state")
    expect(state).to_have_text(re.compile("cut off"))
    assert state.get_attribute("lang") == "en"
    expect(page.locator("#pictures .state").nth(1)).to_have_text("1 人")
    page.click("#again")
    expect(page.locator("#shown-state")).to_have_text(re.compile("cut off"))
    assert asked_for_answers(page) == 3
    assert page.locator("#downloads-one").is_hidden()
    assert len(json.loads(downloaded(page, "#all-json")[1])) == 1
    check_accessible(page)
    assert [error for error in page.errors if "400" not in error] == []
    page.errors.clear()


def test_a_long_side_of_8000_pixels(opened, tmp_path):
    page = opened()
    Image.open(GROUP).resize((8000, 800)).save(tmp_path / "wide.jpg")
    page.set_input_files("#files", tmp_path / "wide.jpg")
    expect(page.locator("#shown-state")).to_have_text(re.compile("people|person"))
    assert page.locator("#drawing").evaluate("(canvas) => canvas.width") < 1280
    content = downloaded(page, "#one-png")[1]
    assert Image.open(io.BytesIO(content)).size == (8000, 800)


@SIZES
@LANGUAGES
def test_a_picture_is_pasted(opened, language, size):
    page = opened(language, size)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate(
        """async () => {
          const response = await fetch("page/sample.jpg");
          const bitmap = await createImageBitmap(await response.blob());
          const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
          canvas.getContext("2d").drawImage(bitmap, 0, 0);
          const blob = await canvas.convertToBlob({ type: "image/png" });
          await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })]);
        }"""
    )
    page.keyboard.press("Control+V")
    expect(page.locator("#shown-state")).to_have_text(SIX[language])
    expect(page.locator("#shown-name")).to_have_text("image-1.png")


@SIZES
@LANGUAGES
def test_the_webcam_is_looked_at_and_nothing_piles_up(opened, poses, language, size):
    page = opened(language, size)
    page.evaluate("sessionStorage.setItem('hrnet-token', 'a secret')")
    sent, on_their_way = [], []

    def watch(socket):
        socket.on("framesent", lambda data: sent.append(data))

        def received(text):
            message = json.loads(text)
            if "frame" in message:
                on_their_way.append(len(sent) - 1 - message["frame"])

        socket.on("framereceived", received)

    page.on("websocket", watch)
    page.click("#webcam")
    rate = r"[0-9.]*[1-9][0-9.]*"
    state = {"en": rf"^{rate} frames a second, 6 people$", "zh": rf"^每秒 {rate} 帧.6 人$"}
    expect(page.locator("#shown-state")).to_have_text(re.compile(state[language]))
    expect(page.locator("#stop")).to_be_focused()
    options = json.loads(sent[0])
    assert options["token"] == "a secret"
    assert (options["detector"], options["smooth"]) == ("auto", True)
    x, y = page.locator("#joints tbody tr").first.inner_text().split("\t")[2:]
    assert [float(x), float(y)] == pytest.approx(poses.keypoints[0, 0], abs=6)
    page.mouse.move(*on_screen(page, *poses.keypoints[0, 0]))
    expect(page.locator("#tip")).to_contain_text({"en": "Nose", "zh": "鼻"}[language])
    check_accessible(page)
    check_fits(page)
    assert max(on_their_way) <= 2
    page.click("#stop")
    expect(page.locator("#welcome")).to_be_visible()
    said = {"en": "The webcam is off.", "zh": "摄像头已关闭。"}
    expect(page.locator("#announcer")).to_have_text(said[language])


def test_a_busy_service_is_asked_again_when_it_says(opened):
    page = opened()
    answers = []

    def busy(route):
        answers.append(route)
        if len(answers) == 1:
            error = {"error": "too many requests are waiting"}
            route.fulfill(status=503, headers={"Retry-After": "1"}, json=error)
        else:
            route.continue_()

    page.route("**/predict*", busy)
    page.set_input_files("#files", JUMPING)
    expect(page.locator("#shown-state")).to_have_text("the service is busy; asking again in 1 s")
    expect(page.locator("#shown-state")).to_have_text("1 person")
    assert len(answers) == 2
    assert ["503" in error for error in page.errors] == [True]
    page.errors.clear()


def test_two_pictures_are_asked_for_at_a_time(opened, tmp_path):
    page = opened()
    for i in range(5):
        Image.new("RGB", (400, 300)).save(tmp_path / f"{i}.png")
    held = []
    page.route("**/predict*", lambda route: held.append(route))
    page.set_input_files("#files", sorted(tmp_path.glob("*.png")))
    states = page.locator("#pictures .state")
    expect(states).to_have_text(["being looked at"] * 2 + ["waiting"] * 3)
    for done in range(1, 6):
        while not held:
            page.wait_for_timeout(1)
        held.pop(0).fulfill(json=answer([(30, 40)]))
        expect(states.filter(has_text="1 person")).to_have_count(done)
        expect(states.filter(has_text="being looked at")).to_have_count(min(2, 5 - done))
    assert asked_for_answers(page) == 5


def test_a_token_is_asked_for_and_sent(opened):
    page = opened()
    sent = []

    def guarded(route):
        sent.append(route.request.headers.get("authorization"))
        if sent[-1] == "Bearer a secret":
            route.continue_()
        else:
            route.fulfill(status=401, json={"error": "the token is missing or wrong"})

    page.route("**/predict*", guarded)
    page.set_input_files("#files", JUMPING)
    expect(page.locator("#token-reason")).to_have_text("the token is missing or wrong")
    expect(page.locator("#token")).to_be_focused()
    check_accessible(page)
    page.keyboard.type("a guess")
    page.keyboard.press("Enter")
    expect(page.locator("#token")).to_have_value("")
    page.keyboard.type("a secret")
    page.keyboard.press("Enter")
    expect(page.locator("#shown-state")).to_have_text("1 person")
    assert sent == [None, "Bearer a guess", "Bearer a secret"]
    assert page.evaluate("sessionStorage.getItem('hrnet-token')") == "a secret"
    assert all("401" in error for error in page.errors)
    page.errors.clear()


def test_another_question_is_asked_of_all_pictures(opened):
    page = opened()
    page.set_input_files("#files", [JUMPING, GROUP])
    expect(page.locator("#pictures .state")).to_have_text(["1 person", "6 people"])
    page.select_option("#detector", "whole")
    expect(page.locator("#pictures .state")).to_have_text(["1 person", "1 person"])
    sources = {a["box_source"] for a in json.loads(downloaded(page, "#all-json")[1])}
    assert sources == {"whole"}


def test_a_model_is_chosen_where_several_are_served(opened, tmp_path):
    page = opened(size=PHONE)
    expect(page.locator("#model-field")).to_be_hidden()
    known = [{"name": "people", "of_people": True}, {"name": "hands", "of_people": False}]
    page.route("**/models", lambda route: route.fulfill(json={"models": known}))
    content = answer([(30, 40)])
    content["model"]["name"] = "hands"
    page.route("**/predict*", lambda route: route.fulfill(json=content))
    page.reload()
    page.select_option("#model", "hands")
    expect(page.locator("#detector")).to_be_hidden()
    Image.new("RGB", (400, 300)).save(tmp_path / "a.png")
    show(page, tmp_path / "a.png", state="1 found")
    assert "model=hands" in page.asked[-2] + page.asked[-1]
    check_fits(page)


def test_a_chosen_language_is_remembered(opened):
    page = opened()
    page.click("text=中文")
    expect(page.locator("#choose-files")).to_have_text("图片")
    page.reload()
    expect(page.locator("#choose-files")).to_have_text("图片")
    assert page.locator("html").get_attribute("lang") == "zh-CN"


def test_clearing_leaves_nothing(opened):
    page = opened()
    page.click("#sample")
    expect(page.locator("#shown-state")).to_have_text("6 people")
    page.click("#clear")
    expect(page.locator("#welcome")).to_be_visible()
    expect(page.locator("#pictures li")).to_have_count(0)
    expect(page.locator("#choose-files")).to_be_focused()


def test_a_folder_without_pictures_says_so(opened, tmp_path):
    page = opened()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("no picture")
    drop(page, tmp_path / "notes")
    expect(page.locator("#notice")).to_have_text("There are no pictures in the folder.")
    check_accessible(page)


def test_a_service_that_is_gone_is_said_to_be(opened):
    page = opened()
    page.route("**/predict*", lambda route: route.abort())
    show(page, GROUP, state="The service does not answer; see that it runs, then ask again.")
    page.unroute("**/predict*")
    page.click("#again")
    expect(page.locator("#shown-state")).to_have_text("6 people")
    page.errors.clear()
