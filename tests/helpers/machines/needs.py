"""What some tests need of a machine; where it lacks that, they are skipped with the reason."""

from __future__ import annotations

import shutil
import subprocess

import pytest
import torch


def can_mount() -> bool:
    """Whether this process may mount what it alone sees."""
    return subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0


needs_mounts = pytest.mark.skipif(not can_mount(), reason="needs the right to mount")
needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl, which renders without a cluster")
needs_compiler = pytest.mark.skipif(shutil.which("c++") is None, reason="needs a C++ compiler, c++")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
