"""ImageNet read from its tars: labels as torchvision numbers them, bytes as they are stored, and damage by name."""

from __future__ import annotations

import io
import pickle
import tarfile

import numpy as np
import pytest

from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.ingest.sources.imagenet import ImageNetSource
from tests.helpers.inputs.layouts import (
    CLASS_NUMBERS,
    VAL_CLASSES,
    WNIDS,
    imagenet_files,
    kit_files,
    meta_mat,
    tar_bytes,
    train_images,
    train_tar,
    val_images,
    write_files,
)

TRAIN, VAL, KIT = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar", "ILSVRC2012_devkit_t12.tar.gz"
TRUTH = "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt"
META = "ILSVRC2012_devkit_t12/data/meta.mat"


def name_of(key: str) -> str:
    return key.rsplit(":", 2)[0].split("/", 1)[1]


def test_images_are_read_out_of_the_tars_and_tars_of_tars(tmp_path):
    write_files(tmp_path, imagenet_files())
    source = ImageNetSource(Location.of(tmp_path))
    listing = source.listing()
    found = {name_of(sample.key): source.read(sample.key) for sample in listing.samples}
    train = {f"{wnid}.tar/{name}": image for wnid, images in train_images().items() for name, image in images.items()}
    assert found == train | val_images()


def test_labels_number_the_sorted_wordnet_ids_in_both_splits(tmp_path):
    write_files(tmp_path, imagenet_files())
    listing = ImageNetSource(Location.of(tmp_path)).listing()
    assert listing.classes == sorted(WNIDS)
    wnid_of_number = dict(zip(CLASS_NUMBERS, WNIDS, strict=True))
    truth = {f"ILSVRC2012_val_{i:08d}.JPEG": wnid_of_number[number] for i, number in enumerate(VAL_CLASSES, 1)}
    for sample in listing.samples:
        name = name_of(sample.key)
        assert sample.split == ("test" if name in truth else "train")
        assert listing.classes[sample.label] == (truth[name] if name in truth else name.split(".")[0])
    assert sum(sample.split == "test" for sample in listing.samples) == len(VAL_CLASSES)


def test_the_training_tar_alone_has_no_test_split(tmp_path):
    write_files(tmp_path, {TRAIN: train_tar(train_images())})
    listing = ImageNetSource(Location.of(tmp_path)).listing()
    assert {sample.split for sample in listing.samples} == {"train"}
    assert listing.classes == sorted(WNIDS)


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT])
def test_headers_of_any_form_and_folders_within_are_skipped(tmp_path, form):
    images = {f"./{'x' * 150}_{i}.JPEG": image for i, image in enumerate(train_images()[WNIDS[0]].values())}
    names = images if form != tarfile.USTAR_FORMAT else {name.replace("x" * 150, "short"): images[name] for name in images}
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w", format=form) as tar:
        folder = tarfile.TarInfo("./")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, image in names.items():
            member = tarfile.TarInfo(name)
            member.size = len(image)
            member.pax_headers = {"comment": "é"} if form == tarfile.PAX_FORMAT else {}
            tar.addfile(member, io.BytesIO(image))
    write_files(tmp_path, {TRAIN: tar_bytes({f"./{WNIDS[0]}.tar": inner.getvalue()})})
    source = ImageNetSource(Location.of(tmp_path))
    assert [source.read(sample.key) for sample in source.listing().samples] == list(names.values())


def test_another_order_in_the_tars_gives_the_same_order_of_samples(tmp_path):
    images = train_images()
    turned = {wnid: dict(reversed(files.items())) for wnid, files in reversed(images.items())}
    kit = tar_bytes(kit_files(), "w:gz")
    write_files(tmp_path / "one", {TRAIN: train_tar(images), VAL: tar_bytes(val_images()), KIT: kit})
    write_files(tmp_path / "two", {TRAIN: train_tar(turned), VAL: tar_bytes(dict(reversed(val_images().items()))), KIT: kit})
    one, two = (
        [
            (name_of(sample.key), sample.label, sample.split)
            for sample in ImageNetSource(Location.of(tmp_path / name)).listing().samples
        ]
        for name in ("one", "two")
    )
    assert one == two


