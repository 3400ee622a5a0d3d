"""Folders of results, interrupted wherever."""

import csv
import json
import shutil

import numpy as np
import pytest

from hrnet.errors import ConfigError
from hrnet.images import read_image
from hrnet.images.sources import Source
from hrnet.predicting.outputs import JOURNAL_FILE, Outputs, output_names, parse_kinds
from hrnet.predicting.picture import Picture, PictureResult
from hrnet.result import Poses
from hrnet.skeletons import load_skeleton

SKELETON = load_skeleton("coco17")
SETTINGS = {"model": "m", "flip test": False}


def poses(number, people):
    return Poses(
        keypoints=np.full((people, 17, 2), number, np.float32),
        scores=np.full((people, 17), 0.5, np.float32),
        boxes=np.tile(np.float32([1, 2, 30, 40]), (people, 1)),
        box_scores=np.full(people, 0.5, np.float32),
        skeleton=SKELETON,
        box_source="given",
    )


@pytest.fixture
def sources(tmp_path):
    return [Source(tmp_path / f"{n}.png", f"sub/{n}.png") for n in range(4)]


@pytest.fixture
def outputs(tmp_path, sources):
    def make(out="out", kinds=("json", "coco", "csv"), ids=(7, 5, 3, 1), **changes):
        values = {"settings": SETTINGS, "resume": True, "threshold": 0.2, "skeleton": SKELETON}
        values["has_probability"] = False
        return Outputs(tmp_path / out, kinds, sources, image_ids=ids, **{**values, **changes})

    return make


def write(outputs, source, people=None):
    """Picture n has n people, all of whose joints are at (n, n)."""
    number = int(source.place.stem)
    found = poses(number, number if people is None else people)
    matrices = np.tile(np.eye(2, 3), (len(found), 1, 1))
    picture = Picture(np.zeros((50, 50, 3), np.uint8))
    result = PictureResult(picture, found, matrices=matrices, crop_size=(6, 8))
    about = {"file": "m", "path": "m", "model": {"name": "m"}}
    content = PictureResult(picture, found, size=(50, 50)).answer(**about)
    outputs.write(source, result, content)
    outputs.record(source, content)


def run(outputs, pictures):
    for source in pictures:
        if not outputs.is_done(source):
            write(outputs, source)
    outputs.finish()


def everything(folder):
    files = [f for f in folder.rglob("*") if f.is_file() and f.name != JOURNAL_FILE]
    return {str(f.relative_to(folder)): f.read_bytes() for f in files}


def test_tables_hold_everybody_once_in_the_order_of_the_sources(outputs, sources, tmp_path):
    run(outputs(), reversed(sources))
    rows = json.loads((tmp_path / "out/coco_results.json").read_text())
    assert [row["image_id"] for row in rows] == [5, 3, 3, 1, 1, 1]
    assert [row["file_name"] for row in rows[:2]] == ["sub/1.png", "sub/2.png"]
    assert rows[0]["keypoints"] == [1, 1, 0.5] * 17
    assert rows[0]["score"] == pytest.approx(0.25)
    with (tmp_path / "out/poses.csv").open(newline="") as stream:
        table = list(csv.DictReader(stream))
    assert [row["person"] for row in table] == ["0", "0", "1", "0", "1", "2"]
    assert table[-1]["path"] == str(sources[3].place)
    assert table[-1]["pixels"] == "upright"
    assert (table[-1]["x2"], table[-1]["box_score"]) == ("30.0", "0.5")
    assert (table[-1]["right_ankle_x"], table[-1]["right_ankle_score"]) == ("3.0", "0.5")


def test_coco_results_are_what_pycocotools_reads(outputs, sources, tmp_path):
    coco = pytest.importorskip("pycocotools.coco")
    run(outputs(), sources)
    truth = coco.COCO()
    truth.dataset = {"images": [{"id": n} for n in (7, 5, 3, 1)], "categories": [{"id": 1}]}
    truth.createIndex()
    found = truth.loadRes(str(tmp_path / "out/coco_results.json"))
    assert len(found.getAnnIds(imgIds=[1])) == 3


def test_nobody_anywhere_is_an_empty_table(outputs, sources, tmp_path):
    nobody = outputs()
    write(nobody, sources[0])
    nobody.finish()
    assert json.loads((tmp_path / "out/coco_results.json").read_text()) == []
    assert (tmp_path / "out/poses.csv").read_text().count("\n") == 1


