"""quorum assign on a real local Ray: labels that are known by hand, the run's own again, and what is refused."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow.dataset import dataset

import quorum
from pipelines.clustering import label_files
from pipelines.curation.assign import ASSIGNED, assign
from pipelines.curation.begun_folder import BEGUN, take
from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.files.one_writer import one_writer
from quorum.cli import main

CENTERS = [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]
ROWS = [[2.0, 0.1], [0.2, 5.0], [-3.0, 1.0], [1.0, 0.9]]


def write_centers(path, prices=(0.0, 0.0, 0.0), centers=CENTERS):
    columns = {"head": [0] * len(centers), "cluster": list(range(len(centers))), "center": centers, "price": list(prices)}
    pq.write_table(pa.table(columns), path)
    return str(path)


def write_rows(folder, rows=ROWS, name="a.parquet", **columns):
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.table({"embedding": pa.array(rows, pa.list_(pa.float32())), **columns}), folder / name)
    return str(folder)


def labels_of(place):
    return dataset(place / "labels").to_table().to_pydict()


@pytest.mark.ray
def test_rows_go_to_the_greatest_similarity_plus_price_or_to_the_nearest_center(local_ray, tmp_path):
    centers = write_centers(tmp_path / "c.parquet", (0.0, 0.3, 0.0))
    data = write_rows(tmp_path / "rows", id=[f"row {n}" for n in range(4)])
    write_rows(tmp_path / "rows", [], "empty.parquet", id=pa.array([], pa.string()))
    made = quorum.assign(centers, data, tmp_path / "priced")
    found = labels_of(tmp_path / "priced")
    assert found["id"] == ["row 0", "row 1", "row 2", "row 3"]
    assert found["label_head0"] == [0, 1, 2, 1]  # the last is nearer to 0, by less than the price of 1
    lengths = np.linalg.norm(ROWS, axis=1)
    np.testing.assert_allclose(found["similarity_head0"], np.array([2, 5, 3, 0.9]) / lengths, rtol=1e-6)
    head = made.report["heads"][0]
    assert (head["clusters"], head["smallest"], head["largest"], head["empty"]) == (3, 1, 2, 0)
    assert head["mean_similarity"] == pytest.approx(np.mean(found["similarity_head0"]))
    assert made.sizes["rows"].tolist() == [1, 2, 1]
    assert "mean_similarity" in made._repr_html_()
    assert not quorum.assign(centers, data, tmp_path / "nearest", prices=False).report["prices"]
    assert labels_of(tmp_path / "nearest")["label_head0"] == [0, 1, 2, 0]


@pytest.mark.ray
def test_euclidean_centers_far_from_0_get_the_rows_that_are_close(local_ray, tmp_path):
    np.save(tmp_path / "c.npy", np.array([[1000.0, 1000], [1000, 1003]]))
    data = write_rows(tmp_path / "rows", [[1000.0, 1001], [1000, 1002.5], [0, 0]], place=[7, 8, 9])
    assign(str(tmp_path / "c.npy"), data, str(tmp_path / "made"), metric="euclidean", id_column="place")
    found = labels_of(tmp_path / "made")
    assert (found["id"], found["label_head0"]) == ([7, 8, 9], [0, 1, 0])
    np.testing.assert_allclose(found["similarity_head0"], [-0.5, -0.125, -1e6], rtol=1e-4)


@pytest.mark.ray
@pytest.mark.parametrize("clusters", [1, 2])
def test_rows_around_centers_that_are_all_one_may_have_any_scale(local_ray, tmp_path, clusters):
    np.save(tmp_path / "c.npy", np.zeros((clusters, 2)))
    data = write_rows(tmp_path / "rows", [[3e13, 4e13], [0.0, 0.0], [-3e13, -4e13]])
    assign(str(tmp_path / "c.npy"), data, str(tmp_path / "made"), metric="euclidean")
    found = labels_of(tmp_path / "made")
    assert found["label_head0"] == [0, 0, 0]
    np.testing.assert_allclose(found["similarity_head0"], [-1.25e27, 0, -1.25e27], rtol=1e-6)


@pytest.mark.ray
def test_a_runs_own_rows_get_their_own_labels_by_their_own_ids(clustered, lumps, tmp_path, capsys):
    main(["assign", str(clustered), "--data", str(lumps), "--to", str(tmp_path / "made")])
    said = capsys.readouterr().out
    assert "moved share" in said
    assert "similarity plus price" in said
    assert dataset(tmp_path / "made" / "labels").to_table().equals(dataset(clustered / "labels").to_table())
    report = json.loads((tmp_path / "made" / ASSIGNED).read_text())
    for head in report["heads"]:
        assert head["moved_share"] == 0
        assert head["mean_similarity"] == pytest.approx(head["run_mean_similarity"], abs=1e-6)
    sizes = pq.read_table(tmp_path / "made" / "sizes.parquet")
    assert sizes["rows"].to_pylist() == sizes["run_rows"].to_pylist()
    one = assign(str(clustered), str(lumps), str(tmp_path / "one"), head=1)
    table = dataset(tmp_path / "one" / "labels").to_table()
    assert table.column_names == ["id", "label_head1", "similarity_head1"]
    assert table["label_head1"].equals(dataset(clustered / "labels").to_table()["label_head1"])
    assert [head["head"] for head in one.report["heads"]] == [1]


@pytest.mark.ray
def test_what_was_killed_goes_on_with_the_files_that_are_there(clustered, lumps, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(label_files, "TASK_ROWS", 400)
    place = tmp_path / "made"
    assign(str(clustered), str(lumps), str(place))
    whole, sizes = dataset(place / "labels").to_table(), pq.read_table(place / "sizes.parquet")
    report = json.loads((place / ASSIGNED).read_text())
    with pytest.raises(UserError, match="is finished; choose another folder for --to"):
        assign(str(clustered), str(lumps), str(place))
    (place / ASSIGNED).unlink()  # as a kill would leave it
    take(Location.of(place), {key: report[key] for key in ("data", "model", "files")})
    (place / "labels" / "part-000003.parquet").unlink()
    (place / "labels" / "part-000003.parquet.0123456789abcdef0123456789abcdef.partial").write_bytes(b"cut")
    kept = (place / "labels" / "part-000000.parquet").stat().st_mtime_ns
    with pytest.raises(UserError, match="was begun with other model"):
        assign(str(clustered), str(lumps), str(place), prices=False)
    assign(str(clustered), str(lumps), str(place))
    assert "4 of 5 files of labels are there; going on" in capsys.readouterr().err
    assert (place / "labels" / "part-000000.parquet").stat().st_mtime_ns == kept
    assert dataset(place / "labels").to_table().equals(whole)
    assert pq.read_table(place / "sizes.parquet").equals(sizes)
    assert sorted(path.name for path in place.iterdir()) == [ASSIGNED, "labels", "sizes.parquet"]
    assert len(list((place / "labels").iterdir())) == 5


def test_a_folder_that_another_assign_writes_is_refused_and_left_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.curation.assign.connect", None)
    centers, data, made = write_centers(tmp_path / "c.parquet"), write_rows(tmp_path / "rows"), tmp_path / "made"
    with one_writer(Location.of(made)):
        under_way = made / f"sizes.parquet.{'0a' * 16}.partial"
        under_way.write_bytes(b"more to come")
        with pytest.raises(UserError, match="is being written by process"):
            assign(centers, data, str(made))
        assert under_way.exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"column": "embeddin"}, "has no column 'embeddin'; nearest valid name: embedding"),
        ({"id_column": "name"}, "has no column 'name'"),
        ({"head": 1}, "has one head, 0; there is no head 1"),
        ({"metric": "cosin"}, "--metric is 'cosin'; give cosine or euclidean; nearest valid name: cosine"),
        ({"to": "rows/labels"}, "lies in the folder of the embeddings"),
        ({"to": "rows"}, "lies in the folder of the embeddings"),
        ({"to": "c.parquet"}, "is a file; choose a folder"),
        ({"to": "."}, "is not empty"),
        ({"data": "wide"}, "have 3 numbers, the centers of .* have 2; give embeddings of the same network"),
        ({"data": "absent"}, "absent is no folder and no file"),
        ({"clusters": "rows"}, "holds no run.json"),
    ],
)
def test_what_cannot_be_assigned_is_one_sentence_before_ray_starts(tmp_path, monkeypatch, options, said):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pipelines.curation.assign.connect", None)
    write_centers(tmp_path / "c.parquet")
    write_rows(tmp_path / "rows")
    write_rows(tmp_path / "wide", [[1.0, 2.0, 3.0]])
    given = {"clusters": "c.parquet", "data": "rows", "to": "made"} | options
    with pytest.raises(UserError, match=said):
        assign(given.pop("clusters"), given.pop("data"), given.pop("to"), **given)
    assert not (tmp_path / "made").exists()


@pytest.mark.ray
def test_a_run_has_its_own_metric_and_has_to_be_finished(clustered, lumps, tmp_path):
    with pytest.raises(UserError, match="are cosine, and --metric asks for euclidean"):
        assign(str(clustered), str(lumps), str(tmp_path / "made"), metric="euclidean")
    copy = tmp_path / "copy"
    shutil.copytree(clustered, copy, ignore=shutil.ignore_patterns("checkpoints"))
    (copy / "clusters.json").unlink()
    with pytest.raises(UserError, match="is not finished; go on with it"):
        assign(str(copy), str(lumps), str(tmp_path / "made"))


@pytest.mark.ray
def test_a_spoilt_row_is_named_and_nothing_is_finished(local_ray, tmp_path):
    centers, data = write_centers(tmp_path / "c.parquet"), write_rows(tmp_path / "rows", [*ROWS, [0.0, 0.0]])
    with pytest.raises(UserError, match=r"row 4 of .*a\.parquet has no direction"):
        assign(centers, data, str(tmp_path / "made"))
    assert not (tmp_path / "made" / ASSIGNED).exists()
    assert (tmp_path / "made" / BEGUN).exists()


@pytest.mark.ray
def test_a_file_that_is_damaged_is_one_sentence_and_no_stack(local_ray, tmp_path):
    centers, data = write_centers(tmp_path / "c.parquet"), tmp_path / "rows"
    data.mkdir()
    rows = pa.array(np.random.default_rng(0).normal(size=(500, 2)).tolist(), pa.list_(pa.float32(), 2))
    pq.write_table(pa.table({"embedding": rows}), data / "a.parquet", write_page_checksum=True)
    content = bytearray((data / "a.parquet").read_bytes())
    content[2000] ^= 255
    (data / "a.parquet").write_bytes(content)
    with pytest.raises(UserError) as refused:
        assign(centers, str(data), str(tmp_path / "made"))
    assert re.fullmatch(r"\S+a\.parquet is damaged \(.*\); restore it, or make it again", str(refused.value))