def test_the_kit_may_be_unpacked(tmp_path):
    write_files(tmp_path / "packed", imagenet_files())
    files = imagenet_files()
    del files[KIT]
    write_files(tmp_path / "unpacked", files | kit_files())
    assert (
        ImageNetSource(Location.of(tmp_path / "packed")).listing() == ImageNetSource(Location.of(tmp_path / "unpacked")).listing()
    )


def test_a_subset_of_the_classes_keeps_the_labels_of_the_whole(tmp_path):
    images = {wnid: train_images()[wnid] for wnid in WNIDS[1:3]}
    write_files(tmp_path, imagenet_files() | {TRAIN: train_tar(images)})
    train = [sample for sample in ImageNetSource(Location.of(tmp_path)).listing().samples if sample.split == "train"]
    assert {sample.label for sample in train} == {sorted(WNIDS).index(wnid) for wnid in images}


def test_validation_images_without_the_kit_are_refused(tmp_path):
    files = imagenet_files()
    del files[KIT]
    write_files(tmp_path, files)
    with pytest.raises(UserError, match=rf"{VAL} has no labels without {KIT}; put that into {tmp_path}, or take {VAL} away"):
        ImageNetSource(Location.of(tmp_path)).listing()


def test_a_folder_without_the_training_tar_is_refused(tmp_path):
    write_files(tmp_path, {VAL: tar_bytes(val_images())})
    with pytest.raises(UserError, match=rf"holds no {TRAIN}; put it there"):
        ImageNetSource(Location.of(tmp_path)).listing()


@pytest.mark.parametrize("share", [0.1, 0.35, 0.5, 0.77, 0.99])
@pytest.mark.parametrize("name", [TRAIN, VAL, KIT])
def test_a_tar_that_is_cut_short_is_named(tmp_path, name, share):
    files = imagenet_files()
    size = 0.9 * len(files[name]) if name == KIT else len(files[name].rstrip(b"\0"))  # tars end in zeros
    write_files(tmp_path, files | {name: files[name][: int(share * size)]})
    with pytest.raises(UserError, match=f"{name}.* cut short"):
        ImageNetSource(Location.of(tmp_path)).listing()


def test_a_tar_that_is_cut_between_two_files_is_named(tmp_path):
    whole = tar_bytes(val_images())
    with tarfile.open(fileobj=io.BytesIO(whole)) as tar:
        start = tar.getmembers()[3].offset
    write_files(tmp_path, imagenet_files() | {VAL: whole[:start]})
    with pytest.raises(UserError, match=f"{VAL} is cut short .* without the zeros that end a tar; fetch it again"):
        ImageNetSource(Location.of(tmp_path)).listing()


@pytest.mark.parametrize(
    ("content", "said"), [(b"no tar at all" * 100, "no tar"), (b"", "no tar"), (bytes(600), "no image files")]
)
def test_what_is_no_tar_is_named(tmp_path, content, said):
    write_files(tmp_path, {TRAIN: content})
    with pytest.raises(UserError, match=said):
        ImageNetSource(Location.of(tmp_path)).listing()


def test_a_damaged_header_within_a_class_is_named_with_the_class(tmp_path):
    content = bytearray(train_tar(train_images()))
    at = content.index(f"{WNIDS[2]}_17.JPEG".encode())
    content[at : at + 20] = bytes(range(100, 120))
    write_files(tmp_path, {TRAIN: bytes(content)})
    with pytest.raises(UserError, match=rf"{TRAIN}, {WNIDS[2]}.tar is cut short or damaged"):
        ImageNetSource(Location.of(tmp_path)).listing()


def test_a_training_tar_of_images_is_refused(tmp_path):
    write_files(tmp_path, {TRAIN: tar_bytes(val_images())})
    with pytest.raises(UserError, match=r"holds ILSVRC2012_val_00000001.JPEG, but should hold one tar per class"):
        ImageNetSource(Location.of(tmp_path)).listing()


