"""Videos: what is read and written, who is who, and that joints do not shake."""

import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from fractions import Fraction
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

import hrnet
from hrnet.cli import app
from hrnet.errors import ConfigError, HRNetError, ImageError
from hrnet.images import write_image
from hrnet.predicting.between import boxes_between
from hrnet.result import Poses
from hrnet.skeletons import load_skeleton
from hrnet.video.appearance import BINS, looks_of, unlikeness
from hrnet.video.reading import FolderReader, VideoReader, is_video, open_frames
from hrnet.video.smoothing import Smoother
from hrnet.video.tracking import Tracker
from hrnet.video.writing import VideoWriter
from real_data import real_data

COCO = load_skeleton("coco17")
GREYS = [20, 80, 140, 200]


def grey(value, height=48, width=64):
    return np.full((height, width, 3), value, np.uint8)


def film(file, greys=GREYS, times=None, sound=None, height=48, width=64):
    times = [i / 10 for i in range(len(greys))] if times is None else times
    with VideoWriter(file, 10, sound) as writer:
        for value, when in zip(greys, times, strict=True):
            writer.write(grey(value, height, width), when)
    return file


def noise(file, seconds=1):
    """A video of one grey with a sound."""
    with av.open(str(file), "w") as out:
        video, audio = out.add_stream("libx264", rate=10), out.add_stream("aac", rate=44100)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for _ in range(10 * seconds):
            out.mux(video.encode(av.VideoFrame.from_ndarray(grey(90), format="rgb24")))
        out.mux(video.encode(None))
        samples = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 44100 * seconds))
        frame = av.AudioFrame.from_ndarray(samples.astype(np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 44100, 0, Fraction(1, 44100)
        out.mux(audio.encode(frame))
        out.mux(audio.encode(None))
    return file


# --- reading and writing --------------------------------------------------------------------


def test_frames_come_back_at_their_times(tmp_path):
    """Also at uneven ones, and of an odd size."""
    times = [0, 0.1, 0.35, 1.0]
    file = film(tmp_path / "a.mp4", times=times, height=47, width=63)
    with VideoReader(file) as reader:
        frames = list(reader)
    assert [frame.number for frame in frames] == [0, 1, 2, 3]
    np.testing.assert_allclose([frame.time for frame in frames], times, atol=1e-4)
    assert frames[0].image.shape == (48, 64, 3)
    np.testing.assert_allclose([f.image.mean() for f in frames], GREYS, atol=3)


def test_red_stays_red(tmp_path):
    with VideoWriter(tmp_path / "a.mp4", 10) as writer:
        writer.write(grey(0) + np.array([200, 40, 40], np.uint8), 0)
    with VideoReader(tmp_path / "a.mp4") as reader:
        (frame,) = reader
    np.testing.assert_allclose(frame.image.mean(axis=(0, 1)), [200, 40, 40], atol=6)


@pytest.mark.parametrize(("turn", "corner"), [(90, "lower left"), (-90, "upper right"), (180, "")])
def test_a_telephone_s_video_is_turned_upright(tmp_path, turn, corner):
    """The white corner, upper left as stored, goes where the file's rotation, which is counted
    counter-clockwise, takes it."""
    ffmpeg = pytest.importorskip("imageio_ffmpeg").get_ffmpeg_exe()
    picture = grey(20)
    picture[:12, :16] = 240
    with VideoWriter(tmp_path / "a.mp4", 10) as writer:
        for i in range(3):
            writer.write(picture, i / 10)
    command = [ffmpeg, "-v", "error", "-display_rotation", str(turn), "-i", tmp_path / "a.mp4"]
    subprocess.run([*command, "-c", "copy", tmp_path / "b.mp4"], check=True)
    with VideoReader(tmp_path / "b.mp4") as reader:
        image = next(iter(reader)).image
    assert image.shape == ((48, 64, 3) if turn == 180 else (64, 48, 3))
    rows, columns = np.nonzero(image.mean(axis=2) > 130)
    down, right = rows.mean() > image.shape[0] / 2, columns.mean() > image.shape[1] / 2
    where = {"lower left": (True, False), "upper right": (False, True), "": (True, True)}
    assert (down, right) == where[corner]


def test_broken_frames_are_passed_over(tmp_path):
    """A packet in the middle is overwritten."""
    file = tmp_path / "a.avi"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for value in GREYS:
        writer.write(grey(value))
    writer.release()
    content = bytearray(file.read_bytes())
    starts = [i for i in range(len(content) - 1) if content[i : i + 2] == b"\xff\xd8"]
    assert len(starts) == 4
    content[starts[1] : starts[2] - 8] = bytes(starts[2] - 8 - starts[1])
    file.write_bytes(content)
    with VideoReader(file) as reader:
        frames = list(reader)
    assert [frame.number for frame in frames] == [0, 2, 3]
    assert reader.broken == [1]
    np.testing.assert_allclose([f.image.mean() for f in frames], [20, 140, 200], atol=3)


def test_what_is_no_video(tmp_path):
    with pytest.raises(ImageError, match=r"x.mp4 cannot be read as a video: No such file"):
        VideoReader(tmp_path / "x.mp4")
    (tmp_path / "x.mp4").write_bytes(b"text")
    with pytest.raises(ImageError, match="cannot be read as a video: Invalid data"):
        VideoReader(tmp_path / "x.mp4")
    whole = film(tmp_path / "a.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 3])
    with pytest.raises(ImageError), VideoReader(tmp_path / "cut.mp4") as reader:
        list(reader)


def test_the_sound_is_taken_over(tmp_path):
    source = noise(tmp_path / "noise.mp4")
    film(tmp_path / "a.mp4", greys=[50] * 10, sound=str(source))
    packets = {}
    for file in (source, tmp_path / "a.mp4"):
        with av.open(str(file)) as container:
            found = [p for p in container.demux(audio=0) if p.dts is not None]
            packets[file.name] = [bytes(p) for p in found]
            assert found[-1].pts * found[-1].time_base == pytest.approx(0.975, abs=0.05)
    assert packets["noise.mp4"][1:] == packets["a.mp4"]  # the first is before the beginning
    with VideoReader(tmp_path / "a.mp4") as reader:
        np.testing.assert_allclose([f.time for f in reader], np.arange(10) / 10, atol=1e-4)
    assert len(packets["a.mp4"]) > 40


def test_an_unfinished_file_can_be_played(tmp_path):
    """As a kill leaves it."""
    writer = VideoWriter(tmp_path / "a.mp4", 10)
    for i in range(120):
        writer.write(grey(i), i / 10)
    shutil.copy(tmp_path / "a.mp4", tmp_path / "b.mp4")
    writer.close()
    with VideoReader(tmp_path / "b.mp4") as reader:
        frames = list(reader)
    assert 10 < len(frames) < 120
    assert frames[9].image.mean() == pytest.approx(9, abs=3)


def test_frames_of_another_size_are_refused(tmp_path):
    with VideoWriter(tmp_path / "a.mp4", 10) as writer:
        writer.write(grey(1), 0)
        with pytest.raises(HRNetError, match="9 x 8 pixels does not fit"):
            writer.write(grey(1, 8, 9), 1)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("match.mp4", True),
        ("MATCH.MOV", True),
        ("https://example.com/x.webm?key=1", True),
        ("https://example.com/live/x.m3u8", True),
        ("rtsp://camera.local/1", True),
        ("webcam", True),
        ("webcam:1", True),
        ("webcam.png", False),
        ("photo.jpg", False),
        ("https://example.com/x.jpg?of=y.mp4", False),
        ("-", False),
    ],
)
def test_videos_by_their_names(source, expected):
    assert is_video(source) is expected


def test_a_folder_s_pictures_are_frames_in_the_order_of_their_numbers(tmp_path):
    for number in (2, 10, 1):
        write_image(tmp_path / f"frame_{number}.png", grey(number * 10))
    (tmp_path / "frame_3.png").write_bytes(b"broken")
    (tmp_path / "notes.txt").write_text("")
    with open_frames(tmp_path, fps=4) as reader:
        frames = list(reader)
    assert [frame.image[0, 0, 0] for frame in frames] == [10, 20, 100]
    assert [frame.number for frame in frames] == [0, 1, 3]
    assert [frame.time for frame in frames] == [0, 0.25, 0.75]
    assert (reader.frames, reader.rate, reader.broken) == (4, 4, [2])
    with pytest.raises(ConfigError, match="as a video it needs its frames a second"):
        open_frames(tmp_path)
    with pytest.raises(ConfigError, match="is no folder, and has its own times"):
        open_frames(tmp_path / "frame_1.png", fps=4)
    with pytest.raises(ConfigError, match="fps is 0; it must be positive"):
        FolderReader(tmp_path, 0)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match="has no pictures"):
        open_frames(tmp_path / "empty", fps=4)


