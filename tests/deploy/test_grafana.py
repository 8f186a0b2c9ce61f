"""The dashboard shows the gauges that runs have, all of them and no others."""

from __future__ import annotations

import json
import re

from pipelines.tracking.live.gauges import GAUGES, PREFIX, SIZES
from tests.helpers.places import ROOT

BOARD = json.loads((ROOT / "deploy" / "grafana" / "quorum.json").read_text())
ASKED = [target["expr"] for panel in BOARD["panels"] for target in panel["targets"]]


def test_the_dashboard_names_exactly_the_gauges_that_there_are():
    named = [re.match(r"\w+", question)[0] for question in ASKED]
    assert sorted(named) == sorted(f"{PREFIX}{name}" for name, _ in (*GAUGES.values(), *SIZES.values()))


def test_every_curve_is_of_the_runs_that_are_chosen():
    assert all('{run=~"$run"}' in question for question in ASKED)
    assert {variable["name"] for variable in BOARD["templating"]["list"]} == {"datasource", "run"}
    assert all(panel["datasource"]["uid"] == "${datasource}" for panel in BOARD["panels"])
