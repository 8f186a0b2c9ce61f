"""Every fault leads to a paragraph."""

from __future__ import annotations

import re

from pipelines.doctor.findings import Page, fault, fine
from tests.helpers.places import ROOT
from tests.test_pages import anchor


def test_every_page_is_a_heading_of_the_problems():
    headings = re.findall(r"^### .+$", (ROOT / "docs" / "problems.md").read_text(), re.MULTILINE)
    assert {anchor(heading) for heading in headings} == set(Page)


def test_a_fault_is_one_sentence_with_node_remedy_and_page():
    found = fault("clock", "its clock is off", "set it", Page.CLOCK).on("10.0.0.2 (abcdef)")
    assert found.sentence == "10.0.0.2 (abcdef): its clock is off; set it (docs/problems.md#a-clock-that-is-off)"
    assert fine("nodes", "3 alive").sentence == "3 alive"
