"""Files of published weights on this machine: from the caches that their libraries keep, or fetched into these.

Where there is no network that is said at once: the libraries themselves ask again for the better part of a minute.
"""

from __future__ import annotations

import os
import urllib.request

import huggingface_hub  # which timm needs
import torch
from huggingface_hub.errors import EntryNotFoundError

from pipelines.errors import UserError

HUB_NAMES = ("model.safetensors", "pytorch_model.bin")  # in the order in which timm asks for them
PATIENCE = 10.0  # seconds that the network has to answer


def file_of_hub(identity: str, filename: str | None, what: str) -> str:
    """Path of a file of the Hugging Face hub.

    Args:
        identity: `OWNER/NAME`, perhaps with `@REVISION`.
        filename: there; null for the usual ones.
        what: it is, in a sentence that refuses.

    Raises:
        UserError: when it is neither in the cache nor to be fetched.
    """
    repository, _, revision = identity.partition("@")
    names, version = [filename] if filename else HUB_NAMES, revision or None
    for name in names:
        if isinstance(cached := huggingface_hub.try_to_load_from_cache(repository, name, revision=version), str):
            return cached
    address = huggingface_hub.hf_hub_url(repository, names[0], revision=version)
    try:
        for name in names:
            try:
                huggingface_hub.get_hf_file_metadata(
                    huggingface_hub.hf_hub_url(repository, name, revision=version), timeout=PATIENCE
                )  # fmt: skip
            except EntryNotFoundError:
                continue
            return huggingface_hub.hf_hub_download(repository, name, revision=version)
    except Exception as error:  # of whichever library asks the network
        raise _absent(what, address, str(error)) from error
    raise _absent(what, address, f"there is none of {', '.join(names)}")


def file_of_address(address: str, what: str) -> str:
    """Path of a file at an address, as torch's hub keeps it; arguments as of `file_of_hub`.

    Raises:
        UserError: when it is neither in the cache nor to be fetched.
    """
    path = os.path.join(torch.hub.get_dir(), "checkpoints", os.path.basename(address.partition("?")[0]))
    if not os.path.exists(path):
        try:
            urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=PATIENCE).close()
            os.makedirs(os.path.dirname(path), exist_ok=True)
            torch.hub.download_url_to_file(address, path, progress=False)
        except OSError as error:
            raise _absent(what, address, str(error)) from error
    return path


def _absent(what: str, address: str, said: str) -> UserError:
    why = " ".join(said.split())[:200]
    return UserError(
        f"{what} are not in the cache of this machine, and {address} cannot be fetched ({why}); "
        "fetch them where there is a network, or give their file"
    )
