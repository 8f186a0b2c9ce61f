"""Many runs: `sweep` and `compare`, and a comparison to look at."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from pipelines.errors import Stopped, UserError
from quorum.arguments import checked, place_of
from quorum.notebook import facts, picture
from quorum.settings import build_config, check_changes, spread, with_place
from quorum.training import Run

if TYPE_CHECKING:
    import pandas as pd

    from tune.comparison.comparison import Comparison as ComparedRuns
    from tune.search.sweep_config import SweepConfig

RESUMABLE = ("budget.", "concurrent", "seeds", "tracking.uri")  # what a resumed sweep may change


class Comparison:
    """Runs compared: what `compare` and `sweep` return.

    Args:
        compared: the comparison.
    """

    def __init__(self, compared: ComparedRuns) -> None:
        self.compared = compared

    @property
    def table(self) -> pd.DataFrame:
        """A row a setting, best first: its keys, mean score, interval, verdict against the best, cost, cluster sizes."""
        import pandas as pd

        from tune.comparison.tables import setting_rows

        header, rows = setting_rows(self.compared)
        return pd.DataFrame(rows, columns=header)

    @property
    def runs(self) -> pd.DataFrame:
        """A row a run: its setting, seed, MLflow id, outcome and score."""
        import pandas as pd

        from tune.comparison.tables import run_rows

        header, rows = run_rows(self.compared)
        return pd.DataFrame(rows, columns=header)

    @property
    def notes(self) -> list[str]:
        """What can be said of the table, in sentences."""
        from tune.comparison.tables import summary

        return [*summary(self.compared), *self.compared.notes]

    @property
    def pictures(self) -> list[Path]:
        """The charts that were drawn."""
        return sorted(path for path in self.compared.files if path.suffix == ".png")

    @property
    def report(self) -> Path | None:
        """Page of all of it in one file, which opens without a network."""
        return next((path for path in self.compared.files if path.suffix == ".html"), None)

    @property
    def differences(self) -> pd.DataFrame:
        """Of two runs, the settings that differ and their values; empty for more runs."""
        import pandas as pd

        pair = self.compared.pair
        rows, names = ([], ()) if pair is None else ([[key, *values] for key, values in pair.settings], pair.names)
        return pd.DataFrame(rows, columns=["setting", *names])

    @property
    def clusters(self) -> pd.DataFrame:
        """Of two runs, which clusters of the first became which of the second, and what they share; empty for more runs."""
        import pandas as pd

        if (pair := self.compared.pair) is None:
            return pd.DataFrame()
        rows = [row for head in pair.heads for row in head.rows()]
        frame = pd.DataFrame(rows, columns=pair.columns)
        return frame.astype(dict.fromkeys(list(frame.columns[:6]), "Int64"))

    def __repr__(self) -> str:
        return f"Comparison({self.compared.name}: {len(self.compared.lines)} settings by {self.compared.metric})"

    def _repr_html_(self) -> str:
        shown = "".join(f"<div>{picture(path)}</div>" for path in self.pictures)
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        return facts(self.compared.title, {}) + self.table.to_html() + notes + shown


@checked
def compare(
    *targets: str | Path | Run,
    metric: str | None = None,
    mode: str | None = None,
    tracking_uri: str | None = None,
    to: str | Path | None = None,
    final: bool = False,
    kept: str | Path | None = None,
    keep: str | Path | None = None,
) -> Comparison:
    """Compare runs kept in MLflow: which setting is best, by how much beyond noise, at what cost.

    Args:
        *targets: experiments, ids of runs (a sweep's stands for its trials), folders of runs or sweeps.
        metric: figure to compare; the sweep's where none is given, else the first score that a run has.
        mode: `max` or `min`; the sweep's where none is given, else min for losses and max for others.
        tracking_uri: of MLflow; MLFLOW_TRACKING_URI or outputs/mlflow.db where none is given.
        to: folder of the results, which replace an earlier comparison's; outputs/comparison-NAME where none is given.
        final: add the scores that `evaluate` found on the test split; they choose nothing.
        kept: file that `keep` wrote, which is read instead of MLflow.
        keep: file to add those of these runs that have ended to, with settings, versions and all figures, so that others can
            compare them without the store.

    Raises:
        UserError: for targets or a metric that are not there, or when nothing has finished.
    """
    from tune.comparison.compare import compare as run

    if not targets:
        raise UserError("nothing to compare; give experiments, run ids or folders of runs")
    if mode not in (None, "max", "min"):
        raise UserError(f"mode is {mode!r}; give max or min")
    places = [place_of(target) for target in targets]
    if kept is not None and tracking_uri is not None:
        raise UserError("runs are read from a file of kept ones or from an MLflow store; leave out one of the two")
    for file in (kept, keep):
        if file is not None and not str(file).endswith(".parquet"):
            raise UserError(f"{file} is no name for kept runs; it ends in .parquet")
    store, folder, file = ((None if place is None else str(place)) for place in (kept or tracking_uri, to, keep))
    return Comparison(run(places, store, metric, mode, folder, final=final, keep=file))


@checked
def sweep(
    config: str | Path | SweepConfig | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
    to: str | Path | None = None,
    resume: str | Path | None = None,
    address: str | None = None,
    **keys: Any,
) -> Comparison:
    """Search n, gamma, alpha, K or any other key of a recipe with many runs, each a child of one MLflow run.

    Args:
        config: a sweep's recipe by name (`recipes()` lists them) or path, or a configuration.
        settings: keys of the base recipe for all trials, as `{"epochs": 2, "data": "data/digits"}`.
        to: folder of the sweep; `storage` and `name` say the same in two parts.
        resume: folder of a sweep to go on with, instead of a configuration.
        address: of a Ray cluster; RAY_ADDRESS or this machine where none is given.
        **keys: keys of the sweep, as `seeds=[0, 1]`, `concurrent=2`, `space={"ratio": {"grid": [0.4, 1.0]}}`.

    Raises:
        UserError: for a sweep that cannot work, said before a trial starts where it can be known then.
        KeyboardInterrupt: when the user stops it; `resume` goes on with it.
    """
    from pipelines.config.typed_options import dotted
    from pipelines.files.location import Location
    from tune.search.sweep_config import SweepConfig

    if resume is not None:
        values, changed = _stored(resume, config, settings or {}, with_place(to, keys))
        made = build_config(SweepConfig, values, None, changed)
    else:
        made = build_config(SweepConfig, config, None, with_place(to, keys))
    made = replace(made, settings={**dotted(made.settings), **spread(settings or {})})
    from tune.comparison.compare import compare as compare_runs  # MLflow and Ray, which a mistake need not wait for
    from tune.trials.sweep import sweep as run

    place = run(made, address=address, resume=resume is not None)
    folder = Location.of(made.storage) / made.name
    with _trials_over(str(folder)):
        return Comparison(compare_runs([place.run_id], place.uri, to=str(folder / "comparison") if folder.is_local else None))


@contextmanager
def _trials_over(folder: str) -> Iterator[None]:
    """What ends the comparison of a sweep within the block is said with what to do: no trial needs to run again."""
    try:
        yield
    except UserError as error:
        raise UserError(
            f"the trials are over, and not compared: {error}; compare them: quorum compare {quote(folder)}"
        ) from error
    except Stopped as stopped:
        said = f"stopped while it compared; the trials are over, compare them: quorum compare {quote(folder)}"
        raise Stopped(stopped.number, said) from None


def _stored(
    place: str | Path, config: object, settings: Mapping[str, Any], keys: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Plain values of a stored sweep's configuration, and the keys that make it go on in its folder."""
    from pipelines.config.recipe import stored_values
    from tune.trials.sweep import files_of

    if config is not None:
        raise UserError("resume takes the sweep's own configuration; leave out the recipe")
    check_changes({**spread(keys), **{f"settings.{key}": value for key, value in settings.items()}}, RESUMABLE)
    location, file, base = files_of(str(place))
    return stored_values(file), {**keys, "recipe": base, "storage": str(location.parent), "name": location.name}
