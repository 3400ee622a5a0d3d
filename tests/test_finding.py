"""Finding pictures by the names that tools give them."""

import json
import unicodedata

import cv2
import numpy as np
import pytest

from hrnet.data.annotations import locate_pictures
from hrnet.data.check.checking import check
from hrnet.data.coco import read_coco
from hrnet.data.merge import merge
from hrnet.data.people import in_words
from hrnet.data.split import split
from hrnet.errors import DataError
from hrnet.images.finding import (
    END_OF_PATH,
    FROM_TREE,
    NAME_ALONE,
    SPELLED,
    find_pictures,
    same_name,
)
from hrnet.skeletons import skeleton_of_names


def picture(file, width=12, height=8):
    file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imencode(".png", np.zeros((height, width, 3), np.uint8))[1].tofile(str(file))
    return file


def find(folder, *names, **arguments):
    return find_pictures(names, folder, trees=[folder], **arguments)


def test_paths_are_taken_as_they_are(tmp_path):
    one, other = picture(tmp_path / "a" / "1.png"), picture(tmp_path / "b" / "1.png")
    found = find(tmp_path, "a/1.png", "b/1.png", "a/2.png")
    assert found.paths == [one, other, None]
    assert (found.how, found.refused) == ({}, {})


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("default\\Müller 1%.png", SPELLED),
        ("Default/MÜLLER 1%.PNG", SPELLED),
        ("/default/Müller 1%.png", SPELLED),
        ("./x/../default/Müller 1%.png", SPELLED),
        ("default/M%C3%BCller%201%25.png", SPELLED),
        (unicodedata.normalize("NFD", "default/Müller 1%.png"), SPELLED),
        ("https://host.org/files/default/M%C3%BCller%201%25.png?token=1", END_OF_PATH),
        ("/data/local-files/?d=shots/default/M%C3%BCller%201%25.png", END_OF_PATH),
        ("C:\\Users\\me\\default\\Müller 1%.png", END_OF_PATH),
        ("images/Müller 1%.png", NAME_ALONE),
        ("/data/upload/3/M%C3%BCller%201%25.png", NAME_ALONE),
        ("Müller 1%.png", NAME_ALONE),
    ],
)
def test_ways_of_naming_a_picture(tmp_path, name, how):
    file = picture(tmp_path / "default" / "Müller 1%.png")
    picture(tmp_path / "default" / "other.png")
    found = find(tmp_path, name)
    assert found.paths == [file]
    assert found.how == {how: 1}


def test_a_name_that_is_a_path_is_never_looked_for(tmp_path):
    file = picture(tmp_path / "a%20b.png")
    picture(tmp_path / "a b.png")
    assert find(tmp_path, "a%20b.png").paths == [file]
    assert find(tmp_path, "sub/a%20b.png").refused  # both are spelled so


AMBIGUOUS = [
    "1.png",
    "/1.png",
    "c/1.png",
    "x/1.PNG",
    "images\\1.png",
    "C:\\Users\\me\\1.png",
    "./c/../1.png",
    "%31.png",
    "images/%31.PNG",
    "https://host.org/upload/1.png?token=1",
    "/data/local-files/?d=in/1.png",
    "s3://bucket/ab/1.png",
]


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_several_that_fit_are_named(tmp_path, name):
    a, b = picture(tmp_path / "a" / "1.png"), picture(tmp_path / "b" / "1.png")
    found = find(tmp_path, name)
    assert found.paths == [None]
    assert found.refused == {0: f"{name} may be any of 2 pictures: {a}, {b}"}


@pytest.mark.parametrize("name", ["1.jpg", "11.png", "a-1.png", "a/1", "1.png.bak", "1"])
def test_what_nothing_is_called_is_no_picture(tmp_path, name):
    picture(tmp_path / "b" / "1.png")
    assert find(tmp_path, name).paths == [None]


def test_the_longest_end_decides(tmp_path):
    picture(tmp_path / "train" / "cam1" / "1.png")
    wanted = picture(tmp_path / "val" / "cam1" / "1.png")
    assert find(tmp_path, "D:/set/val/cam1/1.png").paths == [wanted]
    assert find(tmp_path, "D:/set/cam1/1.png").refused


def test_where_some_names_are_paths_the_others_are_missing(tmp_path):
    """Or spelled in another way; but not somebody else's picture of their name."""
    one, two = picture(tmp_path / "in" / "1.png"), picture(tmp_path / "in" / "2.png")
    picture(tmp_path / "crops" / "3.png")
    assert find(tmp_path, "in/1.png", "in/3.png", "IN\\2.png").paths == [one, None, two]
    assert find(tmp_path, "in/3.png").paths == [tmp_path / "crops" / "3.png"]


def test_two_names_are_not_one_picture(tmp_path):
    file = picture(tmp_path / "train" / "1.png")
    found = find(tmp_path, "val/1.png", "x/1.png")
    assert found.paths == [None, None]
    assert found.refused[0] == f"val/1.png: val/1.png and x/1.png would all be {file}"
    twice = find(tmp_path, "TRAIN/1.png", "train\\1.png")  # one picture, listed twice
    assert twice.paths == [file, file]


def test_the_size_must_be_the_one_listed(tmp_path):
    file = picture(tmp_path / "in" / "1.png", 12, 8)
    assert find(tmp_path, "1.png", sizes=[(12, 8)]).paths == [file]
    wrong = find(tmp_path, "1.png", sizes=[(13, 8)])
    assert wrong.paths == [None]
    assert "picture of 13 x 8 pixels, but is 12 x 8" in wrong.refused[0]
    # What is its path is taken: hrnet data check says that the size is wrong.
    assert find(tmp_path, "in/1.png", sizes=[(13, 8)]).paths == [file]