def test_a_video_over_a_network(tmp_path):
    film(tmp_path / "a.mp4")
    handler = functools.partial(QuietHandler, directory=tmp_path)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with open_frames(f"http://127.0.0.1:{server.server_port}/a.mp4") as reader:
            assert reader.file is None
            assert len(list(reader)) == 4
        with pytest.raises(ImageError, match="none.mp4 cannot be read as a video"):
            open_frames(f"http://127.0.0.1:{server.server_port}/none.mp4")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def test_a_webcam_that_is_not_there():
    with pytest.raises(ImageError, match="webcam:77 cannot be read as a video"):
        open_frames("webcam:77")


# --- who is who -----------------------------------------------------------------------------


def people(*centres, size=100.0, noise=0.0, rng=None):
    """Upright stick figures about their centres (x, y)."""
    base = np.random.default_rng(7).uniform(-0.5, 0.5, (17, 2)) * [0.5, 1] * size
    points = np.array([base + centre for centre in centres], np.float32).reshape(-1, 17, 2)
    if noise:
        points += rng.normal(0, noise, points.shape).astype(np.float32)
    boxes = np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1)
    ones = np.ones((len(points), 17), np.float32)
    return Poses(points, ones, boxes, ones[:, 0], COCO, "given")


ALIKE = grey(128, 200, 700)  # a picture in which people have the same colour
RED, BLUE = (200, 40, 40), (40, 60, 200)


