"""Locks on folders, and the folder of a training that ended in an error."""

import pytest

from keras_attention import locks
from keras_attention.training.folder import announced, replacing
from keras_attention.training.options import Options

fcntl = pytest.importorskip("fcntl", reason="Windows has no locks of this kind")


def test_a_lock_is_taken_once_and_released(tmp_path):
    with locks.locked(tmp_path) as first, locks.locked(tmp_path) as second:
        assert (first, second) == (True, False)
    with locks.locked(tmp_path) as again:
        assert again is True


def test_a_file_system_without_locks_is_accepted(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("no locks here")  # as network file systems do

    monkeypatch.setattr(fcntl, "flock", refuse)
    with locks.locked(tmp_path) as taken:
        assert taken is None


@pytest.mark.parametrize("saved", [None, "translator.keras", "checkpoint.npz"])
def test_an_error_leaves_a_configuration_only_if_the_training_can_continue(tmp_path, saved):
    with pytest.raises(OSError, match="full"), announced(tmp_path, Options()):
        if saved:
            (tmp_path / saved).write_bytes(b"")
        raise OSError("the disk is full")
    assert (tmp_path / "config.json").exists() == (saved is not None)


def test_a_failed_write_leaves_no_other_file(tmp_path):
    (tmp_path / "file").write_text("before")
    with pytest.raises(OSError, match="full"), replacing(tmp_path / "file") as beside:
        beside.write_text("half")
        raise OSError("the disk is full")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("file", "before")]
