"""The `quorum` command: parses, checks, calls; every error a user can act on is one sentence."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jsonargparse import ActionConfigFile, ArgumentError, Namespace

from pipelines.config.recipe import read_values, stored_values
from pipelines.config.typed_options import (
    add_options,
    config_words,
    instantiate,
    method_name,
    new_parser,
    option_value,
    parse,
    without_option,
)  # fmt: skip
from pipelines.errors import UserError, nearest

if TYPE_CHECKING:
    from pipelines.config.training_config import TrainingConfig

VERSION = "0.1.0"
Command = Callable[[Sequence[str]], None]
RESUMABLE = (  # what a resumed run may change
    "compute.workers", "compute.min_workers", "compute.cpus_per_worker", "compute.threads", "compute.max_failures",
    "compute.gpu", "checkpoint.", "monitor.", "tracking.uri", "data",
)  # fmt: skip
RESUMABLE_CLUSTERING = ("exact", "compute.", "checkpoint.", "tracking.uri")


def main(arguments: Sequence[str] | None = None, commands: Mapping[str, Command] | None = None) -> None:
    """Run one command; a mistake is one sentence and exit code 2.

    Args:
        arguments: words of the command line.
        commands: those to choose from, by name; default: the pipelines' own. `tune`, which may see both rooms, adds its own.
    """
    known = COMMANDS if commands is None else commands
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["--version"]:
        print(f"quorum {VERSION}")
        return
    if not words or words[0] in ("-h", "--help"):
        print(_overview(known))
        return
    try:
        if words[0] not in known:
            raise UserError(f"unknown command {words[0]!r}{nearest(words[0], known)}; quorum --help lists them")
        known[words[0]](words[1:])
    except (UserError, ArgumentError) as error:
        print(f"quorum {words[0]}: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print(f"quorum {words[0]}: interrupted; what was saved is whole", file=sys.stderr)
        sys.exit(130)


def _overview(commands: Mapping[str, Command]) -> str:
    lines = [f"  {name:10} {(command.__doc__ or '').splitlines()[0]}" for name, command in commands.items()]
    return "usage: quorum COMMAND ...   (quorum COMMAND --help for its options)\n\n" + "\n".join(lines)


def ingest(words: Sequence[str]) -> None:
    """Write a source of images as Parquet shards."""
    from pipelines.ingest.sources.recognise import SOURCE_KINDS, open_source

    parser = new_parser("ingest", "Write a source of images as Parquet shards with stable ids.")
    parser.add_argument(
        "source", type=str, help="'digits', a folder (class folders, images, or a published data set as it is), or CIFAR's tar.gz"
    )
    parser.add_argument("--to", type=str, required=True, help="destination: a local folder or a URI")
    parser.add_argument("--kind", type=str, default="auto", help=f"one of {', '.join(SOURCE_KINDS)}; images have no labels")
    parser.add_argument("--domains", type=str, default="", help="of DomainNet, as clipart,sketch; default: all that are there")
    parser.add_argument("--name", type=str | None, default=None, help="name of the data set; default: the destination's")
    parser.add_argument(
        "--holdout", type=float, default=0.0, help="share of the images that become the test split, if there is none"
    )
    parser.add_argument("--take", type=int | None, default=None, help="only so many of the training images, for a first try")
    parser.add_argument("--seed", type=int, default=0, help="of the order of the rows")
    parser.add_argument("--rows_per_shard", type=int, default=4096, help="images of a file, at most")
    parser.add_argument(
        "--pixels", action="store_true", help="store decoded images: larger shards, which no epoch and no trial decodes again"
    )
    parser.add_argument("--max_bad", type=float, default=0.01, help="share of unreadable images at which the job stops")
    parser.add_argument("--overwrite", action="store_true", help="replace the data set that is there")
    parser.add_argument(
        "--address", type=str | None, default=None, help="of a Ray cluster; default: RAY_ADDRESS, or this machine"
    )
    options = parse(parser, words)

    from pipelines.files.location import Location
    from pipelines.ingest.ingest import ingest as run
    from pipelines.jobs.ray_cluster import connect
    from quorum.cli.show import show_dataset

    domains = [domain.strip() for domain in options.domains.split(",") if domain.strip()]
    source = open_source(options.source, options.kind, domains)
    connect(options.address)
    dataset = run(
        source, options.to, name=options.name or Location.of(options.to).name, seed=options.seed, holdout=options.holdout,
        take=options.take, rows_per_shard=options.rows_per_shard, pixels=options.pixels,
        max_bad=options.max_bad, overwrite=options.overwrite,
    )  # fmt: skip
    show_dataset(dataset)


def pretrain(words: Sequence[str]) -> None:
    """Learn representations without labels (CoKe)."""
    from pipelines.config.training_config import PretrainConfig

    _train(PretrainConfig, "Learn representations without labels (CoKe).", words)


def labels(words: Sequence[str]) -> None:
    """Choose the few labels that training may see."""
    parser = new_parser("labels", "Choose labelled instances of a data set: reproducible, balanced by class, by instance id.")
    parser.add_argument("shards", type=str, help="folder that quorum ingest wrote")
    parser.add_argument("--per-class", type=int | None, default=None, help="labels of each class")
    parser.add_argument("--fraction", type=float | None, default=None, help="share of each class")
    parser.add_argument(
        "--list",
        type=str | None,
        default=None,
        help="file: each line an instance id or source path, then perhaps a comma and a class",
    )
    parser.add_argument("--seed", type=int, default=1, help="of the choice; a larger choice contains the smaller ones")
    parser.add_argument("--split", type=str, default="train")
    parser.add_argument("--to", type=str | None, default=None, help="file to write; default: SHARDS-labels/RULE.json")
    options = parse(parser, words)

    from pipelines.datasets.image_shards import Dataset
    from pipelines.datasets.label_selection import beside, choose_from
    from quorum.cli.show import show_selection

    dataset = Dataset.open(options.shards)
    rule, selection = choose_from(
        dataset, options.split, per_class=options.per_class, fraction=options.fraction, listed=options.list, seed=options.seed
    )
    place = options.to or str(beside(dataset, rule))
    selection.check(dataset, options.split, place)
    selection.save(place)
    show_selection(selection, place)


def semisup(words: Sequence[str]) -> None:
    """Learn a classifier from a few labels per class (ProtoCon)."""
    from pipelines.config.training_config import SemisupConfig

    _train(SemisupConfig, "Learn a classifier from a few labels per class (ProtoCon).", words)


def evaluate(words: Sequence[str]) -> None:
    """Score a run's backbone and clusters."""
    parser = new_parser("evaluate", "kNN, linear probe and clustering scores of a run or a checkpoint.")
    parser.add_argument("run", type=str, help="folder of a run, or one of its checkpoint files")
    parser.add_argument("--shards", type=str | None, default=None, help="labelled shards; default: the run's own")
    parser.add_argument("--workers", type=int, default=1, help="processes that embed")
    parser.add_argument("--gpu", action="store_true", help="one GPU a worker")
    parser.add_argument("--untrained", action="store_true", help="score the same network with its initial weights instead")
    parser.add_argument("--neighbours", type=int, default=20)
    parser.add_argument("--temperature", type=float, default=0.07)
    parser.add_argument("--address", type=str | None, default=None)
    options = parse(parser, words)

    from pipelines.evaluation.evaluate import evaluate as run
    from pipelines.jobs.ray_cluster import connect
    from quorum.cli.show import show_scores

    connect(options.address, local_cpus=options.workers + 1)
    scores = run(
        options.run, shards=options.shards, workers=options.workers, gpu=options.gpu, untrained=options.untrained,
        neighbours=options.neighbours, temperature=options.temperature,
    )  # fmt: skip
    show_scores(options.run, scores)


