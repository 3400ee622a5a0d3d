import json

import numpy as np
import pytest
from typer.testing import CliRunner

from hrnet.cli import app
from hrnet.data.annotations import link_pictures
from hrnet.data.check.checking import check
from hrnet.data.coco import read_coco
from hrnet.data.merge import merge
from hrnet.data.split import split
from hrnet.errors import ConfigError, DataError
from hrnet.skeletons import Skeleton, find_skeleton
from planted import COCO, data_set, facing, write
from real_data import real_data


def read(file):
    return json.loads(file.read_text())


def names(file):
    return [picture["file_name"] for picture in read(file)["images"]]


class TestSplit:
    def test_no_picture_is_in_both_parts_and_no_person_is_lost(self, tmp_path):
        content = data_set(tmp_path)
        second = {**content["annotations"][0], "id": 999}  # of the first picture
        second["keypoints"] = facing(shift=3).ravel().tolist()
        content["annotations"].append(second)
        content["info"] = {"description": "planted"}
        file = write(tmp_path, content)
        a, b = tmp_path / "a.json", tmp_path / "b.json"
        assert split(file, a, b, fraction=0.25) == (9, 3)
        assert set(names(a)) | set(names(b)) == {f"{n}.jpg" for n in range(1, 13)}
        assert not set(names(a)) & set(names(b))
        ids = [[p["id"] for p in read(part)["annotations"]] for part in (a, b)]
        assert sorted(ids[0] + ids[1]) == [*range(101, 113), 999]
        for part in (a, b):
            assert read(part)["info"] == {"description": "planted"}
            assert {p["image_id"] for p in read(part)["annotations"]} == {
                picture["id"] for picture in read(part)["images"]
            }
            assert check(part).ok

    def test_the_same_seed_gives_the_same_parts_in_any_order_of_the_file(self, tmp_path):
        content = data_set(tmp_path)
        file = write(tmp_path, content)
        content["images"].reverse()
        other = write(tmp_path, content, "reversed.json")
        a, b = tmp_path / "a.json", tmp_path / "b.json"
        parts = {}
        for key, source, seed in (("0", file, 0), ("again", other, 0), ("1", file, 1)):
            split(source, a, b, fraction=0.25, seed=seed)
            parts[key] = set(names(b))
        assert parts["0"] == parts["again"] != parts["1"]

    def test_a_picture_that_is_listed_twice_goes_one_way(self, tmp_path):
        content = data_set(tmp_path, people=2)
        content["images"] = [{**content["images"][i % 2], "id": i} for i in range(20)]
        content["annotations"] = []
        a, b = tmp_path / "a.json", tmp_path / "b.json"
        assert split(write(tmp_path, content), a, b, fraction=0.1) == (10, 10)
        assert set(names(a)).isdisjoint(names(b))

    def test_parts_elsewhere_find_their_pictures(self, tmp_path):
        file = write(tmp_path / "own", data_set(tmp_path / "own"))
        a, b = tmp_path / "parts" / "a.json", tmp_path / "parts" / "b.json"
        split(file, a, b, fraction=0.5)
        assert check(a).ok
        assert check(b).ok
        assert sorted(f.name for f in (tmp_path / "parts" / "images").iterdir()) == ["own"]
        assert all(name.startswith("own/") for name in names(a) + names(b))

    @pytest.mark.parametrize("fraction", [0, 1, -1, float("nan")])
    def test_a_fraction_that_leaves_nothing_is_refused(self, tmp_path, fraction):
        file = write(tmp_path, data_set(tmp_path))
        with pytest.raises(ConfigError, match="cannot be split off"):
            split(file, tmp_path / "a.json", tmp_path / "b.json", fraction=fraction)

    def test_the_file_itself_is_never_written(self, tmp_path):
        file = write(tmp_path, data_set(tmp_path))
        for first, second in ((file, tmp_path / "b.json"), (tmp_path / "b.json",) * 2):
            with pytest.raises(ConfigError, match="three different files"):
                split(file, first, second, fraction=0.5)

    def test_a_file_that_does_not_fit_leaves_nothing(self, tmp_path):
        content = data_set(tmp_path)
        content["annotations"][3]["image_id"] = 77
        with pytest.raises(DataError, match="hrnet data check"):
            split(write(tmp_path, content), tmp_path / "a", tmp_path / "b", fraction=0.5)
        assert sorted(f.name for f in tmp_path.iterdir()) == ["images", "people.json"]

    def test_nothing_is_written_if_one_part_cannot_be(self, tmp_path):
        file = write(tmp_path, data_set(tmp_path))
        (tmp_path / "file").touch()
        with pytest.raises(OSError, match="file"):
            split(file, tmp_path / "a.json", tmp_path / "file" / "b.json", fraction=0.5)
        assert not (tmp_path / "a.json").exists()

    def test_the_command(self, tmp_path):
        file = write(tmp_path, data_set(tmp_path))
        parts = [str(tmp_path / "a.json"), str(tmp_path / "b.json")]
        result = CliRunner().invoke(app, ["data", "split", str(file), *parts, "--fraction", "0.25"])
        assert result.exit_code == 0
        assert result.output == f"{parts[0]}: 9 pictures\n{parts[1]}: 3 pictures\n"


