"""What features tell of a representation without labels. Shapes: n images, q views of each, D numbers a view.

All of them depend on n, and those of a spectrum on D: values are to be compared at equal n, of the same layer and images.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK = 1 << 22  # similarities at a time
PAPER_RANKS = (11, 100)  # eigenvalues that alpha-ReQ's line is fitted to, counted from 1


@torch.no_grad()
def rankme(features: Tensor, e: float = 1e-7) -> float:
    """Effective rank of features (n, D): exp of the entropy of their singular values' shares, from 1 to min(n, D).

    Source: Garrido et al., "RankMe: Assessing the Downstream Performance of Pretrained Self-Supervised Representations by Their
    Rank", ICML 2023, equation 1. The features are not centred; e is added to each share, whose sum is then a little above 1.
    """
    values = _gram(features.double()).clamp(min=0).sqrt()
    return _effective_rank(values, e)


@torch.no_grad()
def alpha_req(features: Tensor, ranks: tuple[int, int] = PAPER_RANKS) -> tuple[float, float] | None:
    """How fast the spectrum of features (n, D) falls: alpha of the i-th eigenvalue ~ i^-alpha, and the fit's R^2.

    Source: Agrawal et al., "alpha-ReQ: Assessing Representation Quality in Self-Supervised Learning by Measuring Eigenspectrum
    Decay", NeurIPS 2022. The eigenvalues are of the centred covariance; the line through their logarithms is fitted by least
    squares with weights 1 / i, and R^2 is of the same weights.

    Args:
        features: (n, D).
        ranks: first and last i.

    Returns:
        `None` where there are fewer eigenvalues above rounding than the last i.
    """
    first, last = ranks
    values = _gram(features.double() - features.double().mean(dim=0))[:last]
    if len(values) < last or values[-1] <= values[0] * 1e-12:
        return None
    i = torch.arange(first, last + 1, dtype=torch.float64, device=values.device)
    x, y, weights = i.log(), values[first - 1 :].log(), 1 / i / (1 / i).sum()
    dx, dy = x - (weights * x).sum(), y - (weights * y).sum()
    slope = (weights * dx * dy).sum() / (weights * dx * dx).sum()
    rest = (weights * (dy - slope * dx) ** 2).sum() / (weights * dy * dy).sum().clamp(min=1e-300)
    return float(-slope), float(1 - rest)


@torch.no_grad()
def lidar(views: Tensor, delta: float = 1e-4, e: float = 1e-8) -> float | None:
    """Effective rank of what tells images apart against what their views differ by, of features (n, q, D) of q views each.

    Source: Thilak et al., "LiDAR: Sensing Linear Probing Performance in Joint Embedding SSL Architectures", ICLR 2024: exp of the
    entropy of the eigenvalues' shares of S_w^-1/2 S_b S_w^-1/2, where S_b is the covariance of the images' means and S_w, plus
    delta on its diagonal, that of the views around them.

    Returns:
        At most D, 1 where all images are alike; `None` for n <= D, where n would bound it.
    """
    images, _, dim = views.shape
    if images <= dim:
        return None
    views = views.double()
    means = views.mean(dim=1)
    around = (views - means[:, None]).flatten(0, 1)
    within = around.T @ around / (images * (views.shape[1] - 1)) + delta * torch.eye(dim, dtype=views.dtype, device=views.device)
    centred = means - means.mean(dim=0)
    scale, axes = torch.linalg.eigh(within)
    whitened = centred @ axes / scale.clamp(min=delta).sqrt()  # its covariance has the spectrum of S_w^-1/2 S_b S_w^-1/2
    values = (torch.linalg.eigvalsh(whitened.T @ whitened / (images - 1))).clamp(min=0)
    return _effective_rank(values, e)


@torch.no_grad()
def alignment(views: Tensor) -> float:
    """Mean squared distance of two views of an image, of features (n, q, D) that are brought to unit length; from 0 to 4.

    Source: Wang and Isola, "Understanding Contrastive Representation Learning through Alignment and Uniformity on the
    Hypersphere", ICML 2020, with power 2. Over all pairs of the q views.
    """
    unit = F.normalize(views.double(), dim=2)
    q = views.shape[1]
    # The sum of |x - y|^2 over ordered pairs is 2 q sum |x|^2 - 2 |sum x|^2.
    pairs = 2 * q * unit.square().sum(dim=(1, 2)) - 2 * unit.sum(dim=1).square().sum(dim=1)
    return float((pairs / (q * (q - 1))).mean().clamp(min=0))


@torch.no_grad()
def uniformity(features: Tensor, t: float = 2.0) -> float:
    """Log of the mean of exp(-t |x - y|^2) over all pairs of features (n, D), brought to unit length; 0 where all are alike.

    Source: as of `alignment`. Lower is more uniform; about -2 t for many directions at random.
    """
    unit, n = F.normalize(features.double(), dim=1), len(features)
    squares, total = unit.square().sum(dim=1), unit.new_zeros(())  # of length 1, but 0 of features that are all zero
    rows = max(1, BLOCK // n)
    for start in range(0, n, rows):
        mine = unit[start : start + rows]
        apart = squares[start : start + rows, None] + squares - 2 * mine @ unit.T
        near = (-t * apart.clamp(min=0)).exp()
        total += near.triu(start + 1).sum()
    return float((total / (n * (n - 1) / 2)).log())


def _gram(features: Tensor) -> Tensor:
    """Eigenvalues (min(n, D),) of X^T X, falling, by the smaller of its two products.

    What lies below 1e-16 of the largest is rounding; of a singular value that is 1e-8.
    """
    n, dim = features.shape
    product = features.T @ features if dim <= n else features @ features.T
    values: Tensor = torch.linalg.eigvalsh(product)
    return values.flip(0)


def _effective_rank(values: Tensor, e: float) -> float:
    """Exp of the entropy of shares, to each of which `e` is added; 1 of values that are all zero."""
    shares = values / values.sum().clamp(min=torch.finfo(values.dtype).tiny) + e
    return float((-(shares * shares.log()).sum()).exp())
