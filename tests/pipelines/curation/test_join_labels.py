"""quorum join on a real local Ray: copies are the files as they were, with two columns more."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import quorum
from pipelines.curation import join_labels as joining
from pipelines.curation.assign import assign
from pipelines.curation.join_labels import JOINED, FileJoiner, join_labels
from pipelines.curation.labelled_rows import LabelledRows
from pipelines.curation.labelled_source import LabelledSource
from pipelines.datasets.embedding_folder import EMBEDDINGS_MANIFEST
from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.files.one_writer import one_writer
from quorum.cli import main
from tests.helpers.inputs.lumps import CLUSTERS

CENTERS = np.array([[1.0, 0.0], [0.0, 1.0]])


@pytest.fixture
def rows(tmp_path):
    """Files as people have them: in folders, with metadata, nulls, a dictionary, nested columns, one of them without a row."""
    folder = tmp_path / "rows"
    for name, vectors in (("part=a/x.parquet", [[1.0, 0.2], [0.1, 1.0], [3.0, 0.0]]), ("y.pq", [[0.0, 2.0]]), ("z.parquet", [])):
        count = len(vectors)
        box = pa.struct({"x": pa.int8(), "y": pa.list_(pa.int32())})
        columns = {
            "name": pa.array([None, "b", "c"][:count], pa.string()).dictionary_encode(),
            "embedding": pa.array(vectors, pa.list_(pa.float16())),
            "box": pa.array([{"x": 1, "y": [2, 3]}, None, {"x": 4, "y": None}][:count], box),
        }
        table = pa.table(columns)
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table.replace_schema_metadata({"made by": "somebody"}), place, row_group_size=2, compression="zstd")
    (folder / "notes.txt").write_text("of somebody")
    return folder


@pytest.fixture
def labelled(local_ray, rows, tmp_path):
    np.save(tmp_path / "c.npy", CENTERS)
    assign(str(tmp_path / "c.npy"), str(rows), str(tmp_path / "labelled"))
    return tmp_path / "labelled"


def read(folder, name):
    return pq.ParquetFile(folder / name)


@pytest.mark.ray
def test_copies_have_the_same_rows_groups_and_metadata_and_their_labels(labelled, rows, tmp_path):
    made = quorum.join_labels(str(labelled), tmp_path / "joined")
    assert (made.rows, made.files, made.columns) == (4, 3, ["cluster", "similarity"])
    for name, labels in (("part=a/x.parquet", [0, 1, 0]), ("y.pq", [1]), ("z.parquet", [])):
        before, after = read(rows, name), read(tmp_path / "joined", name)
        assert after.schema_arrow.names == ["name", "embedding", "box", "cluster", "similarity"]
        assert after.schema_arrow.metadata[b"made by"] == b"somebody"
        assert [after.schema_arrow.field(column).type for column in range(3)] == [field.type for field in before.schema_arrow]
        assert after.read(["name", "embedding", "box"]).equals(before.read())
        assert after.read()["cluster"].to_pylist() == labels
        groups = [[file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)] for file in (before, after)]
        assert groups[0] == groups[1]
    first = read(tmp_path / "joined", "part=a/x.parquet").metadata.row_group(0)
    assert first.column(1).compression == "ZSTD"
    np.testing.assert_allclose(read(tmp_path / "joined", "y.pq").read()["similarity"], [1.0])
    assert not (tmp_path / "joined" / "notes.txt").exists()
    with pytest.raises(UserError, match="is finished; choose another folder for --to"):
        join_labels(str(labelled), str(tmp_path / "joined"))


@pytest.mark.ray
def test_what_was_killed_goes_on_with_the_copies_that_are_there(labelled, tmp_path):
    join_labels(str(labelled), str(tmp_path / "joined"))
    done = json.loads((tmp_path / "joined" / JOINED).read_text())
    (tmp_path / "joined" / JOINED).unlink()
    joining.take(Location.of(tmp_path / "joined"), {key: done[key] for key in ("data", "labels", "columns")})
    kept = (tmp_path / "joined" / "y.pq").stat().st_mtime_ns
    (tmp_path / "joined" / "part=a" / "x.parquet").unlink()
    cut_off = [tmp_path / "joined" / name for name in (f"{below}x.{'0a' * 16}.partial" for below in ("", "part=a/"))]
    for file in cut_off:
        file.write_bytes(b"cut")
    with pytest.raises(UserError, match="was begun with other columns"):
        join_labels(str(labelled), str(tmp_path / "joined"), prefix="my_")
    assert join_labels(str(labelled), str(tmp_path / "joined")).rows == 4
    assert not any(file.exists() for file in cut_off)
    assert (tmp_path / "joined" / "y.pq").stat().st_mtime_ns == kept
    assert read(tmp_path / "joined", "part=a/x.parquet").read()["cluster"].to_pylist() == [0, 1, 0]


@pytest.mark.ray
def test_a_folder_that_another_join_writes_is_refused_and_left_as_it_is(labelled, tmp_path, monkeypatch):
    monkeypatch.setattr(joining, "connect", None)
    with one_writer(Location.of(tmp_path / "joined")):
        under_way = tmp_path / "joined" / f"y.pq.{'0a' * 16}.partial"
        under_way.write_bytes(b"more to come")
        with pytest.raises(UserError, match="is being written by process"):
            join_labels(str(labelled), str(tmp_path / "joined"))
        assert under_way.exists()


@pytest.mark.ray
def test_a_join_is_not_gone_on_with_once_a_repair_of_the_run_changed_its_labels(clustered, tmp_path):
    run = shutil.copytree(clustered, tmp_path / "run")
    before = LabelledSource.open(str(run))
    plan = {"data": before.vectors.fingerprint, "labels": before.identity, "columns": ["cluster", "similarity"]}
    joining.take(Location.of(tmp_path / "joined"), plan)
    part = sorted((run / "labels").iterdir())[0]
    table = pq.read_table(part)
    place = table.schema.get_field_index("label_head0")
    moved = pa.array((table["label_head0"].to_numpy() + 1) % CLUSTERS, pa.int32())
    pq.write_table(table.set_column(place, "label_head0", moved), part)
    with pytest.raises(UserError, match="was begun with other labels; give the same again"):
        join_labels(str(run), str(tmp_path / "joined"), head=0)


@pytest.mark.ray
def test_rows_that_changed_places_in_files_of_the_same_footers_are_told_from_each_other(clustered, tmp_path):
    run = shutil.copytree(clustered, tmp_path / "run")
    before = LabelledSource.open(str(run)).identity
    sizes = pq.read_table(run / "sizes.parquet").to_pydict()
    sizes["similarity"][0] += 1e-9
    pq.write_table(pa.table(sizes), run / "sizes.parquet")
    assert LabelledSource.open(str(run)).identity != before


@pytest.mark.ray
def test_a_row_group_that_is_too_large_to_hold_is_copied_in_pieces(labelled, tmp_path, monkeypatch):
    monkeypatch.setattr(joining, "WHOLE_BYTES", 1)
    monkeypatch.setattr(joining, "STREAMED_BYTES", 1)
    source = LabelledSource.open(str(labelled))
    joiner = FileJoiner(source.vectors, source.heads, [("cluster", "similarity")], Location.of(tmp_path / "pieces"), keep=False)
    assert [int(one["rows"][0]) for one in joiner({"id": np.arange(3)})] == [3, 1, 0]
    copy = read(tmp_path / "pieces", "part=a/x.parquet")
    assert [copy.metadata.row_group(n).num_rows for n in range(copy.num_row_groups)] == [1, 1, 1]
    assert copy.read()["cluster"].to_pylist() == [0, 1, 0]
    assert copy.read()["box"].to_pylist() == [{"x": 1, "y": [2, 3]}, None, {"x": 4, "y": None}]


@pytest.mark.ray
def test_the_heads_of_a_run_have_columns_of_their_own(clustered, lumps, tmp_path, capsys):
    main(["join", str(clustered), "--to", str(tmp_path / "all")])
    assert (
        "2,000 rows in 2 files with cluster_head0, similarity_head0, cluster_head1, similarity_head1" in capsys.readouterr().out
    )
    labels = quorum.open_clusters(clustered).labels
    table = pa.concat_tables(pq.read_table(tmp_path / "all" / name) for name in ("a.parquet", "b.parquet"))
    assert table["path"].to_pylist() == labels["id"].tolist()
    for head in (0, 1):
        assert table[f"cluster_head{head}"].to_pylist() == labels[f"label_head{head}"].tolist()
        assert table[f"similarity_head{head}"].to_pylist() == labels[f"similarity_head{head}"].tolist()
    join_labels(str(clustered), str(tmp_path / "one"), head=1)
    one = pq.read_table(tmp_path / "one" / "b.parquet")
    assert one.column_names == ["path", "embedding", "cluster", "similarity"]
    assert one["cluster"].to_pylist() == labels["label_head1"].tolist()[1100:]
    assign(str(clustered), str(tmp_path / "one"), str(tmp_path / "again"), head=0)
    with pytest.raises(UserError, match="has a column 'cluster' already; give the new ones another name: --prefix"):
        join_labels(str(tmp_path / "again"), str(tmp_path / "twice"))
    again = join_labels(str(tmp_path / "again"), str(tmp_path / "twice"), prefix="new_")
    assert again.columns == ["new_cluster", "new_similarity"]
    with pytest.raises(UserError, match="has labels of heads 0, 1; there is no head 5"):
        join_labels(str(clustered), str(tmp_path / "no"), head=5)


@pytest.mark.ray
def test_other_rows_and_folders_that_are_read_are_refused(labelled, rows, tmp_path, monkeypatch):
    monkeypatch.setattr(joining, "connect", None)
    with pytest.raises(UserError, match="whose files are all read as rows"):
        join_labels(str(labelled), str(rows / "joined"))
    with pytest.raises(UserError, match="is a file of centers, which has no labels"):
        join_labels(str(tmp_path / "c.npy"), str(tmp_path / "joined"))
    moved = rows.rename(tmp_path / "moved")
    with pytest.raises(UserError, match="rows is no folder and no file"):
        join_labels(str(labelled), str(tmp_path / "joined"))
    pq.write_table(pa.table({"embedding": [[1.0, 2.0]] * 4}), tmp_path / "other.parquet")
    with pytest.raises(UserError, match=r"holds other rows than .* has labels of; restore them, or say where"):
        join_labels(str(labelled), str(tmp_path / "joined"), data=str(tmp_path / "other.parquet"))
    assert LabelledSource.open(str(labelled), str(moved)).vectors.rows == 4
    assert not (tmp_path / "joined").exists()


@pytest.mark.ray
def test_copies_of_embeddings_are_embeddings_of_the_same_images(labelled, rows, tmp_path):
    (rows / EMBEDDINGS_MANIFEST).write_text(json.dumps({"format": 1, "rows": 4, "split": "train"}))
    join_labels(str(labelled), str(tmp_path / "joined"))
    assert json.loads((tmp_path / "joined" / EMBEDDINGS_MANIFEST).read_text())["split"] == "train"


def test_rows_that_changed_places_without_a_change_of_the_footer_are_told_by_their_ids(tmp_path):
    labels = {"id": [1, 2, 3], "label_head0": pa.array([0, 1, 0], pa.int32()), "similarity_head0": np.ones(3, np.float32)}
    (tmp_path / "labels").mkdir()
    pq.write_table(pa.table(labels), tmp_path / "labels" / "part-000000.parquet")
    rows, folder = LabelledRows(Location.of(tmp_path / "labels"), 0, 2), Location.of(tmp_path)
    given = joining._Labels(rows, 0, "id").take(pa.table({"id": [1, 2, 3]}), folder)
    assert given[0].to_pylist() == [0, 1, 0]
    with pytest.raises(UserError, match="holds rows in other places than when they were labelled"):
        joining._Labels(rows, 0, "id").take(pa.table({"id": [2, 1, 3]}), folder)