KITS = {
    "no table": ({META: None}, r"holds no data/meta.mat"),
    "no labels": ({TRUTH: None}, r"holds no data/ILSVRC2012_validation_ground_truth.txt"),
    "a damaged table": ({META: meta_mat()[:200]}, r"data/meta.mat is damaged or not the kit's"),
    "no MATLAB file": ({META: b"text"}, r"data/meta.mat is damaged or not the kit's"),
    "an empty table": ({META: b""}, r"data/meta.mat is damaged or not the kit's"),
    "a label of a group": ({TRUTH: b"1\n1001\n"}, r"ground_truth.txt, line 2: '1001' is no class number"),
    "a label that is no number": ({TRUTH: b"1\n2\nx\n"}, r"ground_truth.txt, line 3: 'x' is no class number"),
    "too few labels": ({TRUTH: b"1\n2\n3\n"}, r"holds ILSVRC2012_val_00000004.JPEG, but .* has lines 1 to 3"),
    "other classes": ({META: meta_mat(wnids=[*WNIDS[:3], "n09"])}, rf"holds class {WNIDS[3]}, which .* does not know"),
}


@pytest.mark.parametrize("case", KITS)
def test_a_kit_that_does_not_fit_is_named(tmp_path, case):
    changes, said = KITS[case]
    kit = {name: content for name, content in (kit_files() | changes).items() if content is not None}
    write_files(tmp_path, imagenet_files() | {KIT: tar_bytes(kit, "w:gz")})
    with pytest.raises(UserError, match=said):
        ImageNetSource(Location.of(tmp_path)).listing()


def test_any_damage_of_the_table_is_one_sentence_or_none(tmp_path):
    generator, whole = np.random.default_rng(0), meta_mat()
    write_files(tmp_path, {name: content for name, content in imagenet_files().items() if name != KIT} | kit_files())
    said = []
    for _ in range(400):
        damaged = np.frombuffer(whole, np.uint8).copy()
        damaged[generator.integers(0, len(damaged), 2)] = generator.integers(0, 256, 2)
        (tmp_path / META).write_bytes(damaged.tobytes())
        try:
            ImageNetSource(Location.of(tmp_path)).listing()
        except UserError as error:
            said.append(str(error))
    assert len(said) > 100
    assert not any("\n" in sentence for sentence in said)


def test_a_validation_image_without_a_number_is_refused(tmp_path):
    write_files(tmp_path, imagenet_files() | {VAL: tar_bytes({"cat.JPEG": b"x"})})
    with pytest.raises(UserError, match=rf"{VAL} holds cat.JPEG, but .* has lines 1 to 7; they do not belong together"):
        ImageNetSource(Location.of(tmp_path)).listing()


def test_a_validation_tar_that_lost_its_last_images_is_refused(tmp_path):
    few = dict(list(val_images().items())[:-2])
    write_files(tmp_path, imagenet_files() | {VAL: tar_bytes(few)})
    with pytest.raises(UserError, match=rf"{VAL} holds 5 images, and .* has 7 lines; fetch it again"):
        ImageNetSource(Location.of(tmp_path)).listing()


def test_an_image_that_its_tar_no_longer_holds_fails_alone(tmp_path):
    write_files(tmp_path, imagenet_files())
    source = ImageNetSource(Location.of(tmp_path))
    keys = [sample.key for sample in source.listing().samples if sample.split == "test"]
    last = max(keys, key=lambda key: int(key.rsplit(":", 2)[1]))
    offset = int(last.rsplit(":", 2)[1])
    (tmp_path / VAL).write_bytes((tmp_path / VAL).read_bytes()[: offset + 10])
    with pytest.raises(EOFError, match="ends after 10 of"):
        source.read(last)
    assert len(source.read(keys[0])) > 10


def test_it_travels_to_tasks(tmp_path):
    write_files(tmp_path, imagenet_files())
    source = ImageNetSource(Location.of(tmp_path))
    key = source.listing().samples[0].key
    other = pickle.loads(pickle.dumps(source))
    assert other == source
    assert other.read(key) == source.read(key)
