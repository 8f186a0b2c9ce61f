"""Which files are found, and what is said of those of another kind: a command that makes Parquet of them, and works."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
import torch

from pipelines.datasets.embedding_folder import EmbeddingFolder
from pipelines.datasets.parquet_files import find_parquet
from pipelines.errors import UserError

ROWS = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)


def stream(path: str) -> None:
    """As Hugging Face writes tables."""
    table = pa.table({"embedding": list(ROWS)})
    with pa.ipc.new_stream(path, table.schema) as file:
        file.write_table(table)


def saved_by_torch(path: str) -> None:
    torch.save(torch.from_numpy(ROWS).bfloat16().requires_grad_(), path)


def written(rows: np.ndarray) -> Callable[[str], None]:
    return lambda path: np.savetxt(path, rows, delimiter=";" if "semicolon" in path else ",")


WRITERS = {
    "x.npy": lambda path: np.save(path, ROWS),
    "x.csv": lambda path: pd.DataFrame(ROWS, columns=["a", "b", "c"]).to_csv(path, index=False),
    "x.tsv": lambda path: pd.DataFrame(ROWS, columns=["a", "b", "c"]).to_csv(path, index=False, sep="\t"),
    "x.feather": lambda path: feather.write_feather(pa.table({"embedding": list(ROWS)}), path),
    "x.arrow": stream,
    "integers.npy": lambda path: np.save(path, (100 * ROWS).astype(np.int64)),
    "big endian.npy": lambda path: np.save(path, ROWS.astype(">f8")),
    "deep.npy": lambda path: np.save(path, ROWS[:, None]),
    'it\'s "$HOME" `date` \\.npy': lambda path: np.save(path, ROWS),
    "no header.csv": written(ROWS),
    "semicolons.csv": written(ROWS),
    "decimal commas.csv": lambda path: pd.DataFrame(ROWS).to_csv(path, index=False, header=False, sep=";", decimal=","),
    "trailing.csv": lambda path: Path(path).write_text("".join(",".join(map(str, row)) + ",\n" for row in ROWS.tolist())),
    "with ids.csv": lambda path: pd.DataFrame({"id": range(5), **dict(zip("abc", ROWS.T, strict=True))}).to_csv(
        path, index=False
    ),
    "x.pth": saved_by_torch,
    "x.json": lambda path: pd.DataFrame({"embedding": list(ROWS)}).to_json(path, orient="records"),
    "NAME.jsonl": lambda path: pd.DataFrame({"embedding": list(ROWS)}).to_json(path, orient="records", lines=True),
}


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("name", list(WRITERS))
def test_the_command_that_is_said_makes_parquet(tmp_path, name, alone):
    WRITERS[name](str(tmp_path / name))
    shown = re.escape(name)
    said = (
        f"{shown} is no Parquet file; make one" if alone else rf"holds no \.parquet file, but 1 file \(1 .*\): {shown}; make one"
    )
    with pytest.raises(UserError, match=f"{said}: python -c ") as error:
        find_parquet(str(tmp_path / name if alone else tmp_path))
    if alone:
        command = shlex.split(str(error.value).partition("make one: ")[2])
        subprocess.run([sys.executable, *command[1:]], check=True, cwd=tmp_path)
        vectors = EmbeddingFolder.open(str(tmp_path / f"{name.rpartition('.')[0]}.parquet"))
        off = 0.02 if name in ("integers.npy", "x.pth") else 1e-5
        np.testing.assert_allclose(vectors.read(0, 0)[0], ROWS / np.linalg.norm(ROWS, axis=1, keepdims=True), atol=off)


def test_what_lies_there_instead_is_said(tmp_path):
    with pytest.raises(UserError, match="is no folder and no file; give a Parquet file or a folder of them"):
        find_parquet(str(tmp_path / "absent"))
    with pytest.raises(UserError, match=r"are not expanded: give the folder that the files lie in$"):
        find_parquet(str(tmp_path / "*.parquet"))
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "_b.parquet").write_text("x")
    with pytest.raises(UserError, match=r"holds no \.parquet file, but 2 files \(1 \.txt, 1 hidden\): _b\.parquet, a\.txt; give"):
        find_parquet(str(tmp_path))
    with pytest.raises(UserError, match=r"a\.txt is no Parquet file; give"):
        find_parquet(str(tmp_path / "a.txt")).footers()
    (tmp_path / "c.parquet").write_text("x")
    with pytest.raises(UserError, match=r"c\.parquet is no whole Parquet file .*; restore or remove it"):
        find_parquet(str(tmp_path / "c.parquet")).footers()


def write(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"embedding": list(ROWS)}), path)


def test_what_hugging_face_saved_is_read_from_its_tables(tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "dataset_dict.json").write_text("{}")
    for number in range(2):
        stream(str(tmp_path / "train" / f"data-{number}.arrow"))
    with pytest.raises(UserError, match="make one: python -c ") as error:
        find_parquet(str(tmp_path))
    subprocess.run([sys.executable, *shlex.split(str(error.value).partition("make one: ")[2])[1:]], check=True, cwd=tmp_path)
    assert EmbeddingFolder.open(str(tmp_path / "data-0.parquet")).rows == 2 * len(ROWS)


@pytest.mark.parametrize("name", ["20260101_120000_00042_abcde", "000000_0", "part-00000.parquet.snappy"])
def test_files_whose_names_do_not_say_what_they_are_are_parquet_where_they_begin_so(tmp_path, name):
    write(tmp_path / "day=1" / name)
    (tmp_path / "README").write_text("rows")
    (tmp_path / "_SUCCESS").write_bytes(b"PAR1")
    (tmp_path / "notes.txt").write_bytes(b"PAR1")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / f"a.parquet.{'0' * 32}.partial").write_bytes(b"PAR1")  # of ours, that was cut off
    found = find_parquet(str(tmp_path))
    assert found.paths == [f"day=1/{name}"]
    assert "also holds 5 files (2 no suffix, 1 .partial, 1 .txt, 1 hidden)" in found.left_out
    (tmp_path / "day=1" / name).write_bytes(b"PAR1 and no more")
    with pytest.raises(UserError, match="is no whole Parquet file"):
        find_parquet(str(tmp_path)).footers()
    write(tmp_path / "a.parquet")
    assert find_parquet(str(tmp_path)).paths == ["a.parquet"]


def test_a_link_that_leads_back_adds_no_rows(tmp_path):
    write(tmp_path / "a" / "x.parquet")
    (tmp_path / "a" / "me").symlink_to(".")
    (tmp_path / "a" / "above").symlink_to("..")
    assert find_parquet(str(tmp_path)).paths == ["a/x.parquet"]


def test_a_link_to_nothing_is_a_file_that_is_missing(tmp_path):
    write(tmp_path / "x.parquet")
    (tmp_path / "y.parquet").symlink_to("nowhere")
    with pytest.raises(UserError, match=r"y\.parquet is a link to nothing; restore or remove it"):
        find_parquet(str(tmp_path))
    (tmp_path / "y.parquet").rename(tmp_path / "_y.parquet")
    assert find_parquet(str(tmp_path)).paths == ["x.parquet"]
    (tmp_path / "notes.txt").symlink_to("nowhere")
    assert "also holds 2 files (1 .txt, 1 hidden)" in find_parquet(str(tmp_path)).left_out
    (tmp_path / "part2").symlink_to("unmounted")
    with pytest.raises(UserError, match="part2 is a link to nothing"):
        find_parquet(str(tmp_path))
