"""Options of quorum cluster: what cannot work comes first, in one sentence."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.clustering.config import ClusterConfig
from pipelines.config.recipe import read_recipe
from pipelines.config.sections import ComputeConfig
from pipelines.datasets.embedding_folder import EmbeddingFolder
from quorum.cli import main


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--num_clusters", "3000"], "num_clusters is 3000, but"),
        (["--batch_size", "100"], "batch_size 100 is not a multiple of lanes 8"),
        (["--batch_size", "4096"], "batch_size 4096 exceeds the 2000 rows"),
        (["--compute.workers", "9"], "9 workers, but lanes is 8"),
        (["--lanes", "3000"], "lanes 3000 exceeds the 2000 rows"),
        (["--num_clusters", "0"], "num_clusters is 0"),
        (["--num_clusters", "[]"], "num_clusters is []"),
        (["--levels", "[4]"], "levels is [4]; give two numbers of at least 1, [M, C]"),
        (["--levels", "[2, 5, 2]"], "levels is [2, 5, 2]; give two numbers"),
        (["--levels", "[20, 0]"], "levels is [20, 0]; give two numbers of at least 1"),
        (["--levels", "[4, 6]"], "num_clusters is 20, and levels [4, 6] make 24"),
        (["--levels", "[4, 5]", "--num_clusters", "[20, 5]"], "num_clusters is [20, 5], 2 heads, and levels make one"),
        (["--levels", "[60, 50]", "--num_clusters", "3000"], "levels [60, 50] make 3000 clusters, but"),
        (["--levels", "[4, 5]", "--start_from", "TWO"], "levels and start_from are set"),
        (["--min_size_ratio", "1.5"], "min_size_ratio is 1.5"),
        (["--max_size_ratio", "0.9"], "max_size_ratio is 0.9; it must be 1 or more"),
        (["--dual_lr", "0"], "dual_lr is 0"),
        (["--dual_lr", "1e300"], "dual_lr is 1e+300; it must be positive and at most 1e+30"),
        (["--dual_lr", ".inf"], "dual_lr is inf; it must be positive and at most 1e+30"),
        (["--passes", "0"], "passes is 0"),
        (["--copy", "sometimes"], "copy"),
        (["--copy", "never", "--keep_copy"], "keep_copy is set, but copy is never"),
        (["--copy_dtype", "float64"], "copy_dtype"),
        (["--copy_dtype", "float16", "--metric", "euclidean"], "numbers far from 0 would lose their differences"),
        (["--pases", "3"], "nearest valid name: passes"),
        (["--column", "embeding"], "nearest valid name: embedding"),
        (["--id", "pth"], "nearest valid name: path"),
        (["--start_from", "ABSENT"], "does not exist; give the folder of a quorum cluster run"),
        (["--start_from", "WIDE"], "has rows of 8 numbers, the centers of"),
        (["--start_from", "TWO"], "asks for heads of [20] clusters"),
        (["--metric", "euclid"], "metric"),
        (["--to", "INSIDE"], "lies in the folder of the embeddings"),
        (["--to", "USED"], "is not empty"),
    ],
)
def test_what_cannot_work_is_one_sentence_and_leaves_nothing_behind(lumps, tmp_path, capsys, monkeypatch, given, said):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "something").touch()
    np.save(tmp_path / "used" / "wide.npy", np.eye(20))
    np.save(tmp_path / "used" / "two.npy", np.eye(8)[:2])
    places = {
        "INSIDE": str(lumps / "clusters"), "USED": str(tmp_path / "used"), "ABSENT": str(tmp_path / "absent"),
        "WIDE": str(tmp_path / "used" / "wide.npy"), "TWO": str(tmp_path / "used" / "two.npy"),
    }  # fmt: skip
    words = ["cluster", str(lumps), "--to", str(tmp_path / "to"), "--num_clusters", "20", *(places.get(w, w) for w in given)]
    with pytest.raises(SystemExit):
        main(words)
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"used"}
    assert not (lumps / "clusters").exists()


def test_the_folder_of_embeddings_must_be_named(capsys):
    with pytest.raises(SystemExit):
        main(["cluster", "--to", "x", "--num_clusters", "3"])
    assert "data is missing" in capsys.readouterr().err


def test_the_number_of_clusters_must_be_named_where_no_start_tells_it(capsys, lumps):
    with pytest.raises(SystemExit):
        main(["cluster", str(lumps), "--to", "x"])
    assert "num_clusters is missing; give it, a recipe that has it, or start_from" in capsys.readouterr().err
    assert ClusterConfig(data="", to="", start_from="clusters/first").heads == []


def test_levels_say_how_many_clusters_and_passes_there_are():
    made = ClusterConfig(data="", to="", levels=[1000, 100], passes=3)
    assert (made.heads, made.all_passes) == ([100_000], 6)
    assert ClusterConfig(data="", to="", levels=[4, 5], num_clusters=[20]).heads == [20]
    assert ClusterConfig(data="", to="", num_clusters=20, passes=3).all_passes == 3


def test_a_resume_keeps_what_its_result_depends_on(capsys, tmp_path):
    with pytest.raises(SystemExit):
        main(["cluster", "--resume", str(tmp_path), "--num_clusters", "3"])
    assert "num_clusters cannot change in a resumed run" in capsys.readouterr().err


def test_a_file_can_hold_the_options(lumps, tmp_path):
    (tmp_path / "c.yaml").write_text(f"data: {lumps}\nto: x\nnum_clusters: [5, 3]\ncheckpoint: {{every_steps: 7}}\n")
    config = read_recipe(str(tmp_path / "c.yaml"), ClusterConfig)
    assert (config.heads, config.checkpoint.every_steps, config.passes) == ([5, 3], 7, 5)


def config(workers: int) -> ClusterConfig:
    return ClusterConfig(data="", to="", num_clusters=20, compute=ComputeConfig(workers=workers))


def test_batches_and_windows_follow_from_the_vectors_alone(lumps):
    vectors = EmbeddingFolder.open(str(lumps))
    shape = config(1).shape(vectors)
    assert shape == config(8).shape(vectors)
    assert (shape.batch_size, shape.window) == (96, 1024)  # 20 updates a pass; a window of 1024 rows at least