ARM = Skeleton(schema=1, name="arm", keypoints=("hand", "left_elbow", "tip"))


def arms(folder):
    """A data set of hands and elbows, in its own order and under its own names."""
    content = data_set(folder, people=2)
    content["categories"] = [{"id": 7, "name": "arm", "keypoints": ["left_elbow", "palm", "ring"]}]
    content["licenses"] = [{"id": 4, "name": "mine"}]
    content["info"] = {"year": 2024}
    for picture in content["images"]:
        picture["license"] = 4
    for person in content["annotations"]:
        person.update(category_id=7, num_keypoints=3)
        person["keypoints"] = [1, 2, 2, 3, 4, 1, 5, 6, 2]
    return content


class TestMerge:
    def test_joints_go_by_name_and_what_lacks_is_not_labelled(self, tmp_path):
        one = write(tmp_path / "one", arms(tmp_path / "one"))
        two = write(tmp_path / "two", data_set(tmp_path / "two", people=3))
        out = tmp_path / "all" / "all.json"
        result = merge([one, two], out, ARM, rename={"palm": "hand"})
        assert [(part.people, part.lacking, part.dropped) for part in result] == [
            (2, ["tip"], ["ring"]),
            (3, ["hand", "tip"], sorted(set(COCO.keypoints) - {"left_elbow"})),
        ]
        content = read(out)
        people = content["annotations"]
        assert people[0]["keypoints"] == [3, 4, 1, 1, 2, 2, 0, 0, 0]
        assert people[0]["num_keypoints"] == 2
        elbow = read(two)["annotations"][2]["keypoints"][21:24]
        assert people[4]["keypoints"] == [0, 0, 0, *elbow, 0, 0, 0]
        assert [person["id"] for person in people] == [1, 2, 3, 4, 5]
        assert [person["image_id"] for person in people] == [1, 2, 3, 4, 5]
        assert {person["category_id"] for person in people} == {1}
        assert content["categories"][0]["keypoints"] == ["hand", "left_elbow", "tip"]
        assert content["licenses"] == [{"id": 1, "name": "mine"}]
        assert [picture.get("license") for picture in content["images"]] == [1, 1, None, None, None]
        assert content["info"]["sources"][0]["info"] == {"year": 2024}
        assert names(out)[1:3] == ["one/2.jpg", "two/1.jpg"]

    def test_training_reads_what_comes_out(self, tmp_path):
        one = write(tmp_path / "a" / "set", data_set(tmp_path / "a" / "set"))
        two = write(tmp_path / "b" / "set", data_set(tmp_path / "b" / "set"))
        merge([one, two], tmp_path / "all.json", COCO)
        people = read_coco(tmp_path / "all.json")
        assert len(people) == 24
        assert people.names == list(COCO.keypoints)
        np.testing.assert_array_equal(people.keypoints[12:], read_coco(two).keypoints)
        assert [file.resolve() for file in people.files[12:]] == [
            file.resolve() for file in read_coco(two).files
        ]
        assert check(tmp_path / "all.json").ok

    def test_files_over_the_same_pictures_share_them(self, tmp_path):
        content = data_set(tmp_path)
        one = write(tmp_path, content, "one.json")
        content["annotations"] = [{**p, "id": 500 + p["id"]} for p in content["annotations"][:3]]
        two = write(tmp_path, content, "two.json")
        merge([one, two], tmp_path / "all.json", COCO)
        content = read(tmp_path / "all.json")
        assert len(content["images"]) == 12
        assert [person["image_id"] for person in content["annotations"]][-3:] == [1, 2, 3]
        assert not any(f.is_symlink() for f in (tmp_path / "images").iterdir())

    def test_names_that_nothing_has_are_refused(self, tmp_path):
        file = write(tmp_path, data_set(tmp_path))
        out = tmp_path / "all.json"
        with pytest.raises(ConfigError, match="no file has a keypoint 'nos'; did you mean nose"):
            merge([file], out, COCO, rename={"nos": "nose"})
        with pytest.raises(ConfigError, match="has no keypoint 'noze'; did you mean nose"):
            merge([file], out, COCO, rename={"nose": "noze"})
        with pytest.raises(DataError, match="two keypoints have the same name"):
            merge([file], out, COCO, rename={"nose": "left_eye"})
        with pytest.raises(DataError, match="none of skeleton hand21's keypoints"):
            merge([file], out, find_skeleton("hand21"))
        with pytest.raises(ConfigError, match="one of the files to merge"):
            merge([file], file, COCO)
        assert not out.exists()

    def test_a_file_that_does_not_fit_is_refused(self, tmp_path):
        content = data_set(tmp_path)
        content["annotations"][3]["keypoints"].pop()
        file = write(tmp_path, content)
        with pytest.raises(DataError, match="person 104 has 50 numbers"):
            merge([file], tmp_path / "all.json", COCO)
        assert not (tmp_path / "all.json").exists()

    def test_the_command(self, tmp_path):
        one = write(tmp_path / "one", arms(tmp_path / "one"))
        two = write(tmp_path / "two", data_set(tmp_path / "two", people=3))
        out = tmp_path / "all" / "all.json"
        command = ["data", "merge", str(one), str(two), str(out), "--skeleton", "coco17"]
        result = CliRunner().invoke(app, [*command, "--rename", "palm=left_wrist"])
        assert result.exit_code == 0, result.output
        lines = result.output.splitlines()
        assert lines[0] == f"{one}: 2 people"
        assert lines[1].startswith("  has no nose, left_eye")
        assert lines[2:] == ["  dropped: ring", f"{two}: 3 people", f"{out}: written"]
        assert len(read_coco(out)) == 5


