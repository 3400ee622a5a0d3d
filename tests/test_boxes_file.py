import json
import unicodedata
from types import SimpleNamespace

import numpy as np
import pytest

from hrnet.detection.boxes import check_boxes
from hrnet.detection.boxes_file import BoxesFile, image_ids, match_names
from hrnet.detection.coco_detections import passed_over_in_words, read_detections
from hrnet.errors import BoxError, DataError
from hrnet.evaluation.predictions import predict_detections

A, B, OTHER = "/data/val/a.jpg", "/data/val/b.jpg", "/data/train/a.jpg"
FIRST, SECOND = [1, 2, 30, 40], [5, 6, 70, 80]


@pytest.fixture
def boxes(tmp_path):
    def read(content, *pictures, ids=None, name="boxes.json"):
        file = tmp_path / name
        file.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
        return BoxesFile(file, pictures, ids)

    return read


def coco(*rows):
    keys = ("image_id", "bbox", "score", "category_id")
    return [dict(zip(keys, row, strict=False)) for row in rows]


# --- names ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a.jpg", "b.jpg"], ["a.jpg", "b.jpg"]),
        (["val/a.jpg", "a.jpg"], ["val/a.jpg", None]),  # the longest
        (["al/a.jpg", ".jpg", "val"], [None, None]),  # not the end of a name
        (["./val/a.jpg", "val//b.jpg"], ["./val/a.jpg", "val//b.jpg"]),
        ([A, "/val/b.jpg"], [A, "/val/b.jpg"]),
    ],
)
def test_a_name_is_a_path_or_the_end_of_one(names, expected):
    found = match_names(names, [A, B])
    assert [found.get(A), found.get(B)] == expected


def test_accents_are_the_same_however_they_are_coded():
    composed = "/data/é.jpg"
    decomposed = unicodedata.normalize("NFD", "é.jpg")
    assert match_names([decomposed], [composed]) == {composed: decomposed}


def test_a_url_goes_by_itself_or_its_end():
    url = "https://x.org/val/a.jpg"
    assert match_names([url], [url]) == {url: url}
    assert match_names(["val/a.jpg"], [url]) == {url: "val/a.jpg"}


def test_two_pictures_of_one_name_do_not_share_boxes(boxes):
    both = boxes({"a.jpg": [FIRST]}, A, OTHER)
    for picture in (A, OTHER):
        with pytest.raises(BoxError, match=r"boxes for a\.jpg, which 2 pictures are called"):
            both.of(picture)
    apart = boxes({"val/a.jpg": [FIRST], "train/a.jpg": [SECOND]}, A, OTHER)
    assert np.array_equal(apart.of(A), [FIRST])
    assert np.array_equal(apart.of(OTHER), [SECOND])


def test_a_picture_without_an_entry_is_an_error_unless_coco_s(boxes):
    with pytest.raises(BoxError, match="has no boxes for it"):
        boxes({"a.jpg": [FIRST]}, A, B).of(B)
    with pytest.raises(BoxError, match="has no boxes for it"):
        boxes("a.jpg,1,2,30,40", A, B, name="boxes.csv").of(B)
    assert boxes(coco((1, FIRST)), A, B, ids=[1, 2]).of(B) == []


# --- CSV ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        "a.jpg,1,2,30,40\na.jpg,5,6,70,80,0.5\nb.jpg,,,,\n",
        "\ufeffname,x1,y1,x2,y2,score\r\na.jpg,1,2,30,40,\r\na.jpg,5,6,70,80,.5\r\n\r\nb.jpg\r\n",
        'score,name,x2,y2,x1,y1,note\n1,"a.jpg",30,40,1,2,hello\n0.5, a.jpg ,70,80,5,6,\n,b.jpg\n',
    ],
)
def test_csv_with_and_without_a_header_and_scores(boxes, content):
    read = boxes(content, A, B, name="boxes.CSV")
    assert np.array_equal(read.of(A), [[*FIRST, 1], [*SECOND, 0.5]])
    assert read.of(B) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a.jpg,1,2,30,40\na.jpg,1,2,three,4", r"boxes\.csv, line 2: 'a\.jpg,1,2,three,4' is not"),
        ("a.jpg,1,2,30", "line 1"),
        ("a.jpg;1;2;30;40\nb.jpg;1", "has no boxes"),
        ("x1,y1,x2,y2\n1,2,3,4", "line 1"),
        ('a.jpg,"' + "1" * 200_000, "cannot be read as CSV: field larger"),
    ],
)
def test_csv_that_is_none_is_refused_by_its_line(boxes, content, message):
    with pytest.raises(BoxError, match=message):
        boxes(content, A, name="boxes.csv").of(A)


