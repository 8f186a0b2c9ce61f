"""The rule that a configuration names."""

from __future__ import annotations

from algos.methods.protocon.confidence.adamatch import AdaMatch
from algos.methods.protocon.confidence.fixed import Fixed
from algos.methods.protocon.confidence.flexmatch import FlexMatch
from algos.methods.protocon.confidence.freematch import FreeMatch
from algos.methods.protocon.confidence.rule import ConfidenceRule
from algos.methods.protocon.confidence.softmatch import SoftMatch
from algos.methods.protocon.config import ProtoConConfig


def confidence_rule(config: ProtoConConfig, num_classes: int, num_rows: int) -> ConfidenceRule:
    """The rule `config.confidence` for C classes and N images that are trained on."""
    threshold, momentum = config.confidence_threshold, config.mean_momentum
    match config.confidence:
        case "fixed":
            return Fixed(threshold)
        case "flexmatch":
            return FlexMatch(num_classes, num_rows, threshold)
        case "freematch":
            return FreeMatch(num_classes, momentum)
        case "softmatch":
            return SoftMatch(num_classes, momentum)
        case "adamatch":
            return AdaMatch(threshold)
