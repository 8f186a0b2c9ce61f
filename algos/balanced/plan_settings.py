"""Settings of a balanced plan: what is published, and what numbers allow; free of torch.

Source: Caron et al., SwAV, NeurIPS 2020, section 3.1, and the settings of its program.
"""

from __future__ import annotations

import math

EPSILON = 0.05
ITERATIONS = 3
LEAST_EPSILON = 0.01  # similarities span 2, and exp(4 / epsilon), which products reach, must stay within float64
ROWS_PER_CLUSTER = 4 / 3  # published: 4096 rows in a batch, or in a batch of 256 and its queue of 3840, for 3000 clusters


def default_queue(num_clusters: int, batch_size: int) -> int:
    """Rows of past batches in a plan, used where the user gives none: as few batches as make 4 / 3 rows a cluster.

    Args:
        num_clusters: K of the largest head.
        batch_size: rows of a global batch.
    """
    missing = ROWS_PER_CLUSTER * num_clusters - batch_size
    return max(math.ceil(missing / batch_size), 0) * batch_size
