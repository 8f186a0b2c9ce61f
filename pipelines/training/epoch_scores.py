"""Scores during training: kNN on the backbone's features, and the accuracy of a method's own classifiers."""

from __future__ import annotations

import torch

from algos.distributed.collectives import sum_over_workers
from algos.scores import knn_predict
from pipelines.evaluation.features import center_batches, split_features
from pipelines.evaluation.label_free import feature_figures
from pipelines.runs.trained_model import two_views
from pipelines.tracking import figures
from pipelines.training.session import Session
from pipelines.views.augment import normalize


def due(every: int, epoch: int, epochs: int) -> bool:
    """Whether something that happens every `every` epochs (0: only at the end) happens after this one."""
    last = epoch + 1 == epochs
    return last if every == 0 else last or epoch % every == 0


def pictures_due(session: Session, epoch: int) -> bool:
    """Whether sheets of pictures are drawn after an epoch."""
    return due(session.config.monitor.picture_epochs, epoch, session.config.epochs)


def scores(session: Session, epoch: int) -> dict[str, float]:
    """The scores that are due after an epoch, on the split that is scored; none where there is none."""
    monitor, split, epochs = session.config.monitor, session.scored, session.config.epochs
    if split is None:
        return {}
    found: dict[str, float] = {}
    if monitor.knn_epochs and due(monitor.knn_epochs, epoch, epochs):
        found[figures.KNN] = knn_score(session, split)
    if monitor.accuracy_epochs and due(monitor.accuracy_epochs, epoch, epochs):
        found |= classifier_accuracies(session, split)
    return figures.of_split(found, split)


def feature_scores(session: Session, epoch: int) -> dict[str, float]:
    """Figures of the features that need no labels, where they are due after an epoch; of the scored split, if there is one."""
    monitor, config = session.config.monitor, session.config
    if not monitor.every_features or not due(monitor.every_features, epoch, config.epochs):
        return {}
    found = feature_figures(
        session.method.backbone, session.dataset, session.observed, session.view, two_views(config), session.device,
        images=monitor.feature_images, rank=session.rank, workers=session.workers, precision=config.compute.precision,
    )  # fmt: skip
    return figures.of_features(found, session.observed)


def knn_score(session: Session, split: str) -> float:
    """Accuracy of a kNN vote on some images of a split by the backbone's features."""
    monitor, dataset = session.config.monitor, session.dataset
    view = session.view
    (_, bank_labels, bank), (_, query_labels, queries) = (
        split_features(
            session.method.backbone, dataset, one, view, session.device,
            limit=limit, rank=session.rank, workers=session.workers, precision=session.config.compute.precision,
        )
        for one, limit in ((session.config.stream.split, monitor.knn_bank), (split, monitor.knn_queries))
    )  # fmt: skip
    mine = slice(session.rank, None, session.workers)  # each worker classifies its share, on its device
    predictions = knn_predict(
        queries[mine].to(session.device), bank.to(session.device), bank_labels.to(session.device),
        num_classes=len(dataset.classes), neighbours=monitor.knn_neighbours, temperature=monitor.knn_temperature,
    )  # fmt: skip
    hits = (predictions.cpu() == query_labels[mine]).double().sum()
    return float(sum_over_workers(hits) / len(query_labels))


@torch.no_grad()
def classifier_accuracies(session: Session, split: str) -> dict[str, float]:
    """Accuracy of each of the method's classifiers on a whole split, BatchNorm in evaluation mode.

    Raises:
        RuntimeError: if a row came twice or not at all.
    """
    classifiers = session.method.classifiers()
    if not classifiers:
        return {}
    view = session.view
    hits = torch.zeros(len(classifiers) + 1, dtype=torch.float64, device=session.device)  # rows come last
    modes = {name: classifier.training for name, classifier in classifiers.items()}
    batches = center_batches(session.dataset, split, view, rank=session.rank, workers=session.workers)
    try:
        for classifier in classifiers.values():
            classifier.eval()
        for _, labels, images in batches:
            pixels = normalize(images.to(session.device).float() / 255, view.mean, view.std)
            truth = torch.from_numpy(labels).to(session.device)
            with session.precision.autocast():
                correct = [(classifier(pixels).argmax(dim=1) == truth).sum() for classifier in classifiers.values()]
            hits += torch.stack([*correct, hits.new_tensor(len(truth), dtype=torch.int64)])
    finally:
        for name, classifier in classifiers.items():
            classifier.train(modes[name])
    *correct_rows, rows = sum_over_workers(hits).tolist()
    expected = session.dataset.split(split).rows
    if rows != expected:
        raise RuntimeError(f"{rows:.0f} rows of {split} were scored, {expected} expected")
    return {name: count / rows for name, count in zip(classifiers, correct_rows, strict=True)}
