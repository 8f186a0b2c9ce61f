"""The copy of the few images that a probe trains on."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipelines.datasets.label_selection import Selection
from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.in_place.index import index
from pipelines.ingest.recognise import open_source
from pipelines.probing.labelled_images import copy_selected
from tests.helpers.inputs.layouts import jpeg

pytestmark = pytest.mark.ray


def encoded(form: str) -> bytes:
    """A drawing as PostScript, or a TIFF whose numbers are no brightness."""
    buffer = io.BytesIO()
    picture = Image.new("RGB", (8, 8)) if form == "EPS" else Image.fromarray(np.array([[-1.0, 1.0]], np.float32))
    picture.save(buffer, form)
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["EPS", "TIFF"])
def test_an_image_that_training_could_not_show_is_named_before_it(local_ray, tmp_path, form):
    (tmp_path / "source").mkdir()
    pq.write_table(pa.table({"image": [jpeg(0), encoded(form)]}), tmp_path / "source" / "a.parquet")
    dataset = index(open_source(str(tmp_path / "source")), str(tmp_path / "data"), "x")
    whole, one = (Selection(dataset.fingerprint, "train", ["a"], ids, [0] * len(ids), "by hand") for ids in ([0, 1], [0]))
    assert copy_selected(dataset, one, Location.of(tmp_path / "one")).split("train").rows == 1
    with pytest.raises(UserError, match="instance 1 of the labels has an image that cannot be decoded; leave it out of them"):
        copy_selected(dataset, whole, Location.of(tmp_path / "whole"))