def embed(words: Sequence[str]) -> None:
    """Write a run's embeddings of a data set as Parquet."""
    parser = new_parser("embed", "Embed every image of a split with a run's backbone; writes id, embedding, label and clusters.")
    parser.add_argument("run", type=str, help="folder of a run, or one of its checkpoint files")
    parser.add_argument("--to", type=str, required=True, help="folder to write: local or a URI")
    parser.add_argument("--data", type=str | None, default=None, help="shards to embed; default: the run's own")
    parser.add_argument("--split", type=str, default="train")
    parser.add_argument("--workers", type=int, default=1, help="processes that embed")
    parser.add_argument("--gpu", action="store_true", help="one GPU a worker")
    parser.add_argument("--address", type=str | None, default=None)
    options = parse(parser, words)

    from pipelines.evaluation.write_embeddings import write_embeddings
    from pipelines.jobs.ray_cluster import connect

    connect(options.address, local_cpus=options.workers + 1)
    made = write_embeddings(
        options.run, options.to, shards=options.data, split=options.split, workers=options.workers, gpu=options.gpu
    )
    print(f"{options.to}: {made.rows:,} embeddings of {made.dim} numbers")


def cluster(words: Sequence[str]) -> None:
    """Cluster embeddings in Parquet, of any number, with minimum sizes."""
    from pipelines.clustering.config import ClusterConfig

    parser = new_parser("cluster", "Cluster a folder of Parquet embeddings with minimum sizes; writes labels, centers and sizes.")
    parser.add_argument("data", type=str, nargs="?", help="folder that quorum embed wrote, or of any Parquet files")
    parser.add_argument("--config", action=ActionConfigFile, help="a file of these options")
    parser.add_argument("--resume", type=str | None, default=None, help="folder of a run to go on with")
    parser.add_argument(
        "--address", type=str | None, default=None, help="of a Ray cluster; default: RAY_ADDRESS, or this machine"
    )
    add_options(parser, ClusterConfig, skip={"data"})
    words = list(words)
    place = words.pop(0) if words and not words[0].startswith("-") else None
    resume = option_value("--resume", words)
    values, words = given_values(words, ClusterConfig, resume, RESUMABLE_CLUSTERING)
    place = place or values.get("data")  # an absent argument would hide the file's
    options = parse(parser, [*([place] if place else []), *words])
    if options.data is None:
        raise UserError("which embeddings? quorum cluster EMBEDDINGS --to FOLDER --num_clusters K")
    config = instantiate(parser, options, ClusterConfig)

    from pipelines.clustering.launch import cluster as run
    from quorum.cli.show import show_clustering

    done = run(config, address=options.address, resume=resume)
    show_clustering(str(done.run.location), done.report)


