"""`quorum pretrain` and `quorum semisup`: the worker loop and what it holds."""
