"""What a place is taken for: each published layout by its files, and what is said where they do not tell."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.ingest.recognise import SOURCE_KINDS, open_source
from pipelines.ingest.sources.cifar import CifarSource
from pipelines.ingest.sources.digits import DigitsSource
from pipelines.ingest.sources.domainnet import DomainNetSource
from pipelines.ingest.sources.idx import IdxSource
from pipelines.ingest.sources.image_folders import FolderSource, ImagesSource
from pipelines.ingest.sources.imagenet import ImageNetSource
from pipelines.ingest.sources.mini_imagenet import MiniImageNetSource
from tests.helpers.inputs.layouts import (
    cifar10_files,
    cifar100_files,
    domainnet_files,
    imagenet_files,
    jpeg,
    mini_imagenet_files,
    save,
    tar_bytes,
    write_files,
    write_lists,
    write_zip,
)


def write_domains(root: Path, *domains: str, lists: bool = False, zipped: bool = False) -> None:
    for domain in domains:
        files = domainnet_files(domain)
        if zipped:
            write_zip(root / f"{domain}.zip", files)
        else:
            write_files(root, files)
        if lists:
            write_lists(root, domain, files)


LAYOUTS = {
    "idx": (IdxSource, lambda root: write_files(root, {"train-images-idx3-ubyte.gz": b""})),
    "domainnet lists": (DomainNetSource, lambda root: write_domains(root, "real", lists=True)),
    "domainnet zip": (DomainNetSource, lambda root: write_domains(root, "real", zipped=True)),
    "domainnet folders": (DomainNetSource, lambda root: write_domains(root, "real", "sketch")),
    "cifar-10": (CifarSource, lambda root: write_files(root, cifar10_files())),
    "cifar-100": (CifarSource, lambda root: write_files(root, cifar100_files())),
    "cifar archive": (
        CifarSource,
        lambda root: write_files(root, {"cifar-10-python.tar.gz": tar_bytes(cifar10_files(), "w:gz")}),
    ),
    "mini-imagenet": (MiniImageNetSource, lambda root: write_files(root, mini_imagenet_files())),
    "imagenet": (ImageNetSource, lambda root: write_files(root, imagenet_files())),
    "class folders": (FolderSource, lambda root: write_files(root, {"cat/a.jpg": jpeg(0), "dog/b.jpg": jpeg(1)})),
    "images": (ImagesSource, lambda root: write_files(root, {"a.jpg": jpeg(0)})),
    "one folder of a domain's name": (FolderSource, lambda root: write_domains(root, "real")),
    "classes of domains' names": (
        FolderSource,
        lambda root: write_files(root, {"real/2020/a.jpg": b"", "sketch/2021/b.jpg": b""}),
    ),
    "a zip beside class folders": (FolderSource, lambda root: write_files(root, {"cat/a.jpg": jpeg(0), "real.zip": b""})),
    "another table beside images": (FolderSource, lambda root: write_files(root, {"images/a.jpg": b"", "train.csv": b"id,x\n"})),
    "unpacked imagenet": (FolderSource, lambda root: write_files(root, {"train/n01/a.jpg": jpeg(0)} | imagenet_files())),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_is_recognised_by_its_files(tmp_path, layout):
    kind, write = LAYOUTS[layout]
    write(tmp_path)
    source = open_source(str(tmp_path))
    assert type(source) is kind
    assert source.root == Location.of(tmp_path)


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name.startswith(("domainnet", "cifar", "mini", "imagenet"))])
def test_a_published_layout_is_read_whole(tmp_path, layout):
    LAYOUTS[layout][1](tmp_path)
    source = open_source(str(tmp_path))
    listing = source.listing()
    assert all(source.read(sample.key).startswith((b"P6", b"\x89PNG", b"\xff\xd8\xff\xe0")) for sample in listing.samples)
    assert len({sample.key for sample in listing.samples}) == len(listing.samples) > 0
    assert {sample.label for sample in listing.samples} <= set(range(len(listing.classes)))


def test_cifar_is_known_by_its_folder_and_its_archive(tmp_path):
    write_files(tmp_path, cifar100_files() | {"cifar-10-python.tar.gz": tar_bytes(cifar10_files(), "w:gz")})
    for name, classes in (("cifar-100-python", 100), ("cifar-10-python.tar.gz", 10)):
        source = open_source(str(tmp_path / name))
        assert source == CifarSource(Location.of(tmp_path / name))
        assert len(source.listing().classes) == classes


def test_another_file_is_read_as_cifar_only_when_told(tmp_path):
    (tmp_path / "data.tgz").write_bytes(tar_bytes(cifar10_files(), "w:gz"))
    assert open_source(str(tmp_path / "data.tgz"), "cifar") == CifarSource(Location.of(tmp_path / "data.tgz"))
    for kind in ("folder", "imagenet"):
        with pytest.raises(UserError, match=r"is a file, and of files Parquet, tars, tables .* or the folder that it lies in"):
            open_source(str(tmp_path / "data.tgz"), kind)
    with pytest.raises(UserError, match="holds no image"):  # a tar of anything is one of WebDataset
        open_source(str(tmp_path / "data.tgz")).listing()


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("a.zip", "; unpack {file}: of archives only tars are read, plain or gzipped"),
        ("a.tar.zst", "; unpack {file}: of archives only tars are read, plain or gzipped"),
        ("a.npz", "; write the images in {file} as files, PNG in a folder for each class, or as bytes in a column of Parquet"),
        ("a.tfrecord-0-of-9", "; write the images in {file} as files, PNG in a folder for each class, or as bytes in"),
        ("a.arrow", "; Arrow is not read, and Parquet is: make one: python -c 'import pyarrow as pa"),
    ],
)
def test_images_in_what_is_not_read_are_refused_with_how_to_bring_them(tmp_path, name, advice):
    write_files(tmp_path, {name: b"x"})
    for place in (tmp_path, tmp_path / name):
        with pytest.raises(UserError) as refused:
            open_source(str(place)).listing()
        assert advice.format(file=tmp_path / name) in str(refused.value)


def test_two_layouts_in_one_folder_ask_for_the_kind(tmp_path):
    write_files(tmp_path, imagenet_files() | cifar10_files())
    with pytest.raises(UserError, match=f"{tmp_path} may be cifar or imagenet; say which with --kind"):
        open_source(str(tmp_path))
    assert open_source(str(tmp_path), "imagenet") == ImageNetSource(Location.of(tmp_path))
    assert open_source(str(tmp_path), "cifar") == CifarSource(Location.of(tmp_path))


def test_domains_are_chosen_for_domainnet_and_nothing_else(tmp_path):
    write_domains(tmp_path, "real", "sketch", "clipart")
    for kind in ("auto", "domainnet"):
        assert open_source(str(tmp_path), kind, ["sketch"]) == DomainNetSource(Location.of(tmp_path), ("sketch",))
        with pytest.raises(UserError, match="nearest valid name: sketch"):
            open_source(str(tmp_path), kind, ["skech"])
    for place, kind in ((str(tmp_path), "folder"), ("digits", "auto"), ("digits", "digits")):
        with pytest.raises(UserError, match=f"--domains selects domains of DomainNet, and {place} is read as "):
            open_source(place, kind, ["sketch"])


@pytest.mark.parametrize("kind", [kind for kind in SOURCE_KINDS if kind != "digits"])
def test_an_empty_folder_is_refused_by_name(tmp_path, kind):
    with pytest.raises(UserError, match=str(tmp_path)):
        open_source(str(tmp_path), kind).listing()


def test_a_place_that_is_nowhere_and_a_kind_that_is_none_are_refused(tmp_path):
    with pytest.raises(UserError, match="is no folder and no built-in data set"):
        open_source(str(tmp_path / "absent"))
    with pytest.raises(UserError, match=r"are not expanded: give the folder that the files lie in$"):
        open_source(f"{tmp_path}/train-{{000..009}}.tar")
    with pytest.raises(UserError, match="nearest valid name: folder"):
        open_source(str(tmp_path), "foldr")
    with pytest.raises(UserError, match="give 'digits' as the source"):
        open_source(str(tmp_path), "digits")


def test_a_relative_place_holds_in_tasks_that_run_elsewhere(tmp_path, monkeypatch):
    save(tmp_path / "here" / "cat" / "a.png")
    monkeypatch.chdir(tmp_path)
    assert open_source("here") == FolderSource(Location.of(tmp_path / "here"), guessed=True)


SOURCES = [
    DigitsSource(),
    IdxSource(Location.of(Path("/x"))),
    FolderSource(Location.of(Path("/x"))),
    ImagesSource(Location.of(Path("/x"))),
    CifarSource(Location.of(Path("/x"))),
    DomainNetSource(Location.of(Path("/x")), ("real",)),
    MiniImageNetSource(Location.of(Path("/x"))),
    ImageNetSource(Location.of(Path("/x"))),
]


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: type(source).__name__)
def test_sources_travel_to_tasks(source):
    assert pickle.loads(pickle.dumps(source)) == source
    assert hash(source) == hash(pickle.loads(pickle.dumps(source)))
