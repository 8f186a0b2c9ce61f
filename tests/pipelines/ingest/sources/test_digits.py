"""scikit-learn's digits as a source."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

from pipelines.ingest.sources.digits import DigitsSource
from tests.helpers.inputs.layouts import pixels


def test_digits_lists_every_scan_and_holds_out_every_fifth():
    listing = DigitsSource().listing()
    assert len(listing.samples) == 1797
    assert [i for i, sample in enumerate(listing.samples) if sample.split == "test"] == list(range(4, 1797, 5))
    assert [sample.label for sample in listing.samples] == load_digits().target.tolist()
    assert listing.classes == list("0123456789")


def test_digits_reads_a_scan_with_its_levels_stretched():
    scan = load_digits().images[7]
    np.testing.assert_array_equal(pixels(DigitsSource().read("7")), np.round(scan * 255 / 16))