def test_a_run_that_was_cut_at_any_byte_goes_on_to_the_same_results(outputs, sources, tmp_path):
    run(outputs("whole"), sources)
    expected = everything(tmp_path / "whole")
    journal = (tmp_path / "whole" / JOURNAL_FILE).read_bytes()
    for length in {*range(0, len(journal), 97), len(journal) - 1, len(journal)}:
        out = tmp_path / "cut"
        shutil.copytree(tmp_path / "whole", out)
        (out / JOURNAL_FILE).write_bytes(journal[:length])
        resumed = outputs("cut")
        done = sum(map(resumed.is_done, sources))
        assert done == max(0, journal[:length].count(b"\n") - 1)
        run(resumed, sources)
        assert everything(out) == expected
        assert sum(map(outputs("cut").is_done, sources)) == 4
        shutil.rmtree(out)


def test_a_damaged_line_is_a_picture_that_is_done_again(outputs, sources, tmp_path):
    run(outputs(), sources)
    expected = everything(tmp_path / "out")
    file = tmp_path / "out" / JOURNAL_FILE
    lines = file.read_bytes().splitlines(keepends=True)
    lines[2] = b"\0" * len(lines[2][:-1]) + b"\n"
    file.write_bytes(b"".join(lines))
    resumed = outputs()
    assert [resumed.is_done(source) for source in sources] == [True, False, True, True]
    run(resumed, sources)
    assert everything(tmp_path / "out") == expected


def test_a_result_that_was_removed_is_made_again(outputs, sources, tmp_path):
    kinds = ("json", "image", "crops")
    run(outputs(kinds=kinds), sources)
    (tmp_path / "out/sub/0.json").unlink()
    (tmp_path / "out/sub/1.png").unlink()
    (tmp_path / "out/sub/2.crops/1.png").unlink()
    assert [outputs(kinds=kinds).is_done(s) for s in sources] == [False, False, False, True]


def test_a_picture_that_is_done_twice_counts_once_and_as_the_last_time(outputs, sources, tmp_path):
    first = outputs(kinds=("coco", "crops"))
    write(first, sources[3])
    write(first, sources[3], people=1)
    first.finish()
    assert len(json.loads((tmp_path / "out/coco_results.json").read_text())) == 1
    (crop,) = (tmp_path / "out/sub/3.crops").iterdir()
    assert read_image(crop).shape == (8, 6, 3)


def test_without_resume_everything_is_begun_anew(outputs, sources, tmp_path):
    run(outputs(), sources)
    anew = outputs(resume=False)
    assert not any(map(anew.is_done, sources))
    write(anew, sources[1])
    anew.finish()
    assert len(json.loads((tmp_path / "out/coco_results.json").read_text())) == 1


@pytest.mark.parametrize("before", ['{"settings": {"model": "n", "flip test": false}}', "{}", "?"])
def test_other_settings_are_no_run_to_go_on_with(outputs, tmp_path, before):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / JOURNAL_FILE).write_text(before + "\n")
    with pytest.raises(ConfigError, match="were made with another model"):
        outputs()
    outputs(resume=False)


def test_the_unknown_is_not_saved():
    assert parse_kinds("json, coco") == {"json", "coco"}
    with pytest.raises(ConfigError, match="nothing to save is called 'crop'; did you mean crops"):
        parse_kinds("json,crop")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a.jpg", "b.png"], ["a", "b"]),
        (["a.jpg", "a.png"], ["a.jpg", "a.png"]),
        (["a.jpg", "A.png"], ["a.jpg", "A.png"]),  # one file on Windows and macOS
        (["é.jpg", "e\u0301.png"], ["é.jpg", "e\u0301.png"]),  # one name on macOS
        (["a.jpg", "A.JPG", "a.jpg"], ["a.jpg", "A.JPG-2", "a.jpg-3"]),
        (["a.jpg", "a.png", "a.jpg.webp"], ["a.jpg", "a.png", "a.jpg.webp-2"]),
        (["one/a.jpg", "two/a.jpg"], ["one/a", "two/a"]),
        (["one/a.jpg", "ONE/a.png"], ["one/a.jpg", "ONE/a.png"]),
        (["a.b.c.jpg", "noext", ".hidden.png"], ["a.b.c", "noext", ".hidden"]),
        (["coco_results.jpg"], ["coco_results.jpg-2"]),  # not the table's place
        (["a.png", "a.crops/0.png"], ["a.png-2", "a.crops/0"]),  # not among the crops
        (["a.png", "a.json/0.png"], ["a.png-2", "a.json/0"]),
    ],
)
def test_names_do_not_collide_on_any_file_system(names, expected):
    assert output_names(names) == expected


def test_long_names_leave_room_for_the_ending(tmp_path):
    names = ["雪" * 84 + ".jpg", "雪" * 83 + "山.jpg"]
    first, second = output_names(names)
    assert first != second
    for name in (first, second):
        (tmp_path / f"{name}.crops").mkdir()


def test_ten_thousand_names_alike_take_no_time_to_tell_apart():
    assert len(set(output_names(["a.jpg"] * 10_000))) == 10_000