def painted(poses, *colours):
    """A picture of people in these colours, the last in front."""
    picture = grey(128, 200, 700)
    for points, colour in zip(poses.keypoints, colours, strict=True):
        for a, b in COCO.limb_indices:
            ends = (tuple(np.rint(points[k]).astype(int).tolist()) for k in (a, b))
            cv2.line(picture, *ends, colour, 7)
    return picture


def test_numbers_hold_whoever_comes_first_in_the_list():
    tracker = Tracker()
    first = tracker(people((100, 100), (300, 100)), 0.0, ALIKE)
    assert first.track_ids.tolist() == [1, 2]
    second = tracker(people((302, 101), (98, 100), (500, 100)), 0.1, ALIKE)
    assert second.track_ids.tolist() == [2, 1, 3]
    assert tracker(people(), 0.2, ALIKE).track_ids.tolist() == []


def test_two_who_walk_past_each_other_keep_their_numbers():
    """From the sides to the other ones, at 200 pixels a second; in the middle they are at the same
    place, and only where they should be by now tells them apart."""
    tracker = Tracker()
    rng = np.random.default_rng(0)
    for i in range(41):
        when = i / 20
        left, right = (100 + 200 * when, 100), (500 - 200 * when, 104)
        order = rng.permutation(2)
        frame = people(*[(left, right)[j] for j in order], noise=1.0, rng=rng)
        found = tracker(frame, when, ALIKE)
        if i == 0:
            numbers = found.track_ids[np.argsort(order)]
    assert np.array_equal(found.track_ids[np.argsort(order)], numbers)


@pytest.mark.parametrize("seen", ["in front", "between", "not at all"])
def test_who_walks_past_behind_somebody_keeps_the_number(seen):
    """While the two overlap, who is behind is found where the one in front is, or half-way
    there, or not."""
    tracker = Tracker()
    numbers = []
    for i in range(76):
        when = i / 25
        front, behind = np.array([100 + 100 * when, 100]), np.array([400 - 100 * when, 104])
        if abs(front - behind)[0] < 40:
            share = {"in front": 1.0, "between": 0.5, "not at all": None}[seen]
            behind = None if share is None else behind + share * (front + 2 - behind)
        found = tracker(people(front, *([] if behind is None else [behind])), when, ALIKE)
        numbers.append(found.track_ids.tolist())
    assert numbers[0] == numbers[-1] == [1, 2]
    assert all(own[0] == 1 for own in numbers)


