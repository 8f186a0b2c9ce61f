"""What a place is taken for, and what is said where it is nothing."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from pipelines.digits import DigitsSource
from pipelines.errors import UserError
from pipelines.folders import FolderSource, ImagesSource
from pipelines.idx import IdxSource
from pipelines.sources import open_source


@pytest.mark.parametrize("kind", ["auto", "folder", "images", "idx"])
def test_an_empty_folder_is_refused_by_name(tmp_path, kind):
    with pytest.raises(UserError, match=str(tmp_path)):
        open_source(str(tmp_path), kind).listing()


def test_a_place_that_is_nowhere_and_a_kind_that_is_none_are_refused(tmp_path):
    with pytest.raises(UserError, match="is no folder and no built-in data set"):
        open_source(str(tmp_path / "absent"))
    with pytest.raises(UserError, match="nearest valid name: folder"):
        open_source(str(tmp_path), "foldr")


@pytest.mark.parametrize("kind", [DigitsSource(), IdxSource(Path("/x")), FolderSource(Path("/x")), ImagesSource(Path("/x"))])
def test_sources_travel_to_tasks(kind):
    assert pickle.loads(pickle.dumps(kind)) == kind
