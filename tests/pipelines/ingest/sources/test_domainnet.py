"""DomainNet: lists, folders and zips give the same samples; contradictions and gaps are said by file and line."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.ingest.sources.domainnet import DomainNetSource
from pipelines.ingest.sources.source import Listing
from tests.helpers.inputs.layouts import Files, domainnet_files, write_files, write_lists, write_zip


def write(root: Path, *domains: str, zipped: bool = False, lists: bool = True, backwards: bool = False) -> Files:
    """Domains in their published form; returns all images by key."""
    everything: Files = {}
    for domain in domains:
        files = domainnet_files(domain)
        shown = dict(reversed(files.items())) if backwards else files
        if zipped:
            root.mkdir(exist_ok=True)
            write_zip(root / f"{domain}.zip", shown)
        else:
            write_files(root, shown)
        if lists:
            write_lists(root, domain, files)
        everything |= files
    return everything


def summary(listing: Listing) -> dict[str, tuple[str, str]]:
    """Class name and split by key."""
    return {sample.key: (listing.classes[sample.label], sample.split) for sample in listing.samples}


@pytest.mark.parametrize("zipped", [False, True])
def test_lists_give_labels_and_splits_and_files_come_as_they_are(tmp_path, zipped):
    files = write(tmp_path, "clipart", "sketch", zipped=zipped)
    source = DomainNetSource.open(Location.of(tmp_path))
    assert source.domains == ("clipart", "sketch")
    listing = source.listing()
    assert listing.classes == ["axe", "bee"]
    assert summary(listing) == {
        key: (key.split("/")[1], "test" if key.endswith("_000003.jpg") else "train") for key in files
    }  # fmt: skip
    assert {sample.key: source.read(sample.key) for sample in listing.samples} == files


@pytest.mark.parametrize("zipped", [False, True])
def test_without_lists_everything_is_for_training_and_classes_are_sorted(tmp_path, zipped):
    files = write(tmp_path, "real", "quickdraw", zipped=zipped, lists=False)
    extra = {"real/ant/a.png": b"1", "real/ant/deep/b.png": b"2", "real/readme.txt": b"3", "real/ant/list.txt": b"4"}
    if zipped:
        write_zip(tmp_path / "real.zip", domainnet_files("real") | extra | {"__MACOSX/real/axe/x.jpg": b""})
    else:
        write_files(tmp_path, extra)
    listing = DomainNetSource.open(Location.of(tmp_path)).listing()
    assert listing.classes == ["ant", "axe", "bee"]
    assert summary(listing) == {key: (key.split("/")[1], "train") for key in [*files, "real/ant/a.png"]}
    assert [sample.key for sample in listing.samples] == sorted([*files, "real/ant/a.png"])


@pytest.mark.parametrize("lists", [False, True])
def test_folders_and_zips_in_any_order_list_the_same(tmp_path, lists):
    forms = [(zipped, backwards) for zipped in (False, True) for backwards in (False, True)]
    listings = []
    for i, (zipped, backwards) in enumerate(forms):
        write(tmp_path / str(i), "clipart", "real", zipped=zipped, backwards=backwards, lists=lists)
        listings.append(DomainNetSource.open(Location.of(tmp_path / str(i)), ["real", "clipart"][:: 1 - 2 * backwards]).listing())
    assert all(listing == listings[0] for listing in listings)


def test_only_the_chosen_domains_are_listed(tmp_path):
    write(tmp_path, "clipart", "sketch", "infograph")
    source = DomainNetSource.open(Location.of(tmp_path), ["sketch", "clipart"])
    assert {sample.key.split("/")[0] for sample in source.listing().samples} == {"clipart", "sketch"}


@pytest.mark.parametrize(("asked", "said"), [("scetch", "; nearest valid name: sketch"), ("real", "; it has clipart, sketch")])
def test_a_domain_that_is_not_there_is_named_with_the_nearest_that_is(tmp_path, asked, said):
    write(tmp_path, "clipart", "sketch")
    with pytest.raises(UserError, match=f"has no domain '{asked}'.*{said}"):
        DomainNetSource.open(Location.of(tmp_path), ["clipart", asked])


def test_the_index_comes_from_the_list_and_a_class_that_none_mentions_goes_by_its_number(tmp_path):
    write(tmp_path, "clipart")
    for split in ("train", "test"):
        path = tmp_path / f"clipart_{split}.txt"
        path.write_text(path.read_text().replace("jpg 0", "jpg 3").replace("jpg 1", "jpg 0"))
    listing = DomainNetSource.open(Location.of(tmp_path)).listing()
    assert listing.classes == ["bee", "1", "2", "axe"]
    assert all(listing.classes[sample.label] == sample.key.split("/")[1] for sample in listing.samples)


def test_a_file_name_may_hold_blanks_and_a_list_may_be_of_one_split(tmp_path):
    write_files(tmp_path, {"real/a b/c d.jpg": b"x"})
    (tmp_path / "real_train.txt").write_text("real/a b/c d.jpg 0\r\n")
    listing = DomainNetSource.open(Location.of(tmp_path)).listing()
    assert summary(listing) == {"real/a b/c d.jpg": ("a b", "train")}


LINES = {
    "a class of two indices": ("clipart/axe/x.jpg 5", "class 'axe' has index 5, but 0 before"),
    "an index of two classes": ("clipart/cow/x.jpg 1", "index 1 is class 'cow', but 'bee' before"),
    "no index": ("clipart/axe/x.jpg", "is not clipart/CLASS/FILE and the class's index"),
    "a negative index": ("clipart/axe/x.jpg -1", "is not clipart/CLASS/FILE"),
    "an index without measure": ("clipart/axe/x.jpg 1000000000", "is not clipart/CLASS/FILE"),
    "another domain": ("sketch/axe/x.jpg 0", "is not clipart/CLASS/FILE"),
    "a path out of the folder": ("clipart/../x.jpg 0", "is not clipart/CLASS/FILE"),
    "an empty line": ("", "is not clipart/CLASS/FILE"),
}


@pytest.mark.parametrize("case", LINES)
def test_a_wrong_line_is_named_with_file_and_number(tmp_path, case):
    line, said = LINES[case]
    write(tmp_path, "clipart", "sketch")
    with (tmp_path / "clipart_test.txt").open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(UserError, match=f"{tmp_path}/clipart_test.txt, line 3: .*{said}"):
        DomainNetSource.open(Location.of(tmp_path)).listing()


def test_lists_of_two_domains_must_agree(tmp_path):
    write(tmp_path, "clipart", "sketch")
    write_lists(tmp_path, "sketch", domainnet_files("sketch"), classes=("bee", "axe"))
    with pytest.raises(UserError, match=r"sketch_train.txt, line 1: class 'axe' has index 1, but 0 before"):
        DomainNetSource.open(Location.of(tmp_path)).listing()
    assert DomainNetSource.open(Location.of(tmp_path), ["sketch"]).listing().classes == ["bee", "axe"]


def test_a_list_that_is_no_text_is_named(tmp_path):
    write(tmp_path, "clipart")
    (tmp_path / "clipart_train.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"clipart_train.txt is no list of DomainNet"):
        DomainNetSource.open(Location.of(tmp_path)).listing()


def test_empty_lists_are_refused(tmp_path):
    write(tmp_path, "clipart")
    for split in ("train", "test"):
        (tmp_path / f"clipart_{split}.txt").write_text("")
    with pytest.raises(UserError, match="holds no image files"):
        DomainNetSource.open(Location.of(tmp_path)).listing()


@pytest.mark.parametrize(("zipped", "error"), [(False, FileNotFoundError), (True, KeyError)])
def test_a_listed_file_that_is_missing_fails_alone(tmp_path, zipped, error):
    files = write(tmp_path, "clipart", zipped=zipped)
    with (tmp_path / "clipart_test.txt").open("a") as file:
        file.write("clipart/axe/gone.jpg 0\n")
    source = DomainNetSource.open(Location.of(tmp_path))
    assert {sample.key for sample in source.listing().samples} == {*files, "clipart/axe/gone.jpg"}
    with pytest.raises(error, match=r"gone.jpg"):
        source.read("clipart/axe/gone.jpg")


def test_a_domain_with_lists_but_no_images_is_an_error_unless_left_out(tmp_path):
    write(tmp_path, "clipart")
    write_lists(tmp_path, "sketch", domainnet_files("sketch"))
    with pytest.raises(UserError, match=r"lists of sketch but neither sketch/ nor sketch.zip; fetch it, or leave it out"):
        DomainNetSource.open(Location.of(tmp_path))
    assert DomainNetSource.open(Location.of(tmp_path), ["clipart"]).domains == ("clipart",)


def test_lists_for_some_domains_only_are_an_error(tmp_path):
    write(tmp_path, "clipart")
    write(tmp_path, "sketch", lists=False)
    with pytest.raises(UserError, match=r"lists of clipart but none of sketch.*add sketch_train.txt"):
        DomainNetSource.open(Location.of(tmp_path)).listing()


@pytest.mark.parametrize("lists", [False, True])
def test_a_damaged_zip_is_named_when_it_is_listed(tmp_path, lists):
    write(tmp_path, "clipart", zipped=True, lists=lists)
    content = (tmp_path / "clipart.zip").read_bytes()
    (tmp_path / "clipart.zip").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"clipart.zip is cut short or damaged .*; fetch it again"):
        DomainNetSource.open(Location.of(tmp_path)).listing()


def test_a_folder_without_any_domain_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"holds no folder, zip or list of a domain \(clipart, infograph"):
        DomainNetSource.open(Location.of(tmp_path))


def test_it_travels_to_tasks_after_a_zip_was_opened(tmp_path):
    files = write(tmp_path, "clipart", zipped=True)
    source = DomainNetSource.open(Location.of(tmp_path))
    source.listing()
    other = pickle.loads(pickle.dumps(source))
    assert other == source
    assert {key: other.read(key) for key in files} == files
