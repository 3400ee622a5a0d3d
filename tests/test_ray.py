"""Pictures on a pool of Ray's actors: the same rows as the local command's, whatever dies."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import numpy as np
import pandas
import pyarrow as pa
import pytest
from pyarrow import parquet

import hrnet.ray
from hrnet.cli import main
from hrnet.errors import ConfigError
from hrnet.images import write_image
from hrnet.predicting import parts
from hrnet.predicting.rows import PoseRows
from real_data import real_data

PICTURES = 500
COLUMNS = ["width", "height", "orientation", "pixels", "error", "box_source", "person", "score"]
# As Ctrl-C, which the whole group gets, when the second part is there.
INTERRUPTED = """
import os, signal, sys
import hrnet.ray
from hrnet.cli import main

write_parts = hrnet.ray.write_parts

def interrupted(*arguments, **named):
    for number, done in enumerate(write_parts(*arguments, **named)):
        yield done
        if number == 1:
            os.killpg(0, signal.SIGINT)

hrnet.ray.write_parts = interrupted
sys.argv[0] = "hrnet"
main()
"""


def run(*arguments):
    """The command in this process; its exit code, output and errors."""
    patch = pytest.MonkeyPatch()
    patch.setattr(sys, "argv", ["hrnet", *map(str, arguments)])
    code = 0
    try:
        main()
    except SystemExit as end:
        code = end.code or 0
    finally:
        patch.undo()
    return code


@pytest.fixture
def command(capsys):
    def call(*arguments):
        code = run(*arguments)
        out, err = (_without_ray_s(text) for text in capsys.readouterr())
        assert "Traceback" not in out + err
        return SimpleNamespace(code=code, out=out, err=err)

    return call


def _without_ray_s(text):
    """But for what Ray's own processes say at any time, as of actors that a test killed."""
    return "".join(line for line in text.splitlines(keepends=True) if "(raylet)" not in line)


def refused(result, sentence):
    assert (result.code, result.out) == (2, "")
    assert sentence in result.err
    assert result.err.count("\n") == 1


# --- without Ray ----------------------------------------------------------------------------


@pytest.fixture
def rows_of(weights_file, monkeypatch):
    monkeypatch.setenv("HRNET_DETECTOR", "whole")
    return partial(PoseRows, model=weights_file)


@pytest.fixture
def picture(tmp_path):
    file = tmp_path / "a.png"
    write_image(file, np.random.default_rng(0).integers(0, 255, (60, 90, 3), dtype=np.uint8))
    return file


def test_a_batch_gives_a_row_a_person(rows_of, picture):
    boxes = [[5.0, 5, 40, 50.5], [30.0, 10, 80, 58]]
    batch = pa.table(
        {
            "id": [7, 8, 9, 10],
            "path": [str(picture), "none.png", str(picture), str(picture)],
            "people": [boxes, None, None, []],
        }
    )
    rows = rows_of(boxes="people")
    found = rows(batch)
    assert found.column_names[:2] == ["id", "path"]
    assert found.column_names[2:10] == COLUMNS
    assert found["id"].to_pylist() == [7, 7, 8, 9, 10]
    assert found["person"].to_pylist() == [0, 1, None, 0, None]
    assert found["box_source"].to_pylist() == ["given", "given", None, "whole", "given"]
    assert found["error"].to_pylist() == ["", "", "there is no picture none.png", "", ""]
    assert found["width"].to_pylist() == [90, 90, None, 90, 90]
    direct = rows.estimator(picture, boxes).to_rows()
    assert found.select(list(direct[0])).slice(0, 2).to_pylist() == direct


