"""The commands: what each is called, explained by and shown as; what it does stands in the front door's functions."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from quorum.cli.option import Option, options_of_config, options_of_function

Show = Callable[[Any], None]


@dataclass(frozen=True)
class Command:
    """One command.

    Attributes:
        home: module and name of the function that does it.
        summary: one sentence.
        positional: keys that may be given without their name.
        usage: these, as a help page has them.
        example: command lines that work.
        config: module and name of the configuration whose keys are options too; empty for a plain function.
        names: options whose name on the command line is not the parameter's.
        only_here: options that say how the result is shown, with what they mean.
        only_keys: keywords of the function beyond the configuration's keys.
        as_settings: short names of keys that the command sets in the recipe that it runs.
        instead: flags by which another function is called, with those of the options that it has.
    """

    home: str
    summary: str
    positional: tuple[str, ...] = ()
    usage: str = "[options]"
    example: tuple[str, ...] = ()
    config: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    only_here: tuple[Option, ...] = ()
    as_settings: tuple[str, ...] = ()
    only_keys: tuple[Option, ...] = ()
    instead: Mapping[str, str] = field(default_factory=dict)

    @property
    def function(self) -> Callable[..., Any]:
        """What the command calls."""
        function: Callable[..., Any] = _named(self.home)
        return function

    @property
    def own_options(self) -> dict[str, Option]:
        """Of the function, by the parameter's name."""
        without = ("config", "settings") if self.config else ()
        return options_of_function(self.function, without=without)

    def options(self, method: str | None = None) -> dict[str, Option]:
        """All options, by key.

        Args:
            method: whose settings they include; the command's own where none is named.

        Raises:
            UserError: for a method that is not known, or is another command's.
        """
        listed = {self.names.get(key, key): option for key, option in self.own_options.items()}
        own = {name: Option(name, option.hint, option.default, option.text) for name, option in listed.items()}
        shown = {option.key: option for option in self.only_here}
        shown |= {flag: Option(flag, bool, False, _summary(home)) for flag, home in self.instead.items()}
        if not self.config:
            return {**own, **shown}
        from pipelines.config.method_options import method_type

        recipe = Option("config", str, None, "a recipe: its name (quorum recipes lists them) or a file")
        kind = _named(self.config)
        settings = method_type(kind, method)
        keys = options_of_config(kind, {"method": settings} if settings else {})
        keys.pop("settings", None)  # which --set gives
        keys |= {option.key: option for option in self.only_keys}
        return {"config": recipe, **own, **keys, **shown, **{key: SETTINGS[key] for key in self.as_settings}}