def test_two_who_walk_side_by_side_keep_their_numbers():
    """They stand for two seconds, then walk, their boxes overlapping all the time."""
    tracker = Tracker()
    for i in range(125):
        when = i / 25
        x = 100 + 100 * max(0.0, when - 2)
        found = tracker(people((x, 100), (x + 30, 103)), when, ALIKE)
        assert found.track_ids.tolist() == [1, 2]


def test_numbers_hold_in_a_video_of_one_frame_in_five_seconds():
    tracker = Tracker()
    for i in range(4):
        found = tracker(people((100 + i, 100), (300, 100)), 5.0 * i, ALIKE)
        assert found.track_ids.tolist() == [1, 2]


def test_who_is_hidden_for_half_a_second_comes_back():
    tracker = Tracker()
    for i in range(10):
        tracker(people((100 + 10 * i, 100)), i / 10, ALIKE)
    tracker(people(), 1.0, ALIKE)
    assert tracker(people((250, 100)), 1.4, ALIKE).track_ids.tolist() == [1]
    tracker(people(), 2.0, ALIKE)
    assert tracker(people((250, 100)), 4.0, ALIKE).track_ids.tolist() == [2]


def test_numbers_do_not_follow_who_is_elsewhere():
    tracker = Tracker()
    tracker(people((100, 100)), 0.0, ALIKE)
    assert tracker(people((400, 100)), 0.1, ALIKE).track_ids.tolist() == [2]


@pytest.mark.parametrize(("colours", "numbers"), [((RED, BLUE), [1, 2]), ((RED, RED), [2, 1])])
def test_two_who_meet_and_turn_back_are_known_by_their_colours(colours, numbers):
    """Each goes back to the side that it came from, after most of a second in which only who is in
    front is found. Going on as they were, both would be on the other side."""
    tracker = Tracker()
    for i in range(76):
        when = i / 25
        x = 160 * min(when, 3 - when)
        both = people((60 + x, 100), (550 - x, 104))
        found = both if x < 205 else both[1:]
        poses = tracker(found, when, painted(both, *colours))
        if i == 0:
            assert poses.track_ids.tolist() == [1, 2]
    assert poses.track_ids.tolist() == numbers


@pytest.mark.parametrize(("colour", "x", "number"), [(RED, 170, 1), (BLUE, 170, 2), (RED, 520, 2)])
def test_who_comes_back_a_second_later_elsewhere_is_known_by_colour(colour, x, number):
    """Who walked to the right and is not seen any more at 200 would be at 300 by then; 520 is
    farther than anybody goes."""
    tracker = Tracker()
    for i in range(11):
        walking = people((100 + 10 * i, 100))
        tracker(walking, i / 10, painted(walking, RED))
    back = people((x, 100))
    assert tracker(back, 2.0, painted(back, colour)).track_ids.tolist() == [number]


def test_who_looks_like_two_is_neither():
    """Of two in the same colour one is not seen any more; somebody in that colour next to the other
    one could be either, found twice."""
    tracker = Tracker()
    for i in range(11):
        both = people((100, 100), (230, 100))
        tracker(both, i / 10, painted(both, RED, RED))
    new = people((230, 100), (175, 100))
    assert tracker(new, 1.5, painted(new, RED, RED)).track_ids.tolist() == [2, 3]


def test_who_is_found_in_another_s_place_does_not_become_that_one():
    """Who stands behind somebody for more than a second is found where that one is, in that one's
    colours."""
    tracker = Tracker()
    front = (300, 100)
    for i in range(50):
        x = min(200 + 4 * i, 300)
        both = people((x, 104), front)
        place = (x, 104) if x < 250 else (304, 104)
        poses = tracker(people(place, front), i / 25, painted(both, RED, BLUE))
        assert poses.track_ids[1] == 2
    out = people(front, (250, 104))
    assert tracker(out, 2.0, painted(out, BLUE, RED)).track_ids.tolist() == [2, 1]