def test_bytes_do_not_go_along_and_something_must_tell_pictures_apart(rows_of, picture):
    data = [picture.read_bytes(), b"no picture"]
    found = rows_of("bytes")(pa.table({"bytes": data, "id": ["a", "b"]}))
    assert found.column_names[:2] == ["id", "width"]
    assert found["error"].to_pylist() == ["", "the picture is not a picture"]
    for batch, sentence in (
        ({"bytes": data}, "the data have nothing but 'bytes'; add a column, such as path,"),
        ({"path": ["a"]}, "the data have no column 'bytes'; they have path"),
        ({"bytes": data, "score": [1, 2]}, "the data have a column 'score', and so have rows"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            rows_of("bytes")(pa.table(batch))


def test_parts_are_of_the_rows_of_several_parquet_files(tmp_path):
    """Also where they end in the middle of a file, and of its row groups."""
    for name, first, count in (("a", 0, 130), ("b", 130, 1), ("c", 131, 19)):
        table = pa.table({"path": [f"{i}.png" for i in range(first, first + count)]})
        parquet.write_table(table, tmp_path / f"{name}.parquet", row_group_size=40)
    pictures = parts.ParquetPictures([tmp_path / f"{name}.parquet" for name in "abc"])
    run = parts.Parts(tmp_path / "out", pictures, settings={}, resume=False)
    listed = [list(part.pictures) for part in run.todo()]
    assert [len(own) for own in listed] == [50, 50, 50]
    flat = [own for part in listed for own in part]
    assert [own.path for own in flat] == [f"{i}.png" for i in range(150)]
    assert [own.image_id for own in flat] == list(range(1, 151))
    assert flat[3].source == os.path.abspath("3.png")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--save", "parquet,image"], "--engine ray saves parquet, jsonl, coco; leave out image"),
        (["--every", 2, "--quiet"], "--engine ray reads no videos and draws nothing; leave out "),
        (["--actors", 0], "--actors must be at least 1"),
        (["--engine", "spark"], "there is no engine 'spark'; it is local or ray"),
        (["--engine", "local", "--actors", 2], "--gpus-per-actor are for --engine ray"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(command, picture, tmp_path, arguments, sentence):
    out = tmp_path / "out"
    refused(command("predict", picture, "--engine", "ray", "--out", out, *arguments), sentence)
    assert not out.exists()


def test_sources_that_other_processes_cannot_read_are_refused(command, picture, tmp_path):
    ray = "--engine", "ray", "--out", tmp_path / "out"
    refused(command("predict", "-", *ray), "standard input does not go to other processes")
    refused(command("predict", "a.mp4", *ray), "--engine ray reads no videos")
    refused(command("predict", "none.parquet", *ray), "none.parquet cannot be read as Parquet")
    pandas.DataFrame({"url": ["a"]}).to_parquet(tmp_path / "urls.parquet")
    refused(command("predict", tmp_path / "urls.parquet", *ray), "has no column path")
    refused(
        command("predict", picture, tmp_path / "urls.parquet", *ray),
        "there are pictures and Parquet files; give them one after the other",
    )


def test_a_worker_computes_on_the_threads_that_ray_gives_it():
    """In OMP_NUM_THREADS: workers that took all cores each would stand in each other's way."""
    code = "import sys, hrnet; e = hrnet.PoseEstimator(runtime=sys.argv[1], precision='fp32')"
    code += "; print(e.runner.session.threads)"
    for runtime in ("torch", "onnxruntime", "openvino"):
        done = subprocess.run(
            [sys.executable, "-c", code, runtime],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )
        assert done.stdout == "1\n", done.stderr


# --- with it --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ray():
    """One cluster for all tests, whose actors compute as the machine does best."""
    patch = pytest.MonkeyPatch()
    patch.setenv("HRNET_RUNTIME", "openvino")
    patch.setenv("HRNET_PRECISION", "auto")
    with hrnet.ray.running():
        import ray

        ray.data.DataContext.get_current().enable_progress_bars = False
        yield ray
    patch.undo()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A list of real pictures, and a broken one in their middle."""
    folder = tmp_path_factory.mktemp("pictures")
    real = sorted(real_data("lsp/images").glob("*.jpg"))[:PICTURES]
    assert len(real) == PICTURES
    broken = folder / "broken.jpg"
    broken.write_bytes(real[0].read_bytes()[:-500])
    listed = [*real[:250], broken, *real[250:]]
    (folder / "list.txt").write_text("\n".join(map(str, listed)))
    return folder / "list.txt"


@pytest.fixture(scope="module")
def local(ray, pictures, tmp_path_factory):
    """What the local command says of them."""
    out = tmp_path_factory.mktemp("local")
    assert run("predict", f"@{pictures}", "--save", "csv,coco", "--out", out) == 1
    return out


def are_those_of(out, local):
    """Whether the people in a run's Parquet files are to the bit those that the local command found
    in the same pictures."""
    found = pandas.read_parquet(out / "parts")
    paths = set(found["path"])
    with (local / "poses.csv").open(newline="") as stream:
        reader = csv.DictReader(stream)
        expected = [row for row in reader if row["path"] in paths]
        people = found[found["person"].notna()][reader.fieldnames].astype({"person": int})
    assert len(people) == len(expected) > len(paths) * 0.9
    rows = people.to_dict("records")
    return [{name: str(value) for name, value in row.items()} for row in rows] == expected


def workers():
    """The processes of this process's Ray that do parts."""
    parents, found = {}, []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            name = (process / "cmdline").read_bytes()
            parents[int(process.name)] = int(
                (process / "stat").read_text().rsplit(")")[1].split()[1]
            )
        except (OSError, IndexError):  # it has ended
            continue
        if name.startswith(b"ray::PartWriter"):
            found.append(int(process.name))
    own = os.getpid()
    return [pid for pid in found if parents.get(parents[pid]) == own]


@pytest.mark.slow
def test_a_killed_worker_loses_and_doubles_nothing(command, local, pictures, tmp_path, monkeypatch):
    write_parts = hrnet.ray.write_parts
    seen = []

    def killing(*arguments, **named):
        for number, done in enumerate(write_parts(*arguments, **named)):
            seen.append(set(workers()))
            if number == 5:  # of 11; both have got another
                os.kill(min(seen[-1]), signal.SIGKILL)
            yield done

    monkeypatch.setattr(hrnet.ray, "write_parts", killing)
    out = tmp_path / "out"
    asked = "predict", f"@{pictures}", "--engine", "ray", "--actors", 2, "--out", out
    result = command(*asked, "--save", "parquet,jsonl")
    assert result.code == 1
    assert f" in {PICTURES} pictures, found by hrnet_w32_small_person; 1 picture" in result.out
    assert result.err.endswith("broken.jpg is cut off: its end is missing\n")
    assert [len(pids) for pids in seen[:5]] == [2] * 5
    assert set.union(*seen[6:]) - seen[0]  # another took the place of the killed one

    assert are_those_of(out, local)
    found = pandas.read_parquet(out / "parts")
    assert found["path"].nunique() == PICTURES + 1
    assert list(found["path"].unique()) == pictures.read_text().split("\n")
    (broken,) = found[found["error"] != ""].to_dict("records")
    assert broken["error"] == f"{pictures.parent}/broken.jpg is cut off: its end is missing"
    assert all(pandas.isna(broken[name]) for name in ("width", "person", "score", "nose_x"))
    lines = [json.loads(line) for line in (out / "poses.jsonl").open()]
    assert len(lines) == len(found)
    assert lines[0]["nose_x"] == found["nose_x"][0]
    assert sorted(file.name for file in (out / "parts").iterdir()) == [
        f"part-{number:06}.parquet" for number in range(11)
    ]

    # Another form of the same rows costs no computing, and has the other run's settings.
    assert command(*asked, "--resume", "--save", "coco").code == 1
    assert len(seen) == 11
    assert (out / "coco_results.json").read_bytes() == (local / "coco_results.json").read_bytes()
    refused(command(*asked), "has results of another run; add --resume to go on with it")
    refused(
        command(*asked, "--resume", "--flip-test", "--detector", "whole"),
        "were made with another flip test and detector; repeat that, or give another folder",
    )


@pytest.mark.slow
def test_an_interrupted_run_goes_on(command, local, pictures, tmp_path):
    """As after Ctrl-C, with a Ray of its own."""
    some = pictures.read_text().split("\n")[:240]
    (tmp_path / "list.txt").write_text("\n".join(some))
    arguments = ["predict", f"@{tmp_path}/list.txt", "--engine", "ray", "--out", tmp_path / "out"]
    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, *map(str, arguments)],
        capture_output=True,
        text=True,
        start_new_session=True,
    )
    assert ended.returncode == 130, ended.stderr
    assert "Traceback" not in ended.stderr
    written = {file: file.stat().st_mtime_ns for file in tmp_path.glob("out/parts/part-*")}
    assert 2 <= len(written) < 5
    assert f"interrupted; {50 * len(written)} pictures of 240 are done" in ended.stderr

    assert command(*arguments, "--resume").code == 0
    assert all(file.stat().st_mtime_ns == time for file, time in written.items())
    assert are_those_of(tmp_path / "out", local)


@pytest.mark.slow
def test_a_part_that_ends_its_worker_again_and_again_is_given_up(ray, weights_file, tmp_path):
    class Deadly:
        def __iter__(self):
            os.kill(os.getpid(), signal.SIGKILL)

    todo = [parts.Part(0, Deadly()), parts.Part(1, [parts.Listed(b"", "a", "a", 1)])]
    done = hrnet.ray.write_parts(
        tmp_path,
        todo,
        upright=True,
        actors=1,
        cpus=1,
        gpus=0,
        model=str(weights_file),
        detector="whole",
        runtime="torch",
    )
    (first, *given_up), (second, summary, errors) = done
    assert (first.number, given_up) == (0, [None, []])
    assert (second.number, summary["pictures"], summary["failed"]) == (1, 1, 1)
    assert errors == ["a: the picture is empty"]
    assert [file.name for file in (tmp_path / "parts").iterdir()] == ["part-000001.parquet"]


@pytest.mark.slow
def test_boxes_and_ids_are_as_the_local_command_has_them(command, ray, tmp_path):
    """COCO's detections are in the pixels of the pictures as stored; a picture that the annotation
    file does not list is refused."""
    folder = real_data("coco/images")
    content = json.loads(real_data("coco/val.json").read_text())
    names = [image["file_name"] for image in content["images"][:3]]
    boxes = [
        {**{key: person[key] for key in ("image_id", "bbox", "category_id")}, "score": 0.5}
        for person in content["annotations"]
    ]
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    del content["images"][1]
    (tmp_path / "val.json").write_text(json.dumps(content))
    asked = ["predict", *(folder / name for name in names), "--boxes", tmp_path / "boxes.json"]
    asked += ["--annotations", tmp_path / "val.json", "--save", "coco", "--out"]
    results = [
        command(*asked, tmp_path / "local"),
        command(*asked, tmp_path / "ray", "--engine", "ray", "--actors", 1),
    ]
    assert [result.code for result in results] == [1, 1]
    assert results[0].err == results[1].err
    assert "val.json does not list it" in results[1].err
    rows = [(tmp_path / name / "coco_results.json").read_bytes() for name in ("local", "ray")]
    assert rows[0] == rows[1]
    assert len(json.loads(rows[0])) > 2


@pytest.fixture
def album(tmp_path):
    """Three pictures and one that is broken, served over HTTP as well."""
    real = sorted(real_data("coco/images").glob("*.jpg"))[:3]
    folder = tmp_path / "album"
    folder.mkdir()
    for file in real:
        shutil.copy(file, folder)
    (folder / "z.jpg").write_bytes(real[0].read_bytes()[:-500])

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    Thread(target=server.serve_forever, daemon=True).start()
    yield SimpleNamespace(
        files=sorted(folder.iterdir()), url=f"http://127.0.0.1:{server.server_port}"
    )
    server.shutdown()
    server.server_close()


@pytest.mark.slow
def test_data_sets_of_paths_bytes_urls_and_arrays(ray, album, tmp_path):
    """Each has the rows that the estimator itself gives."""
    estimator = hrnet.PoseEstimator()
    names = [file.name for file in album.files]
    expected = []
    for file in album.files[:3]:
        expected += [{"name": file.name, **row} for row in estimator(file).to_rows()]
    assert len(expected) > 3
    listed = pandas.DataFrame({"name": names, "path": [str(file) for file in album.files]})
    listed.to_parquet(tmp_path / "list.parquet")
    contents = [{"name": file.name, "content": file.read_bytes()} for file in album.files]
    urls = [{"name": name, "path": f"{album.url}/{name}"} for name in names]
    for data, column in (
        (ray.data.read_parquet(str(tmp_path / "list.parquet")), "path"),
        (ray.data.from_items(contents), "content"),
        (ray.data.from_items(urls), "path"),
    ):
        found = (
            hrnet.ray.predict(data, column, actors=1).to_pandas().sort_values(["name", "person"])
        )
        assert "content" not in found
        people = found[found["person"].notna()][list(expected[0])]
        assert people.to_dict("records") == expected
        (broken,) = found[found["error"] != ""].to_dict("records")
        assert broken["name"] == "z.jpg"
        assert "is cut off: its end is missing" in broken["error"]


@pytest.mark.slow
def test_a_parquet_file_of_bytes_on_the_command_line(command, ray, album, tmp_path):
    """As `read_binary_files(include_paths=True)` has them."""
    files = album.files[:3]
    table = {"bytes": [file.read_bytes() for file in files], "path": [file.name for file in files]}
    pandas.DataFrame(table).to_parquet(tmp_path / "pictures.parquet")
    out = tmp_path / "out"
    result = command(
        "predict", tmp_path / "pictures.parquet", "--engine", "ray", "--actors", 1, "--out", out
    )
    assert (result.code, result.err) == (0, "")
    found = pandas.read_parquet(out / "parts")
    assert list(found["path"].unique()) == [file.name for file in files]
    estimator = hrnet.PoseEstimator()
    assert len(found) == sum(max(1, len(estimator(file))) for file in files)


@pytest.mark.slow
def test_what_cannot_be_is_said_before_anything_is_computed(command, ray, album, tmp_path):
    out = tmp_path / "out"
    asked = "predict", album.files[0], "--engine", "ray", "--out", out
    refused(command(*asked, "--model", "nobody"), "there is no model 'nobody'")
    refused(command(*asked, "--cpus-per-actor", 1e6), "no machine that Ray has, has 1e+06 CPUs")
    assert not out.exists()
    data = ray.data.from_items([{"file": "a.jpg"}])
    with pytest.raises(ConfigError, match="the data have no column 'path'; they have file"):
        hrnet.ray.predict(data)
    with pytest.raises(ConfigError, match="leave none of Ray's .* to read pictures with"):
        hrnet.ray.predict(data, "file", cpus=1e6)