def _named(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


def _summary(home: str) -> str:
    """The first sentence that a function is explained by, as an option is."""
    sentence = (_named(home).__doc__ or "").split("\n")[0].rstrip(".")
    return sentence[:1].lower() + sentence[1:]


def _text(key: str, text: str, hint: Any = bool, default: Any = False) -> Option:
    return Option(key, hint, default, text)


SETTINGS = {
    "workers": _text("workers", "workers of each trial", int, 1),
    "gpu": _text("gpu", "whether trials run on GPUs"),
}
COMMANDS: dict[str, Command] = {
    "ingest": Command(
        "quorum.data:ingest", "Write a source of images as Parquet shards.", ("source",), "SOURCE --to FOLDER [options]",
        (
            "quorum ingest digits --val 0.1 --to data/digits",
            "quorum ingest s3://bucket/photos --look",
            "quorum ingest photos/ --kind images --to s3://bucket/photos",
        ),
        instead={"look": "quorum.source_look:look"},
    ),
    "labels": Command(
        "quorum.data:labels", "Choose the few labels that training may see, or images to label next.", ("data",),
        "--data FOLDER --per-class N|--next N [options]",
        (
            "quorum labels --data data/digits --per-class 4 --seed 1", "quorum labels data/digits --next 40 --from outputs/first",
            "quorum labels data/digits --list data/digits-labels/next-40-typical.csv",
        ),
        names={"listed": "list", "count": "next", "run": "from"},
    ),
    "pretrain": Command(
        "quorum.training:pretrain", "Learn representations without labels.", (), "--config RECIPE --data FOLDER [options]",
        (
            "quorum pretrain --config coke_digits --data data/digits --name first",
            "quorum pretrain --config coke_imagenet_2view --backbone.name timm/resnet50 --init-from timm/resnet50.a1_in1k",
            "quorum pretrain --resume outputs/first --workers 2",
        ),
        config="pipelines.config.training_config:PretrainConfig",
    ),
    "semisup": Command(
        "quorum.training:semisup", "Learn a classifier from a few labels per class (ProtoCon).", (),
        "--config RECIPE --data FOLDER --labels FILE [options]",
        ("quorum semisup --config protocon_digits --init-from outputs/first --name few",),
        config="pipelines.config.training_config:SemisupConfig",
    ),
    "evaluate": Command(
        "quorum.scoring:evaluate", "Score a run's backbone and clusters.", ("run",), "RUN [options]",
        (
            "quorum evaluate outputs/first", "quorum evaluate outputs/first --untrained",
            "quorum evaluate outputs/first --neighbours 20,1,5,200",
        ),
    ),
    "probe": Command(
        "quorum.scoring:probe", "Score a run as papers do: a linear probe on augmented images, or fine-tuning.", ("run",),
        "RUN [options]",
        (
            "quorum probe outputs/first", "quorum probe outputs/first --lr '[0.1,0.3,1,3]'",
            "quorum probe outputs/first --finetune --fraction 0.01",
            "quorum probe outputs/first --finetune --labels data/digits-labels/per-class-4-seed-1.json --workers 2",
        ),
        config="pipelines.config.training_config:ProbeConfig",
    ),
    "embed": Command(
        "quorum.scoring:embed", "Write embeddings of a data set as Parquet, by a run or published weights.", ("run",),
        "RUN|timm/MODEL.TAG --to FOLDER [options]",
        (
            "quorum embed outputs/first --to data/embeddings",
            "quorum embed timm/resnet50.a1_in1k --data data/photos --to data/embeddings",
        ),
    ),
    "cluster": Command(
        "quorum.clustering:cluster", "Cluster embeddings in Parquet, of any number, with minimum sizes.", ("data",),
        "--data FOLDER --to FOLDER --num-clusters K [options]",
        ("quorum cluster --data data/embeddings --to clusters/first --num-clusters 100 --exact",),
        config="pipelines.clustering.config:ClusterConfig",
        only_keys=(_text("storage", "folder that holds the run, whose own is NAME; --to says both", str, None),),
    ),
    "assign": Command(
        "quorum.assigning:assign", "Label rows, of any number, under finished clusters.", ("clusters",),
        "RUN|CENTERS --data EMBEDDINGS --to FOLDER [options]",
        (
            "quorum assign clusters/first --data data/new --to labels/new",
            "quorum assign centers.npy --metric euclidean --data data/new --to labels/new",
        ),
    ),
    "join": Command(
        "quorum.assigning:join_labels", "Write labels beside the rows that they are of.", ("run",),
        "RUN|ASSIGNMENT --to FOLDER [options]",
        ("quorum join clusters/first --to data/labelled", "quorum join labels/new --to data/labelled --prefix quorum_"),
    ),
    "quality": Command(
        "quorum.assigning:quality", "Say how good clusters are: sizes, similarity, silhouette, nearest clusters.", ("run",),
        "RUN [options]", ("quorum quality clusters/first", "quorum quality clusters/first --sample 20000"),
    ),
    "curate": Command(
        "quorum.curation:curate", "Choose as many rows of every cluster: a balanced sample.", ("run",),
        "RUN --per-cluster M|--total N --to FILE|FOLDER [options]",
        (
            "quorum curate clusters/first --total 10000 --to sample.parquet",
            "quorum curate clusters/first --per-cluster 10 --pick nearest --to sample.parquet",
        ),
    ),
    "dedup": Command(
        "quorum.curation:dedup", "Find near-duplicates within clusters, and which rows to keep.", ("run",),
        "RUN|EMBEDDINGS --to FOLDER [options]",
        (
            "quorum dedup clusters/first --threshold 0.95 --to data/deduplicated",
            "quorum dedup clusters/first --keep-by quality --to data/deduplicated",
        ),
    ),
    "centers": Command(
        "quorum.curation:centers", "Write a clustering's centers for NumPy or faiss.", ("run",),
        "RUN --to FILE.npy|FILE.faiss|FILE.parquet [options]",
        ("quorum centers clusters/first --to centers.npy", "quorum centers clusters/first --to quantizer.faiss --prices"),
    ),
    "export": Command(
        "quorum.scoring:export", "Write a run's backbone for torchvision or timm, or log its model in MLflow.", ("run",),
        "RUN --to FILE|mlflow [options]",
        (
            "quorum export outputs/first --to first.safetensors",
            "quorum export outputs/first/checkpoints/best --to mlflow --register digits --alias champion",
        ),
    ),
    "sweep": Command(
        "quorum.comparing:sweep", "Search n, gamma, alpha, K or any other key with many runs.", (),
        "--config RECIPE [--set KEY=VALUE ...] [options]",
        ("quorum sweep --config digits --set data=data/digits --set epochs=2", "quorum sweep --resume outputs/digits-sweep"),
        config="tune.search.sweep_config:SweepConfig",
        as_settings=("workers", "gpu"),
    ),
    "compare": Command(
        "quorum.comparing:compare", "Compare runs: the best setting, what is noise, what it cost.", ("targets...",),
        "TARGET ... [options]", ("quorum compare outputs/digits-sweep", "quorum compare outputs/first outputs/second --sizes"),
        names={"tracking_uri": "tracking.uri", "kept": "from"},
        only_here=(_text("sizes", "add the minimum cluster size, the smallest and the largest cluster"),),
    ),
    "doctor": Command(
        "quorum.upkeep.doctor:doctor", "Say what works on a cluster, and what to set.", (), "[options]",
        (
            "quorum doctor --address auto --data s3://bucket/photos --storage s3://bucket/runs --tracking.uri http://localhost:5000",
            "quorum doctor --storage outputs --workers 4 --gpu",
        ),
        names={
            "tracking_uri": "tracking.uri", "experiment": "tracking.experiment", "workers": "compute.workers",
            "gpu": "compute.gpu", "cpus_per_worker": "compute.cpus_per_worker",
        },
    ),
    "clean": Command(
        "quorum.upkeep.clean:clean", "Show what a storage of runs need not keep; with --yes delete it.", ("storage",),
        "STORAGE|RUN [options]",
        ("quorum clean outputs", "quorum clean s3://bucket/runs --failed --unfinished --yes"),
    ),
    "recipes": Command(
        "quorum.settings:recipes", "List the shipped recipes.", (), "", ("quorum recipes",),
    ),
}  # fmt: skip
