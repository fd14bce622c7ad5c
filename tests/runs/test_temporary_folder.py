"""A place for the copy of a checkpoint, or a sentence if there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from bulk_invite.domain.errors import TemporaryFilesError
from bulk_invite.runs.wiring.temporary_folder import temporary_folder


def test_no_place_is_named_and_an_error_of_its_user_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with pytest.raises(TemporaryFilesError, match="No such file or directory"), temporary_folder():
        pass
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(FileExistsError), temporary_folder() as folder:
        folder.mkdir()
    assert list(tmp_path.iterdir()) == []