# --- COCO detections ------------------------------------------------------------------------


def test_coco_s_boxes_are_corner_and_size_as_the_official_code_takes_detections(boxes):
    read = boxes(coco((785, [10, 20, 30, 40], 0.75, 1)), "/x/000000000785.jpg", ids=[785])
    assert np.array_equal(read.of("/x/000000000785.jpg"), [[10, 20, 40, 60, 0.75]])


def test_people_only_where_there_are_several_categories(boxes):
    rows = coco((1, FIRST, 0.5, 1), (1, SECOND, 0.5, 18))
    assert len(boxes(rows, A, ids=[1]).of(A)) == 1
    cats = coco((1, FIRST, 0.5, 17), (1, SECOND, 0.5, 17))  # a file about cats
    assert len(boxes(cats, A, ids=[1]).of(A)) == 2
    with pytest.raises(BoxError, match=r"the categories are \[17, 18\], none of them 1"):
        boxes(coco((1, FIRST, 0.5, 17), (1, SECOND, 0.5, 18)), A, ids=[1])


def test_rows_with_file_names_need_no_ids(boxes):
    rows = [{"file_name": "val/a.jpg", "bbox": [1, 2, 3, 4]}]
    read = boxes(rows, A, OTHER, ids=[None, None])
    assert np.array_equal(read.of(A), [[1, 2, 4, 6, 1]])
    assert read.of(OTHER) == []


def test_a_picture_without_a_number_cannot_be_found_by_one(boxes):
    read = boxes(coco((1, FIRST)), "/x/1.jpg", A, ids=[1, None])
    assert len(read.of("/x/1.jpg")) == 1
    with pytest.raises(BoxError, match="names pictures by number, and this one's name is none"):
        read.of(A)


def test_detections_of_other_pictures_altogether_are_refused(boxes):
    with pytest.raises(BoxError, match="has boxes for none of the 2 pictures"):
        boxes(coco((1, FIRST)), A, B, ids=[8, 9])


@pytest.mark.parametrize(
    "content", ["[]", "[5]", "5", '"a"', "null", '[{"bbox": [1, 2, 3]}]', '[{"image_id": 1}]']
)
def test_json_that_is_neither_is_refused(boxes, content):
    with pytest.raises(BoxError, match=r"must be a table .* or COCO's detections"):
        boxes(content, A)


# --- ids ------------------------------------------------------------------------------------


def test_ids_are_the_numbers_that_pictures_are_called():
    pictures = [
        "/x/000000000785.jpg",
        "http://x.org/12.png",
        A,
        "/x/-3.png",
        "/x/٣.png",
        "/x/" + "9" * 30,
    ]
    assert image_ids(pictures) == [785, 12, None, None, None, None]


def test_an_annotation_file_tells_ids(tmp_path):
    file = tmp_path / "val.json"
    file.write_text(json.dumps({"images": [{"id": 9, "file_name": "val/a.jpg"}]}))
    assert image_ids([A, B, "/data/val/12.jpg"], file) == [9, None, None]
    with pytest.raises(DataError, match=r"lists val/a\.jpg, and 2 pictures are called that"):
        image_ids([A, "/old/val/a.jpg"], file)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "the annotation file .* cannot be read as JSON"),
        ("[]", "is not a COCO annotation file"),
        ('{"images": [{"id": "x", "file_name": "a.jpg"}]}', "is not a COCO annotation file"),
    ],
)
def test_an_annotation_file_that_is_none_is_refused(tmp_path, content, message):
    file = tmp_path / "val.json"
    file.write_text(content)
    with pytest.raises(DataError, match=message):
        image_ids([A], file)
    with pytest.raises(DataError, match="there is no annotation file"):
        image_ids([A], tmp_path / "none.json")