def test_what_somebody_looks_like_is_learnt_alone():
    """Somebody turns up in front of who stands, whose joints then are more and more that one's."""
    tracker = Tracker()
    for i in range(60):
        found = people((200, 100), (220, 100)) if i >= 20 else people((200, 100))
        share = np.clip((i - 20) / 10, 0, 1)
        colour = (share * np.array(BLUE) + (1 - share) * np.array(RED)).tolist()
        tracker(found, i / 25, painted(found, *[colour, BLUE][: len(found)]))
    apart = people((135, 100), (222, 100))
    assert tracker(apart, 2.4, painted(apart, RED, BLUE)).track_ids.tolist() == [1, 2]


def test_who_was_found_twice_for_a_moment_stays_the_same():
    """It is the second one that then goes on being found."""
    tracker = Tracker()
    for i in range(34):
        found = people((200, 100)) if i < 31 else people((200, 100), (230, 100))
        tracker(found, i / 25, painted(found, *[RED, RED][: len(found)]))
    left = people((232, 100))
    assert tracker(left, 1.36, painted(left, RED)).track_ids.tolist() == [1]


def test_looks_are_of_the_colours_along_limbs():
    """Grey 119 is (50, 0, 0) in CIELAB, in the middle between two bins each way."""
    both = people((100, 100), (300, 100))
    picture = painted(both, (119, 119, 119), RED)
    certain = np.ones((2, 17), bool)
    looks = looks_of(picture, both, certain)
    assert looks.shape == (2, BINS)
    assert np.allclose(looks.sum(axis=1), 1)
    assert np.allclose(np.sort(looks[0])[-8:], 1 / 8, atol=0.01)
    assert unlikeness(looks, looks) == pytest.approx(np.array([[0, 1], [1, 0]]), abs=0.05)
    certain[0, 1:] = False
    assert np.isnan(looks_of(picture, both, certain)[0]).all()
    outside = people((100, 100), (300, -500))
    assert np.isnan(looks_of(picture, outside, np.ones((2, 17), bool))[1]).all()
    assert looks_of(picture, people(), np.ones((0, 17), bool)).shape == (0, BINS)


def test_how_unlike_two_looks_are():
    one, other = np.zeros((2, 1, BINS))
    one[0, :2], other[0, 0] = 0.5, 1
    assert unlikeness(one, other)[0, 0] == pytest.approx((1 - 0.5**0.5) ** 0.5)


# --- smoothing ------------------------------------------------------------------------------


def second_difference(points):
    return np.linalg.norm(np.diff(points, n=2, axis=0), axis=-1).mean()


def smoothed(centres, noise, rate=25):
    rng, smoother, tracker = np.random.default_rng(0), Smoother(), Tracker()
    raw, smooth = [], []
    for i, centre in enumerate(centres):
        poses = tracker(people(centre, noise=noise, rng=rng), i / rate, ALIKE)
        raw.append(poses.keypoints[0])
        smooth.append(smoother(poses, i / rate).keypoints[0])
    return np.array(raw), np.array(smooth)


def test_who_stands_still_does_not_shake():
    raw, smooth = smoothed([(100, 100)] * 100, noise=1.0)
    assert second_difference(smooth[20:]) < 0.25 * second_difference(raw[20:])


def test_who_moves_fast_is_not_left_behind():
    """Two and a half times the own size a second; the lag is under a twentieth of it."""
    raw, smooth = smoothed([(10 * i, 100) for i in range(50)], noise=0.0)
    assert np.abs(raw - smooth)[20:].max() < 5


def test_a_joint_of_another_person_and_a_new_beginning():
    smoother = Smoother()
    one = Poses(**{**vars(people((100, 100))), "track_ids": np.array([1])})
    other = Poses(**{**vars(people((300, 100))), "track_ids": np.array([1])})
    assert np.array_equal(smoother(one, 0.0).keypoints, one.keypoints)
    assert (smoother(other, 0.04).keypoints < other.keypoints)[..., 0].all()
    assert np.array_equal(smoother(other, 3.0).keypoints, other.keypoints)  # long after
    untracked = people((100, 100))
    assert smoother(untracked, 3.1) is untracked


