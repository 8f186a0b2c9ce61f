"""ProtoCon: the recorded reference through the whole class, its switches, its state, and its workers."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F

from algos.methods.method import Batch, LabelledRows
from algos.methods.protocon.config import ProtoConConfig
from algos.methods.protocon.loss import Outputs, StepOutputs
from algos.methods.protocon.method import BatchMeans, ProtoCon
from tests.helpers.runs.method_training import Flat, train_method

CLASSES, N = 3, 24


def protocon(seed=0, **settings):
    torch.manual_seed(seed)
    given = {"num_clusters": [4, 3], "dim": 6, "dual_lr": 1.0, "confidence_threshold": 0.4} | settings
    return ProtoCon(ProtoConConfig(**given), Flat(), num_classes=CLASSES, num_instances=N, batch_size=8, seed=seed)


def batches(epoch, slices=(slice(None), slice(None))):
    """Rows of three clear classes: class c is bright at place c."""
    generator = torch.Generator().manual_seed(epoch)
    weak = torch.randn(N, 12, generator=generator) * 0.3
    weak[torch.arange(N), torch.arange(N) % CLASSES] += 1.5
    strong = weak + torch.randn(N, 12, generator=generator) * 0.3
    for ids in torch.randperm(N, generator=generator).split(8):
        labelled, mine = torch.arange(4)[slices[0]], ids[slices[1]]
        views = [view[mine].view(-1, 3, 2, 2) for view in (weak, strong)]
        yield Batch(mine, views, [], LabelledRows(weak[labelled].view(-1, 3, 2, 2), labelled % CLASSES))


def train(method, epochs, *, slices=(slice(None), slice(None)), lr=0.1):
    return train_method(method, lambda epoch: batches(epoch, slices), range(epochs), lr=lr)


def close(mine, theirs):
    torch.testing.assert_close(mine, theirs, atol=2e-5, rtol=1e-4)


def recorded_method(data, meta):
    config = ProtoConConfig(
        num_clusters=meta["K"], min_size_ratio=meta["ratio"], dual_lr=meta["dual_lr"], dim=meta["d"], temperature=meta["T"],
        refine_weight=meta["alpha"], confidence_threshold=meta["tau"], alignment="debias" if meta["debias"] else "window",
        debias_weight=meta["debias_coeff"], debias_momentum=meta["pbar_momentum"], vote="score" if meta["weighted"] else "count",
        priced_scores=True, consistency_rows="unreliable" if meta["inverse_mask"] else "all",
    )  # fmt: skip
    method = ProtoCon(config, Flat(), num_classes=meta["num_classes"], num_instances=meta["N"], batch_size=28)
    method.kmeans.centers.copy_(torch.cat([data[f"init_centers_{head}"] for head in range(len(meta["K"]))]))
    method.memory.score = method.memory.column("score").float()  # compared beyond the precision that is kept in use
    return method


@pytest.mark.parametrize("name", ["protocon_aligned", "protocon_debiased"])
def test_the_recorded_reference_is_replayed(golden, name):
    data, meta = golden(name)
    method = recorded_method(data, meta)
    heads = range(len(meta["K"]))
    steps = data["in_ids"].shape[:2]
    for epoch in range(meta["epochs"]):
        method.begin_epoch(epoch)
        for step in range(steps[1]):
            at = {key: value[epoch, step] for key, value in data.items() if value.shape[:2] == steps}
            seen = {}
            method._count = lambda means, rows, seen=seen: seen.update(means=means)
            views = StepOutputs(*(Outputs(at[f"in_p_{view}"], at[f"in_q_{view}"]) for view in ("x", "u_w", "u_s")))
            total = method._loss(at["in_ids"], at["in_y_x"], views)
            ids, row = method.memory._observed[-1]
            assert torch.equal(ids, at["in_ids"])
            for head in heads:
                assert torch.equal(row["labels"][head].long(), at[f"assignment_{head}"])
                close(row["score"][head], at[f"score_{head}"])
            assert torch.equal(row["pseudo_label"][0].long(), at["refined"].argmax(dim=1))
            assert torch.equal(row["guess"][0].long(), at["pseudo_label"].argmax(dim=1))
            assert torch.equal(row["reliable"][0], at["mask"].bool())
            losses = [at[f"loss_{part}"] for part in ("x", "u", "px", "pu", "c")]
            close(seen["means"][:5], torch.stack(losses))
            close(total, torch.stack(losses).sum())
            method.begin_update()
            method.finish_update()
            for part in ("duals", "centers", "counts"):
                for head, mine in enumerate(method.kmeans.per_head(getattr(method.kmeans, part))):
                    close(mine.float(), at[f"{part}_{head}"])
            close(method.consistency.center, at["qbar"])
            if meta["debias"]:
                close(method.aligner.mean, at["pbar"])
        method.exchange()
        assert torch.equal(method.memory.reliable[0].long(), data["reliable"][epoch, -1])
        unseen = bool((method.memory.labels < 0).any())
        method.end_epoch()
        close(method.prototypes.prototypes, data["epoch_prototypes"][epoch])
        theirs = [data[f"epoch_cluster_pseudo_labels_{head}"][epoch] for head in heads]
        for mine, other in zip(method.kmeans.per_head(method.cluster_labels), theirs, strict=True):
            # While any instance is unseen the reference takes its mark for cluster 1 and leaves that one uniform.
            compared = [cluster for cluster in range(len(mine)) if not (unseen and cluster == 1)]
            close(mine[compared], other[compared])
        method.cluster_labels = torch.cat(theirs)


PARTS = ("network", "averaged", "kmeans", "memory", "prototypes", "cluster_labels")


def test_it_learns_the_classes_and_its_clusters_follow():
    method = protocon(refine_from=3, consistency_weight=0.1)
    losses, figures = train(method, 15, lr=0.2)
    assert sum(losses[-3:]) < 0.7 * sum(losses[:3])
    known = method.knowledge()
    truth = torch.arange(N) % CLASSES
    assert (known.classes["refined"].long() == truth).float().mean() > 0.9
    assert known.reliable.float().mean() > 0.9
    assert figures[-1]["reliable_rate"] > 0.9
    images = torch.cat([batch.large[0] for batch in batches(20)])
    ids = torch.cat([batch.ids for batch in batches(20)])
    for classifier in method.classifiers().values():
        assert (classifier(images).argmax(dim=1) == truth[ids]).float().mean() > 0.9


def one_batch(method, epoch=0):
    """Loss parts and total of the first batch of an epoch."""
    method.begin_epoch(epoch)
    seen = {}
    method._count = lambda means, rows: seen.update(parts=means)
    total = method.loss(method.network, next(iter(batches(epoch))))
    return total, seen["parts"]


def test_fixmatch_is_a_setting():
    method = protocon(
        refine_from=1000, alignment="none", targets="hard", prototype_weight=0, consistency_weight=0, confidence_threshold=0.5
    )
    train(method, 6)
    total, _ = one_batch(method, 6)
    batch = next(iter(batches(6)))
    labelled, weak, strong = (method.network(images)[0] for images in (batch.labelled.images, *batch.large))
    guess = weak.softmax(dim=1).max(dim=1)
    unlabelled = F.cross_entropy(strong, guess.indices, reduction="none") * (guess.values >= 0.5)
    torch.testing.assert_close(total, F.cross_entropy(labelled, batch.labelled.labels) + unlabelled.mean())
    assert unlabelled.gt(0).any()


def test_a_projector_that_no_loss_reaches_stays_as_it_was():
    method = protocon(prototype_weight=0, consistency_weight=0)
    before = {name: value.clone() for name, value in method.network.get_submodule("projector").state_dict().items()}
    train(method, 2)
    assert all(torch.equal(value, before[name]) for name, value in method.network.get_submodule("projector").state_dict().items())
    assert not any(weight.requires_grad for weight in method.network.get_submodule("projector").parameters())


@pytest.mark.parametrize(
    ("weight", "parts"), [("unlabelled_weight", [1]), ("prototype_weight", [2, 3]), ("consistency_weight", [4])]
)
def test_each_weight_scales_its_part_of_the_loss(weight, parts):
    settings = {"consistency_weight": 1.0, "prototype_weight": 1.0, "unlabelled_weight": 1.0}
    full, means = one_batch(protocon(**settings))
    half, _ = one_batch(protocon(**settings | {weight: 0.5}))
    none, _ = one_batch(protocon(**settings | {weight: 0.0}))
    torch.testing.assert_close(full - half, means[parts].sum() / 2)
    torch.testing.assert_close(full - none, means[parts].sum())


def test_pseudo_labels_are_refined_from_their_epoch_on():
    method = protocon(refine_from=2, refine_weight=0.0)
    method.cluster_labels = torch.eye(3)[torch.tensor([0, 1, 2, 0, 1, 2, 0])]  # heads of 4 and 3 clusters
    guesses, clusters = torch.full((2, 3), 1 / 3), torch.tensor([[1, 3], [0, 2]])
    method.epoch = 1
    assert torch.equal(method._refine(guesses, clusters), guesses)
    method.epoch = 2  # heads are averaged: clusters 1 and 4+0 say class 1 twice; 3 and 4+2 say class 0 twice
    torch.testing.assert_close(method._refine(guesses, clusters), torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]))


RULES = (
    {"confidence": "flexmatch", "alignment": "none", "confidence_threshold": 0.45},
    {"confidence": "freematch", "fairness_weight": 0.1, "mean_momentum": 0.9},
    {"confidence": "softmatch", "alignment": "ema", "aligned_targets": False, "mean_momentum": 0.9},
    {"confidence": "adamatch", "alignment": "ema", "class_shares": "predicted", "mean_momentum": 0.9},
    {"class_shares": "estimated"},
    {"alignment": "label_shift", "share_power": 1.0},
)


@pytest.mark.parametrize("settings", [{}, *RULES], ids=str)
def test_state_in_mid_epoch_goes_on_bit_for_bit(settings):
    straight, resumed = protocon(**settings), protocon(seed=5, **settings)
    train(straight, 3)
    straight.begin_epoch(3)
    for step, batch in enumerate(batches(3)):
        if step == 1:
            straight.exchange()
            resumed.load_state_dict(straight.state_dict())
            resumed.begin_epoch(3)
        for method in [straight, resumed] if step else [straight]:
            method.loss(method.network, batch).backward()
            method.begin_update()
            with torch.no_grad():
                torch._foreach_add_(list(method.network.parameters()), [w.grad for w in method.network.parameters()], alpha=-0.1)
            method.network.zero_grad()
            method.finish_update()
    reports = []
    for method in (straight, resumed):
        method.exchange()
        reports.append(method.end_epoch().figures)
    assert reports[0] == reports[1]
    first, second = (method.state_dict() for method in (straight, resumed))
    assert first.keys() == second.keys()
    assert {"rule"} <= first.keys() or settings.get("confidence") in (None, "adamatch")
    for name in (*PARTS, *(first.keys() & {"aligner", "rule", "fairness", "label_shift"})):
        mine, its = (part if isinstance(part, dict) else {"": part} for part in (first[name], second[name]))
        assert all(torch.equal(mine[key], its[key]) for key in mine if isinstance(mine[key], torch.Tensor)), name
    assert first["updates"] == second["updates"] == 12


def _share(workers: int):
    rank = dist.get_rank() if dist.is_initialized() else 0
    method = protocon(refine_from=1)
    shares = tuple(slice(rank * rows // workers, (rank + 1) * rows // workers) for rows in (4, 8))
    _, figures = train(method, 4, slices=shares, lr=0.0)
    method.memory.score = method.memory.column("score").float()
    return method.memory.state_dict(), method.prototypes.prototypes, method.cluster_labels, method.aligner.mean, figures


@pytest.mark.parametrize("workers", [2, pytest.param(4, marks=pytest.mark.job)])
def test_workers_equal_one_process(gloo, workers):
    memory, *rest = _share(1)
    for other_memory, *other_rest in gloo(workers, _share, workers):
        for name in ("labels", "guess", "pseudo_label", "reliable"):
            assert torch.equal(other_memory[name], memory[name]), name
        torch.testing.assert_close(other_memory["score"], memory["score"], atol=2e-3, rtol=0)
        *tensors, figures = rest
        *other_tensors, other_figures = other_rest
        for mine, its in zip(tensors, other_tensors, strict=True):
            torch.testing.assert_close(its, mine, atol=1e-5, rtol=1e-5)
        for mine, its in zip(figures, other_figures, strict=True):
            assert its == pytest.approx(mine, abs=1e-5)


def _share_of_each_rule(workers: int):
    rank = dist.get_rank() if dist.is_initialized() else 0
    shares = tuple(slice(rank * rows // workers, (rank + 1) * rows // workers) for rows in (4, 8))
    for settings in RULES:
        method = protocon(refine_from=1, **settings)
        _, figures = train(method, 3, slices=shares, lr=0.0)
        learned = {name: method.state_dict().get(name, {}) for name in ("rule", "fairness", "aligner", "label_shift")}
        yield learned, {name: method.memory.column(name) for name in ("reliable", *method.rule.columns)}, figures


def _shares_of_rules(workers: int):
    return list(_share_of_each_rule(workers))


def test_rules_of_workers_equal_those_of_one_process(gloo):
    alone = _shares_of_rules(1)
    for worker in gloo(2, _shares_of_rules, 2):
        for (learned, columns, figures), (other, its_columns, its_figures) in zip(alone, worker, strict=True):
            torch.testing.assert_close(other, learned, atol=1e-6, rtol=1e-5)
            for name, values in columns.items():
                assert torch.equal(its_columns[name], values), name
            for mine, its in zip(figures, its_figures, strict=True):
                assert its == pytest.approx(mine, abs=1e-5)


@pytest.mark.parametrize("settings", RULES, ids=str)
def test_each_rule_learns_the_classes_and_says_how_far_it_trusts(settings):
    method = protocon(refine_from=2, consistency_weight=0.1, **settings)
    _, figures = train(method, 12, lr=0.2)
    truth = torch.arange(N) % CLASSES
    assert (method.knowledge().classes["refined"].long() == truth).float().mean() > 0.9
    told = {"mean_threshold", "mean_weight"} if "confidence" in settings else set()
    told |= {"loss_fairness"} if "fairness_weight" in settings else set()
    assert figures[-1].keys() & {"mean_threshold", "mean_weight", "loss_fairness"} == told
    assert figures[-1].get("mean_weight", 1.0) > 0.5


def test_flexmatch_counts_what_the_instances_remember():
    method = protocon(confidence="flexmatch", confidence_threshold=0.45)
    train(method, 4)
    learned = method.memory.column("learned")[0].long()
    assert torch.equal(method.rule.counts, torch.bincount(learned, minlength=CLASSES + 1)[1:])
    assert 0 < method.rule.counts.sum() <= N


def test_softmatch_aligns_the_weight_and_leaves_the_target():
    logits = torch.tensor([[2.0, 1.0, 0.0], [0.5, 0.4, 0.0]])
    given = {"alignment": "ema", "refine_from": 1000, "confidence_threshold": 0.45}
    both, weight_only = (protocon(aligned_targets=flag, **given) for flag in (True, False))
    mean = torch.tensor([0.7, 0.2, 0.1])
    means = BatchMeans(mean, mean, torch.tensor(0.9))
    clusters = torch.zeros(2, 2, dtype=torch.int64)
    aligned, plain = (method._pseudo_labels(torch.tensor([0, 1]), logits, means, clusters) for method in (both, weight_only))
    torch.testing.assert_close(plain.refined, logits.softmax(dim=1))
    assert plain.hard.tolist() == [0, 0]
    assert aligned.hard.tolist() == [2, 2] or aligned.hard.tolist() == [1, 2]
    assert torch.equal(plain.trust.weights, aligned.trust.weights)


def test_knowledge_averages_the_heads_votes_in_chunks(monkeypatch):
    method = protocon()
    train(method, 2, lr=0.0)
    tables = method.kmeans.per_head(method.cluster_labels)
    by_hand = torch.stack([table[labels.long()] for table, labels in zip(tables, method.memory.labels, strict=True)]).mean(dim=0)
    monkeypatch.setattr("algos.methods.protocon.method.KNOWLEDGE_ROWS", 7)
    assert torch.equal(method.knowledge().classes["cluster"], by_hand.argmax(dim=1))


def test_memory_stays_below_twelve_bytes_an_instance():
    for classes, expected in ((10, 9), (127, 9), (128, 9), (129, 11), (1000, 11)):
        config = ProtoConConfig(num_clusters=[4])
        method = ProtoCon(config, Flat(), num_classes=classes, num_instances=N, batch_size=8)
        assert method.memory.bytes_per_instance == expected
    flexible = ProtoConConfig(num_clusters=[4], confidence="flexmatch")
    method = ProtoCon(flexible, Flat(), num_classes=10, num_instances=N, batch_size=8)
    assert method.memory.bytes_per_instance == 10


@pytest.mark.parametrize("alignment", ["window", "debias", "none"])
@pytest.mark.parametrize(("unlabelled", "taken"), [((3,), False), ((), True)])
def test_no_row_is_taken_for_a_class_without_a_label(alignment, unlabelled, taken):
    torch.manual_seed(0)
    config = ProtoConConfig(num_clusters=[4], dim=6, confidence_threshold=0.1, alignment=alignment)
    method = ProtoCon(config, Flat(), num_classes=4, num_instances=N, batch_size=8, unlabelled_classes=unlabelled)
    with torch.no_grad():
        method.network.get_submodule("classifier").bias[3] += 5.0  # what a random start may favour
    train(method, 1, lr=0.0)
    known = method.knowledge()
    assert all((known.classes[name] == 3).any().item() == taken for name in ("classifier", "refined"))
    assert all(value == value for value in method.aligner.mean.tolist())


def test_guesses_are_aligned_by_their_own_mean_where_a_class_has_no_label():
    torch.manual_seed(0)
    config = ProtoConConfig(num_clusters=[4], dim=6, alignment="window")
    method = ProtoCon(config, Flat(), num_classes=4, num_instances=N, batch_size=8, unlabelled_classes=(3,))
    method.network.get_submodule("classifier").bias.data[3] += 5.0  # would be most of any mean
    train(method, 1, lr=0.0)
    means = method.aligner.recent[: int(method.aligner.filled)]
    assert not means[:, 3].any()
    torch.testing.assert_close(means.sum(dim=1), torch.ones(len(means)))