def test_scores_come_through_the_check(boxes):
    checked, scores = check_boxes(boxes({"a.jpg": [[*FIRST, 0.25]]}, A).of(A), 90, 60)
    np.testing.assert_array_equal(checked, [FIRST])
    assert scores.tolist() == [0.25]


def test_a_csv_row_without_a_name_is_refused(tmp_path):
    file = tmp_path / "boxes.csv"
    file.write_text("x1,y1,x2,y2,name\n1,2,3,4\n")
    with pytest.raises(BoxError, match=r"boxes.csv, line 2: there is no name"):
        BoxesFile(file, ["a.jpg"])


ODDITIES = [  # image_id, bbox, score, category_id
    {"image_id": 7, "category_id": 1, "bbox": [10, 10, 50, 80], "score": 1.0000002},
    {"image_id": 7, "category_id": 1, "bbox": [10, 10, 0, 80], "score": 0.5},
    {"image_id": 7, "category_id": 3, "bbox": [10, 10, 50, 80], "score": 0.5},
    {"image_id": 7, "category_id": 1, "bbox": [20, 30, 40, 50]},
]


def test_rows_that_do_not_count_are_counted_by_reason():
    found = read_detections(ODDITIES)
    assert found.by_id == {7: [[10, 10, 60, 90, 1.0], [20, 30, 60, 80, 1.0]]}
    assert passed_over_in_words(found.passed_over) == "1 empty and 1 of another category"
    assert read_detections(ODDITIES[2:3]).by_id == {7: [[10, 10, 60, 90, 0.5]]}  # all of one kind
    assert read_detections(ODDITIES[2:3], {1}).by_id == {}
    with pytest.raises(BoxError, match=r"^row 1: the score 1\.0020002 is not between 0 and 1"):
        read_detections([ODDITIES[0], {**ODDITIES[3], "score": 1.0020002}])


def test_predict_and_evaluate_take_the_same_boxes_of_one_file(tmp_path, monkeypatch):
    """The command line's two readers of old disagreed on all four oddities."""
    file, picture = tmp_path / "boxes.json", tmp_path / "7.png"
    file.write_text(json.dumps(ODDITIES))
    by_predict = BoxesFile(file, [str(picture)], image_ids([str(picture)]), {1}).of(str(picture))
    seen = []
    monkeypatch.setattr(
        "hrnet.evaluation.predictions._predict",
        lambda _, boxes, *rest: (
            seen.append(boxes) or {"keypoints": np.zeros((2, 1, 3)), "scores": np.ones(2)}
        ),
    )
    card = SimpleNamespace(input_size=(96, 128))
    estimator = SimpleNamespace(card=card, padding=1.25)
    found = predict_detections(estimator, file, {7: picture}, {1})
    ((_, by_evaluate),) = seen[0]
    np.testing.assert_array_equal(by_evaluate, by_predict)
    assert found.passed_over == {"empty": 1, "of another category": 1}


@pytest.mark.parametrize(
    "name", ["sub\\a b.jpg", "SUB/A b.JPG", "sub/a%20b.jpg", "./sub/a b.jpg", "sub//a b.jpg"]
)
def test_names_are_spelled_as_tools_do(boxes, name):
    read = boxes({name: [FIRST]}, "/x/sub/a b.jpg")
    assert np.array_equal(read.of("/x/sub/a b.jpg"), [FIRST])


def test_the_name_as_it_is_goes_before_others_and_two_others_are_refused(boxes):
    both = {"A.jpg": [FIRST], "a.jpg": [SECOND]}
    assert np.array_equal(boxes(both, "/x/a.jpg").of("/x/a.jpg"), [SECOND])
    one = boxes({"a.jpg": [FIRST]}, "/x/a.jpg", "/x/A.jpg")
    assert np.array_equal(one.of("/x/a.jpg"), [FIRST])
    with pytest.raises(BoxError, match="no boxes for it"):
        one.of("/x/A.jpg")
    with pytest.raises(BoxError, match=r"/x/a.JPG may be meant by A.jpg or a.jpg"):
        boxes(both, "/x/a.JPG")