# --- predicting -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def walking(tmp_path_factory):
    """Somebody of COCO's who moves from left to right before grey, 12 frames."""
    file = tmp_path_factory.mktemp("walking") / "walking.mp4"
    picture = cv2.imread(str(real_data("formats/coco/000000000785.jpg")))[:, :, ::-1]
    picture = cv2.resize(picture, (320, 212))
    with VideoWriter(file, 10) as writer:
        for i in range(12):
            writer.write(np.roll(picture, 4 * i, axis=1), i / 10)
    return file


@pytest.fixture(scope="module")
def nano():
    return str(real_data("../peers/yolox_nano.onnx"))


def test_a_video_s_poses(walking, nano):
    estimator = hrnet.PoseEstimator(detector=nano)
    results = list(estimator.stream_video(walking))
    assert [result.number for result in results] == list(range(12))
    assert {tuple(result.poses.track_ids.tolist()) for result in results} == {(1,)}
    noses = np.array([result.poses.keypoints[0, 0, 0] for result in results])
    assert 3 < np.diff(noses).mean() < 5
    some = list(estimator.stream_video(walking, start=0.35, end=0.65, smooth=False))
    assert [result.number for result in some] == [4, 5, 6]
    with pytest.raises(ImageError, match="cannot be read as a video"):
        next(estimator.stream_video("nothing.mp4"))
    with pytest.raises(ConfigError, match="every is 0"):
        next(estimator.stream_video(walking, every=0))


def test_people_looked_for_in_every_third_frame(walking, nano):
    """The first frame and every third after it; the boxes in between lie on the way."""
    estimator = hrnet.PoseEstimator(detector=nano)
    looked_at = []
    find = estimator.detector._find
    estimator.detector._find = lambda image: looked_at.append(image) or find(image)
    results = list(estimator.stream_video(walking, every=3))
    with VideoReader(walking) as reader:
        frames = [frame.image for frame in reader]
    assert len(looked_at) == 5
    same = [np.array_equal(a, frames[i]) for a, i in zip(looked_at, (0, 3, 6, 9, 11), strict=True)]
    assert all(same)
    assert [result.number for result in results] == list(range(12))
    assert {tuple(result.poses.track_ids.tolist()) for result in results} == {(1,)}
    boxes = np.array([result.poses.boxes[0] for result in results])
    np.testing.assert_allclose(boxes[4], (2 * boxes[3] + boxes[6]) / 3, atol=1e-3)
    steps = np.diff([result.poses.keypoints[0, 0, 0] for result in results])
    assert 3 < steps.mean() < 5


def test_boxes_between_two_frames():
    before = np.array([[0.0, 0, 100, 100, 0.8], [300, 0, 400, 100, 0.5]])
    after = np.array([[600.0, 0, 700, 100, 0.9], [40, 20, 140, 120, 0.4]])
    frames = boxes_between(before, after, 4)
    assert [frame[0].tolist() for frame in frames] == [
        [10, 5, 110, 105, pytest.approx(0.7)],
        [20, 10, 120, 110, pytest.approx(0.6)],
        [30, 15, 130, 115, pytest.approx(0.5)],
        [40, 20, 140, 120, pytest.approx(0.4)],
    ]
    # One is gone, and one is new: half the time each.
    assert [frame[1, 0] for frame in frames] == [300, 600, 600, 600]
    assert [len(frame) for frame in frames] == [2] * 4
    assert boxes_between(None, after, 1)[0] is after
    nobody = np.empty((0, 5))
    assert [len(f) for f in boxes_between(nobody, after, 2)] == [2, 2]
    assert [len(f) for f in boxes_between(before, nobody, 2)] == [0, 0]


