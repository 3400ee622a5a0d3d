import os
import stat
from concurrent.futures import ThreadPoolExecutor
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


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_umask_is_applied_without_being_touched(tmp_path, monkeypatch, umask, mode):
    """It is the whole process's: while it is changed, other threads' files get other permissions,
    as did 32 of 20,000 when four threads wrote."""
    before = os.umask(umask)
    try:
        with monkeypatch.context() as patched, ThreadPoolExecutor(4) as pool:
            patched.setattr(os, "umask", lambda _: pytest.fail("the umask was changed"))

            def write(number):
                with atomic_write(tmp_path / f"{number}.txt") as temporary:
                    modes = stat.S_IMODE(temporary.stat().st_mode)
                    temporary.write_text("new")
                (tmp_path / f"{number}.other").touch()
                return modes

            assert set(pool.map(write, range(200))) == {mode}
    finally:
        os.umask(before)
    files = list(tmp_path.iterdir())
    assert len(files) == 400
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {mode}


def test_a_file_replaces_one_of_other_permissions_and_never_a_file_beside_it(tmp_path, monkeypatch):
    file, beside = tmp_path / "b.txt", tmp_path / ".00.txt"
    file.touch(0o600)
    beside.write_text("another's")
    monkeypatch.setattr("secrets.token_hex", lambda _: "00")
    with pytest.raises(FileExistsError, match="b.txt"), atomic_write(file):
        pass
    assert beside.read_text() == "another's"
    beside.unlink()
    with atomic_write(file):
        pass
    assert stat.S_IMODE(file.stat().st_mode) != 0o600


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