def test_a_link_is_made_once_and_never_into_other_pictures(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name / "set").mkdir(parents=True)
    out = tmp_path / "out"
    a, b = tmp_path / "a" / "set", tmp_path / "b" / "set"
    assert link_pictures(out, {a: "set"}) == {a: "set/"}
    assert link_pictures(out, {a: "set", b: "set"}) == {a: "set/", b: "set_2/"}
    assert (out / "images" / "set_2").resolve() == tmp_path / "b" / "set"
    (out / "images" / "own").mkdir()
    own = out / "images" / "own"
    assert link_pictures(out, {own: "x", out / "images": "x"}) == {own: "own/", out / "images": ""}
    with pytest.raises(DataError, match="no folder of pictures"):
        link_pictures(out, {tmp_path / "c": "c"})
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "images").symlink_to(tmp_path / "a")
    with pytest.raises(ConfigError, match="leads to other pictures"):
        link_pictures(tmp_path / "linked", {tmp_path / "b": "b"})


def test_pictures_beside_their_file_stay_to_be_found(tmp_path):
    """A folder `images` there would hide them from the file that they belong to."""
    file = write(tmp_path / "own", data_set(tmp_path / "own"))
    for picture in (tmp_path / "own" / "images").iterdir():
        picture.rename(tmp_path / "own" / picture.name)
    (tmp_path / "own" / "images").rmdir()
    a, b = tmp_path / "own" / "a.json", tmp_path / "elsewhere" / "b.json"
    split(file, a, b, fraction=0.25)
    merge([file], tmp_path / "own" / "all.json", COCO)
    for written in (file, a, b, tmp_path / "own" / "all.json"):
        assert check(written).ok
    with pytest.raises(ConfigError, match=r"pictures in .*own itself"):
        merge([file, b], tmp_path / "own" / "both.json", COCO)
    assert merge([file, b], tmp_path / "new" / "both.json", COCO)[1].people == 3
    assert check(file).ok


def test_real_data_sets_with_other_joints_merge(tmp_path):
    lsp, coco = real_data("lsp/test.json"), real_data("coco/val.json")
    out = tmp_path / "both.json"
    result = merge([lsp, coco], out, COCO)
    assert [(part.people, len(part.lacking), part.dropped) for part in result] == [
        (500, 5, ["head_top", "neck"]),
        (345, 0, []),
    ]
    people = read_coco(out)
    before = read_coco(lsp)
    k, j = COCO.index("left_knee"), before.names.index("left_knee")
    np.testing.assert_array_equal(people.keypoints[:500, k], before.keypoints[:, j])
    assert (people.keypoints[:500, :5] == 0).all()
    assert check(out).ok
