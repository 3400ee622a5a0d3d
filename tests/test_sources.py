from pathlib import Path

import pytest

from hrnet.errors import ImageError
from hrnet.images import read_image
from hrnet.images.sources import find_sources


@pytest.fixture
def folder(tmp_path):
    for name in ("b.png", "a.JPG", "c.txt", "d[1].png"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "e.png").write_bytes(b"x")
    (tmp_path / "folder.png").mkdir()
    return tmp_path


def test_a_folder_gives_its_pictures_sorted_without_its_subfolders(folder):
    assert [s.name for s in find_sources([folder])] == ["a.JPG", "b.png", "d[1].png"]


def test_a_tree_gives_its_pictures_by_their_path_below_it(folder):
    found = find_sources([folder], recursive=True)
    assert [s.name for s in found] == ["a.JPG", "b.png", "d[1].png", "sub/e.png"]
    assert [s.place for s in found][-1] == folder / "sub" / "e.png"


def test_a_folder_whose_pictures_are_in_subfolders_says_how_to_find_them(folder):
    (folder / "top").mkdir()
    (folder / "sub").rename(folder / "top" / "sub")
    with pytest.raises(ImageError, match="top has no pictures .*add --recursive"):
        find_sources([folder / "top"])
    assert [s.name for s in find_sources([folder / "top"], recursive=True)] == ["sub/e.png"]


def test_hidden_files_are_passed_over_unless_named(folder):
    (folder / "._b.png").write_bytes(b"x")  # as macOS leaves them on other systems' disks
    (folder / ".cache").mkdir()
    (folder / ".cache" / "f.png").write_bytes(b"x")
    assert len(find_sources([folder], recursive=True)) == 4
    assert [s.name for s in find_sources([folder / "._b.png"])] == ["._b.png"]


def test_links_are_followed_but_not_in_circles(folder):
    (folder / "sub" / "up").symlink_to(folder, target_is_directory=True)
    (folder / "more").mkdir()
    (folder / "more" / "link").symlink_to(folder / "sub", target_is_directory=True)
    names = [s.name for s in find_sources([folder / "more"], recursive=True)]
    assert names[0] == "link/e.png"
    assert len(find_sources([folder], recursive=True)) == 4


def test_the_folder_of_results_is_passed_over_unless_named(folder):
    out = folder / "sub"
    everything = ["a.JPG", "b.png", "d[1].png"]
    assert [s.name for s in find_sources([folder], recursive=True, skip=out)] == everything
    assert [s.name for s in find_sources([f"{folder}/**"], skip=out)] == everything
    assert [s.name for s in find_sources([out], skip=out)] == ["e.png"]
    assert [s.name for s in find_sources([out / "e.png"], skip=out)] == ["e.png"]


def test_brackets_in_a_folder_s_name_are_no_pattern(folder):
    (folder / "x [2024]").mkdir()
    (folder / "x [2024]" / "g.png").write_bytes(b"x")
    assert [s.name for s in find_sources([f"{folder}/x [2024]/*.png"])] == ["g.png"]
    assert [s.name for s in find_sources([f"{folder}/[ab]*"])] == ["a.JPG", "b.png"]


@pytest.mark.parametrize("name", ["ü ß.png", "雪 ❄️.png", "-x.png", "@a.png", "a\nb.png", "*.png"])
def test_odd_names_are_files(folder, name, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / name).write_bytes(b"x")
    assert [s.place for s in find_sources([name])] == [Path(name)]
    assert Path(name) in [s.place for s in find_sources(["."])]


def test_a_list_has_a_path_or_a_url_a_line(folder, monkeypatch):
    monkeypatch.chdir(folder)
    lines = ["b.png", "", "sub/e.png", "gone.png", "https://x.org/p/q.jpg?size=9", "d[1].png"]
    (folder / "list.txt").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    found = find_sources(["@list.txt"])
    assert [s.name for s in found] == ["b.png", "sub/e.png", "gone.png", "q.jpg", "d[1].png"]
    assert found[3].place == "https://x.org/p/q.jpg?size=9"
    with pytest.raises(ImageError, match=r"there is no picture gone\.png"):
        read_image(found[2].content())


def test_names_in_a_list_are_below_what_its_paths_share(tmp_path):
    file = tmp_path / "list.txt"
    file.write_text("/data/one/a.png\n/data/two/a.png\n")
    assert [s.name for s in find_sources([f"@{file}"])] == ["one/a.png", "two/a.png"]


def test_a_list_that_is_none_is_refused(tmp_path):
    with pytest.raises(ImageError, match=r"the list .*none\.txt cannot be read: No such file"):
        find_sources([f"@{tmp_path}/none.txt"])
    (tmp_path / "empty.txt").write_text("\n \n")
    with pytest.raises(ImageError, match=r"the list .*empty\.txt is empty"):
        find_sources([f"@{tmp_path}/empty.txt"])


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://x.org/a%20b.jpg#top", "a b.jpg"),
        ("HTTPS://x.org/", "picture"),
        ("https://x.org/..%2f..%2fetc", "etc"),
        ("https://x.org/%2e%2e", "picture"),
        ("https://x.org/a%5cb%3a.jpg", "a_b_.jpg"),
    ],
)
def test_the_name_of_a_url_is_one_file_s(url, name):
    (found,) = find_sources([url])
    assert found.place == url
    assert found.name == name


def test_a_glob_gives_pictures_only_and_two_stars_go_down(folder):
    assert [s.name for s in find_sources([f"{folder}/*"])] == ["a.JPG", "b.png", "d[1].png"]
    assert [s.name for s in find_sources([f"{folder}/**/e*"])] == ["sub/e.png"]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(folder):
    assert [s.name for s in find_sources([folder / "d[1].png"])] == ["d[1].png"]


def test_a_file_named_outright_may_have_any_suffix(folder):
    assert [s.name for s in find_sources([folder / "c.txt"])] == ["c.txt"]


def test_a_file_that_is_named_twice_is_found_once_in_the_first_place(folder, monkeypatch):
    monkeypatch.chdir(folder)
    found = find_sources(["b.png", "./b.png", folder / "b.png", "sub/../b.png", "."])
    assert [str(s) for s in found] == ["b.png", "a.JPG", "d[1].png"]


def test_sources_without_pictures_are_refused_by_name(folder):
    with pytest.raises(ImageError, match=r"nope\.png"):
        find_sources([folder / "b.png", folder / "nope.png"])
    with pytest.raises(ImageError, match=r"no picture matches .*\*\.gif"):
        find_sources([f"{folder}/*.gif"])
    (folder / "empty").mkdir()
    with pytest.raises(ImageError, match=r"empty has no pictures \(.*\.png"):
        find_sources([folder / "empty"])
