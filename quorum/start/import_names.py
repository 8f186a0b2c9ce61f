"""The import names of the rooms below the front door, which a folder of the user's own may hide."""

from __future__ import annotations

import importlib.util
from pathlib import Path

ROOMS = ("algos", "pipelines", "tune")
HOME = Path(__file__).resolve().parents[2]


def refuse_hidden_rooms() -> None:
    """Say which folder hides what, where Python would import another `algos`, `pipelines` or `tune` than Quorum's.

    Raises:
        ImportError: naming both places and what to change.
    """
    for room in ROOMS:
        found = importlib.util.find_spec(room)
        places = [Path(place).resolve() for place in (found.submodule_search_locations or [found.origin or ""])] if found else []
        if HOME / room not in places[:1]:
            place = f"{places[0]} hides" if places else "nothing is found for"
            raise ImportError(f"{place} Quorum's package {room!r} in {HOME}; start Python in another folder, or rename yours")
