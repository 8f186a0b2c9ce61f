"""The sides by name: what each needs to be installed, and how it is prepared and started."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.input_side import dali, mosaic, quorum_stream, torch_loader, web_dataset
from benchmarks.input_side.job import Epoch, Job


@dataclass(frozen=True)
class Side:
    """One way to images.

    Attributes:
        peer: whose it is; of a peer's ways the one that takes least CPU time counts.
        prepare: writes the photos in its form.
        start: begins; returns what iterates an epoch.
        package: that it needs, where Quorum does not.
    """

    peer: str
    prepare: Callable[[Job], None]
    start: Callable[[Job], Epoch]
    package: str = ""

    @property
    def is_installed(self) -> bool:
        """Whether its package is here."""
        try:
            return not self.package or importlib.util.find_spec(self.package) is not None
        except ModuleNotFoundError:  # of the package around it
            return False


OURS, RECIPE = "Quorum", "torch DataLoader, published recipe"
LOADER, STREAMING = "torch DataLoader", "mosaicml-streaming"
SIDES = {
    OURS: Side("Quorum", quorum_stream.prepare, quorum_stream.start),
    RECIPE: Side("torchvision's recipe", torch_loader.prepare, torch_loader.start_recipe),
    "torch DataLoader, crop and flip": Side(LOADER, torch_loader.prepare, torch_loader.start_plain),
    "torch DataLoader, our crops": Side(LOADER, torch_loader.prepare, torch_loader.start_with_our_crops),
    "WebDataset, as documented": Side("WebDataset", web_dataset.prepare, web_dataset.start_documented, "webdataset"),
    "WebDataset, our crops": Side("WebDataset", web_dataset.prepare, web_dataset.start_with_our_crops, "webdataset"),
    "mosaicml-streaming, as documented": Side(STREAMING, mosaic.prepare, mosaic.start_documented, "streaming"),
    "mosaicml-streaming, our crops": Side(STREAMING, mosaic.prepare, mosaic.start_with_our_crops, "streaming"),
    "DALI on CPUs, as documented": Side("DALI", dali.prepare, dali.start_documented, "nvidia.dali"),
    "DALI on CPUs, uint8 crops": Side("DALI", dali.prepare, dali.start_uint8, "nvidia.dali"),
    "DALI on CPUs, our crops": Side("DALI", dali.prepare, dali.start_with_our_crops, "nvidia.dali"),
}