def test_links_are_followed_and_not_counted_twice(tmp_path):
    file = picture(tmp_path / "real" / "1.png")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "circle").symlink_to(tmp_path)
    assert find(tmp_path, "x/1.png").paths[0].resolve() == file


def test_one_tree_after_the_other(tmp_path):
    near, far = picture(tmp_path / "a" / "1.png"), picture(tmp_path / "2.png")
    picture(tmp_path / "b" / "1.png")
    found = find_pictures(["x/1.png", "x/2.png"], tmp_path / "a", trees=[tmp_path / "a", tmp_path])
    assert found.paths == [near, far]
    from_above = find_pictures(["a/1.png"], tmp_path / "a", trees=[tmp_path / "a", tmp_path])
    assert (from_above.paths, from_above.how) == ([near], {FROM_TREE: 1})


def test_other_files_and_hidden_ones_are_no_pictures(tmp_path):
    picture(tmp_path / ".hidden" / "1.png")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.txt").write_text("")
    assert find(tmp_path, "x/1.png", "x/1.txt").paths == [None, None]


def test_names_of_nothing_are_found_nowhere(tmp_path):
    picture(tmp_path / "1.png")
    for name in ("", "/", "..", "http://[", "a\0b.png", "?d="):
        assert find(tmp_path, name).paths[0] in (None, tmp_path, tmp_path / "..", tmp_path / "/")


def test_same_name():
    assert same_name("\\A//./b/../C%20d.JPG") == ("a", "c d.jpg")


CVAT = "annotations/person_keypoints_default.json"


def annotations(file, *names):
    """Somebody in each picture of these names."""
    content = {
        "images": [
            {"id": i, "file_name": name, "width": 12, "height": 8} for i, name in enumerate(names)
        ],
        "annotations": [
            {
                "id": i, "image_id": i, "category_id": 1, "bbox": [1, 1, 9, 6], "area": 54,
                "keypoints": [3, 3, 2], "num_keypoints": 1,
            }
            for i in range(len(names))
        ],
        "categories": [{"id": 1, "name": "thing", "keypoints": ["tip"], "skeleton": []}],
    }  # fmt: skip
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))
    return file


@pytest.mark.parametrize(
    ("file", "pictures", "names"),
    [
        # Label Studio's result.json beside images/, or with names of a server's.
        ("result.json", "images/", ["images/1.png", "images/2.png"]),
        ("result.json", "images/", [f"/data/local-files/?d=in/{n}.png" for n in (1, 2)]),
        ("result.json", "images/", ["images\\1.png", "images\\2.png"]),
        # CVAT's.
        (CVAT, "images/default/", ["1.png", "2.png"]),
        (CVAT, "images/default/", ["default/1.png", "default/2.png"]),
    ],
)  # fmt: skip
def test_exports_as_tools_leave_them(tmp_path, file, pictures, names):
    """Reading, checking, splitting and merging find the pictures."""
    for number in (1, 2):
        picture(tmp_path / pictures / f"{number}.png")
    file = annotations(tmp_path / file, *names)
    people = read_coco(file)
    assert [path.resolve() for path in people.files] == [
        tmp_path / pictures / "1.png",
        tmp_path / pictures / "2.png",
    ]
    assert sum(people.counts()["pictures_found"].values()) == 2
    assert "pictures: 2 " in in_words(people.counts())
    kinds = {finding.kind for finding in check(file).findings}
    assert kinds == {"named_otherwise", "not_mirrored"}
    parts = tmp_path / "out" / "a.json", tmp_path / "out" / "b.json"
    split(file, *parts, fraction=0.5)
    skeleton = skeleton_of_names("thing", ["tip"])
    merge(list(parts), tmp_path / "all" / "all.json", skeleton=skeleton)
    for part in (*parts, tmp_path / "all" / "all.json"):
        assert all(path.is_file() for path in read_coco(part).files)
        assert "pictures_found" not in read_coco(part).counts()


def test_a_name_that_fits_several_is_refused_with_them(tmp_path):
    for folder in "ab":
        picture(tmp_path / folder / "1.png")
    file = annotations(tmp_path / "x.json", "c/1.png")
    with pytest.raises(DataError, match=r"c/1.png may be any of 2 pictures: .*a/1.png, .*b/1.png"):
        read_coco(file)
    with pytest.raises(DataError, match="may be any of 2 pictures"):
        split(file, tmp_path / "1.json", tmp_path / "2.json", fraction=0.5)
    assert "unclear_picture" in {finding.kind for finding in check(file).findings}
    assert read_coco(file, tmp_path / "b").files == [tmp_path / "b" / "1.png"]


def test_a_picture_of_another_size_is_refused(tmp_path):
    picture(tmp_path / "a" / "1.png", 8, 12)  # turned, as EXIF might
    picture(tmp_path / "a" / "2.png", 9, 12)
    file = annotations(tmp_path / "x.json", "c/2.png")
    with pytest.raises(DataError, match="12 x 8 pixels, but is 9 x 12"):
        read_coco(file)


def test_entries_of_any_kind_stay(tmp_path):
    picture(tmp_path / "a" / "1.png")
    entries = [{"file_name": 7}, {}, {"file_name": "c/1.png", "width": "wide", "height": None}]
    located = locate_pictures(tmp_path / "x.json", entries)
    assert located.images[:2] == entries[:2]
    assert located.images[2]["file_name"] == "a/1.png"