def test_predict_writes_a_video_lines_and_a_table(walking, nano, tmp_path):
    out = tmp_path / "out"
    arguments = ["predict", str(walking), "--detector", nano, "--out", str(out)]
    result = CliRunner().invoke(app, [*arguments, "--save", "json,csv,image"])
    assert result.exit_code == 0, (result.output, result.exception)
    assert "12 frames, 1 person" in result.output
    about, *lines = [json.loads(line) for line in (out / "walking.jsonl").read_text().splitlines()]
    assert about["detector"] == "yolox_nano"
    assert about["skeleton"]["name"] == "coco17"
    assert [line["frame"] for line in lines] == list(range(12))
    assert {person["track_id"] for line in lines for person in line["people"]} == {1}
    table = (out / "walking.csv").read_text().splitlines()
    assert len(table) == 13
    assert table[0].startswith("frame,time,track_id,person,score,x1")
    with VideoReader(out / "walking.mp4") as drawn, VideoReader(walking) as before:
        pairs = list(zip(drawn, before, strict=True))
    assert len(pairs) == 12
    for one, other in pairs:
        assert one.time == pytest.approx(other.time, abs=1e-3)
        assert (cv2.absdiff(one.image, other.image).max(axis=2) > 60).mean() > 0.005


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sample"], "there are pictures and videos"),
        (["--resume"], "videos go without .*--resume"),
        (["--save", "coco"], "of a video there is no coco"),
        (["--start", "60"], "has no frame from 60 to inf seconds"),
        (["--every", "0"], "--every is 0; it must be at least 1"),
    ],
)
def test_what_videos_do_not_have(walking, nano, tmp_path, arguments, message):
    command = [
        "predict",
        str(walking),
        *arguments,
        "--detector",
        nano,
        "--out",
        str(tmp_path / "o"),
    ]
    result = CliRunner().invoke(app, command)
    said = str(result.exception) if isinstance(result.exception, ConfigError) else result.output
    assert result.exit_code != 0
    assert re.search(message, said)


def test_start_and_end_are_for_videos(tmp_path):
    result = CliRunner().invoke(app, ["predict", "sample", "--end", "3", "--out", str(tmp_path)])
    assert "--start, --end and --every are for videos" in str(result.exception)


def test_the_video_itself_is_not_overwritten(walking, nano, tmp_path):
    copy = Path(shutil.copy(walking, tmp_path / "walking.mp4"))
    result = CliRunner().invoke(app, ["predict", str(copy), "--out", str(tmp_path)])
    assert "results would overwrite" in result.output
    assert copy.read_bytes() == walking.read_bytes()


def test_predict_takes_a_folder_as_a_video(walking, tmp_path):
    frames = tmp_path / "frames"
    with VideoReader(walking) as reader:
        for frame in reader:
            write_image(frames / f"{frame.number}.png", frame.image)
    out = tmp_path / "out"
    arguments = ["predict", str(frames), "--fps", "10", "--every", "4", "--out", str(out)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    assert "12 frames, 1 person" in result.output
    assert "found by hrnet_w32_small_person" in result.output
    about, *lines = [json.loads(line) for line in (out / "frames.jsonl").read_text().splitlines()]
    assert about["video"] == {"source": str(frames)}
    assert [len(line["people"]) for line in lines] == [1] * 12
    with VideoReader(out / "frames.mp4") as drawn:
        assert [frame.time for frame in drawn] == pytest.approx(np.arange(12) / 10, abs=1e-3)


@pytest.mark.slow
def test_what_a_kill_leaves_can_be_played_and_read(walking, tmp_path):
    film(tmp_path / "long.mp4", greys=[i % 200 for i in range(3000)], height=96, width=96)
    out = tmp_path / "out"
    command = [Path(sys.executable).parent / "hrnet", "predict", tmp_path / "long.mp4"]
    command += ["--detector", "whole"]
    process = subprocess.Popen(
        [*command, "--out", out],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL),
    )
    lines = out / "long.jsonl"
    while process.poll() is None and (not lines.exists() or lines.stat().st_size < 200_000):
        os.sched_yield()
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert "what is done so far is in" in process.communicate()[1]
    assert process.returncode == 130
    done = [json.loads(line) for line in lines.read_text().splitlines()][1:]
    with VideoReader(out / "long.mp4") as reader:
        frames = list(reader)
    assert 20 < len(done) < 3000
    assert abs(len(frames) - len(done)) <= 1


def test_the_whole_picture_is_somebody_in_videos_too(tmp_path):
    file = film(tmp_path / "a.mp4", height=96, width=96)
    results = list(hrnet.PoseEstimator(detector="whole").stream_video(file))
    assert [len(result.poses) for result in results] == [1] * 4
    assert results[0].poses.box_source == "whole"