def export(words: Sequence[str]) -> None:
    """Write a run's backbone for torchvision or timm."""
    parser = new_parser("export", "Write a run's backbone as safetensors under the names that torchvision and timm use.")
    parser.add_argument("run", type=str, help="folder of a run, or one of its checkpoint files")
    parser.add_argument("--to", type=str, required=True, help="file to write, .safetensors")
    parser.add_argument("--classifier", action="store_true", help="of a semisup run: averaged weights with their classifier")
    options = parse(parser, words)

    from pipelines.evaluation.export import export as run

    print(run(options.run, options.to, classifier=options.classifier))


def _train(kind: type[TrainingConfig], description: str, words: Sequence[str]) -> None:
    from pipelines.training.launch import train

    config, options = _training_config(kind, description, words)
    run = train(config, address=options.address, resume=options.resume)
    print(f"run {run.location}  (MLflow: {run.address.uri}, run {run.address.run_id})")


def _training_config(kind: type[TrainingConfig], description: str, words: Sequence[str]) -> tuple[Any, Namespace]:
    """The typed configuration of a training command: recipe or resumed run, then overrides."""
    parser = new_parser(kind.kind, description)
    parser.add_argument("--config", action=ActionConfigFile, help="a recipe")
    parser.add_argument("--resume", type=str | None, default=None, help="folder of a run to go on with")
    parser.add_argument(
        "--address", type=str | None, default=None, help="of a Ray cluster; default: RAY_ADDRESS, or this machine"
    )
    words = [re.sub(r"^--init-from\b", "--init_from", word) for word in words]  # as it reads in a shell
    values, words = given_values(words, kind, option_value("--resume", words), RESUMABLE)
    add_options(parser, kind, option_value("--method.name", words) or method_name(values))
    options = parse(parser, words)
    return instantiate(parser, options, kind), options


def given_values(
    words: Sequence[str], kind: type[Any], resume: str | None, changeable: Sequence[str]
) -> tuple[dict[str, Any], list[str]]:
    """What a recipe or a resumed run gives, and the words that give the same to the parser, before the others.

    Raises:
        UserError: for a recipe, a run or an option that cannot be.
    """
    recipe = option_value("--config", words)
    if resume is None:
        values = read_values(recipe, kind) if recipe else {}
    else:
        from pipelines.runs.run_folder import Run

        if recipe:
            raise UserError("--resume takes the run's own configuration; leave out --config")
        check_overrides(words, changeable)
        values = stored_values(Run.open(resume, kind=kind.kind).config_file())
    return values, [*config_words(values), *without_option("--config", words)] if values else list(words)


def check_overrides(words: Sequence[str], changeable: Sequence[str]) -> None:
    """Refuse options that a resumed run may not change.

    Raises:
        UserError: naming the option and those that may.
    """
    for word in words:
        key = word.removeprefix("--").split("=")[0]
        if word.startswith("--") and key not in ("resume", "address") and not key.startswith(tuple(changeable)):
            raise UserError(
                f"--{key} cannot change in a resumed run, whose result must equal one that never stopped; "
                f"what may: {', '.join(part.rstrip('.') for part in changeable)}"
            )


COMMANDS: dict[str, Command] = {
    "ingest": ingest,
    "labels": labels,
    "pretrain": pretrain,
    "semisup": semisup,
    "evaluate": evaluate,
    "embed": embed,
    "cluster": cluster,
    "export": export,
}
