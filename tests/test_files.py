import stat
from pathlib import Path

import pytest

from hrnet.errors import ConfigError
from hrnet.files import atomic_write, cache_file, cache_folder


def test_a_file_appears_whole_with_its_folders(tmp_path):
    file = tmp_path / "a" / "b.txt"
    with atomic_write(file) as temporary:
        temporary.write_text("new")
        assert not file.exists()
    assert file.read_text() == "new"
    assert [p.name for p in file.parent.iterdir()] == ["b.txt"]


def test_a_failure_leaves_what_was_there(tmp_path):
    file = tmp_path / "b.txt"
    file.write_text("old")
    with pytest.raises(RuntimeError), atomic_write(file) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert file.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["b.txt"]


def test_files_have_the_usual_permissions(tmp_path):
    plain, written = tmp_path / "plain", tmp_path / "written"
    plain.touch()
    with atomic_write(written):
        pass
    assert stat.S_IMODE(written.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_hrnet_home_is_the_cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HRNET_HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home"
    assert cache_file("weights", "w32-0123abcd.pth") == tmp_path / "home/weights/w32-0123abcd.pth"
    assert not cache_folder().exists()


def test_a_relative_hrnet_home_is_named_in_full(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HRNET_HOME", "home")
    assert cache_folder() == Path.cwd() / "home"


@pytest.mark.parametrize("home", [None, ""])
def test_without_hrnet_home_the_platform_says_where_the_cache_is(tmp_path, monkeypatch, home):
    monkeypatch.delenv("HRNET_HOME", raising=False)
    if home is not None:
        monkeypatch.setenv("HRNET_HOME", home)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # heeded on Linux
    assert cache_folder().is_absolute()
    assert "hrnet" in cache_folder().parts


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../x", "a/b", "/etc/x", "a\\b", "C:x", "~", "a\0b", "a\n", "-x", ".hidden"],
)
def test_a_name_does_not_lead_out_of_the_cache_folder(name):
    with pytest.raises(ConfigError, match="cannot be the name of a file in the cache folder"):
        cache_file("weights", name)
