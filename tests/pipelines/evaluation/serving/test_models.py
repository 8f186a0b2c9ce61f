"""Models in MLflow: what they give an image is what evaluation gives it, in a process that knows neither Ray nor this package."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from mlflow.exceptions import MlflowException

from pipelines.config.recipe import read_recipe
from pipelines.config.training_config import PretrainConfig, SemisupConfig
from pipelines.config.training_plan import build_method
from pipelines.datasets.image_shards import read_images
from pipelines.datasets.label_selection import choose_per_class
from pipelines.errors import UserError
from pipelines.evaluation.embed_actors import Embedder
from pipelines.evaluation.embedding_sources import RunSource
from pipelines.evaluation.export import export
from pipelines.evaluation.serving.image_model import ImageModel
from pipelines.evaluation.serving.write_model import write_model
from pipelines.runs.run_folder import Run
from pipelines.runs.trained_model import Trained, new_backbone
from pipelines.tracking.about.data_input import EVALUATION, VALIDATION, DataInput
from pipelines.tracking.mlflow_tracker import Tracker
from pipelines.training.launch import Training
from pipelines.views.crops import center_crop
from tests.helpers.pages.words import settings_of
from tests.helpers.places import RECIPES

IMAGES = [0, 7, 150]
PREDICT = """
import base64, json, sys
import mlflow.pyfunc, pandas
images = [base64.b64decode(text) for text in json.load(sys.stdin)]
found = mlflow.pyfunc.load_model(sys.argv[1]).predict(pandas.DataFrame({"image": images}))
print(json.dumps({
    "rows": {name: [list(row) if not isinstance(row, str) else row for row in found[name]] for name in found},
    "loaded": sorted({name.partition(".")[0] for name in sys.modules}),
    "ours": [one.__file__ for name, one in sys.modules.items() if name.partition(".")[0] in ("algos", "pipelines", "quorum")],
}, default=float))
"""


@pytest.fixture
def saved(some_digits, store):
    """Make a run with one checkpoint, as training leaves it, without the training."""

    def make(command="pretrain", step=44) -> Run:
        words = [
            "--data",
            str(some_digits.location),
            "--storage",
            str(store.folder),
            "--name",
            command,
            "--backbone.name",
            "wrn-10-1",
        ]
        if command == "semisup":
            choose_per_class(some_digits, "train", 3, seed=1).save("few.json")
            words += ["--labels", "few.json"]
        recipe, kind = {"pretrain": ("coke_digits", PretrainConfig), "semisup": ("protocon_digits", SemisupConfig)}[command]
        training = Training(read_recipe(str(RECIPES / f"{recipe}.yaml"), kind, settings_of(words)), None, None)
        run = training._create()  # without the labelled images, which are put into a Ray
        torch.manual_seed(5)
        method = build_method(training.config, new_backbone(training.config), some_digits, training.selection)
        run.checkpoints.save({"method": method.state_dict()}, epoch=1, step=0, global_step=step, score=0.5)
        return run

    return make


def predicted(model: str, images: list[bytes], **environment: str) -> dict:
    """What a model gives images in a process of its own, in a folder without this package."""
    told = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | environment
    given = json.dumps([base64.b64encode(image).decode() for image in images])
    done = subprocess.run(
        [sys.executable, "-c", PREDICT, model], input=given, capture_output=True, text=True, cwd="/", env=told, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def evaluated(trained: Trained, images: list[bytes]) -> dict[str, np.ndarray]:
    """What evaluation gives them."""
    view = trained.view
    pixels = np.stack(
        [center_crop(image, view.size, view.resize_to, view.showing).repeat(3, axis=2)[..., :3] for image in images]
    )
    embedder = Embedder(RunSource.of(trained, classify=True), gpu=False)
    return embedder({"id": np.arange(len(images)), "label": np.zeros(len(images), np.int64), "image": pixels})


@pytest.mark.parametrize("command", [pytest.param("pretrain", marks=pytest.mark.job), "semisup"])
def test_a_model_gives_what_evaluation_gives_without_ray_and_without_this_package(saved, some_digits, tmp_path, command):
    trained = Trained.open(str(saved(command).location))
    written = write_model(trained.place, "best", tmp_path)
    images = read_images(some_digits, "train", IMAGES)
    images = [images[row] for row in IMAGES]
    found, expected = predicted(written.path, images), evaluated(trained, images)
    np.testing.assert_allclose(found["rows"]["embedding"], expected["feature"], rtol=1e-5, atol=1e-5)
    assert found["rows"]["clusters"] == expected["clusters"].tolist()
    if command == "semisup":
        probabilities = np.array(found["rows"]["probabilities"])
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
        assert trained.selection is not None
        assert found["rows"]["class"] == [trained.selection.classes[best] for best in expected["accuracy_ema"][:, 0]]
        assert (probabilities.argmax(axis=1) == expected["accuracy_ema"][:, 0]).all()
    assert not {"ray", "quorum", "tune"} & {*found["loaded"]}
    assert all(file.startswith(f"{written.path}/code/") for file in found["ours"])
    files = [path for path in Path(written.path).rglob("*") if path.is_file() and path.parent.name != "__pycache__"]
    assert {path.suffix for path in files} == {"", ".py", ".json", ".yaml", ".txt", ".safetensors"}  # and no pickle
    required = (Path(written.path) / "requirements.txt").read_text().split()
    assert not [line for line in required if line.startswith(("ray", "quorum")) or "==" not in line or "+" in line]


def test_a_run_has_its_model_once_with_the_scores_of_its_step_and_those_of_an_evaluation(saved, some_digits, store):
    run = saved()
    folder = store.folder / "models"
    model = write_model(str(run.location), "best", folder)
    data = DataInput.of_split(some_digits, "train", VALIDATION)
    tracker = Tracker(run.local_folder, run.address)
    tracker.input(data)
    tracker.metrics({"train/epoch_loss": 2.0, "train/knn_top1": 0.5}, 44)
    tracker.metrics({"train/epoch_loss": 1.0}, 45)
    tracker.model(model)
    tracker.close()
    assert tracker.messages == []
    assert not list(folder.iterdir())  # MLflow has it
    again = Tracker(run.local_folder, run.address)  # a run that goes on and has nothing left to do
    again.model(write_model(str(run.location), "best", folder))
    again.close()
    assert not list(folder.iterdir())
    evaluation = Tracker(run.local_folder / "evaluation", run.address)
    test = DataInput.of_split(some_digits, "train", EVALUATION)
    evaluation.metrics({"evaluate/test/accuracy": 0.25}, 44, data=test, checkpoint=model.checkpoint)
    evaluation.close()
    (listed,) = store.client.search_logged_models([run.address.experiment_id])
    assert (listed.name, str(listed.status), listed.source_run_id) == ("best", "READY", run.address.run_id)
    assert listed.params["backbone.name"] == "wrn-10-1"
    assert {one.key: (one.value, one.dataset_name) for one in listed.metrics} == {
        "train/epoch_loss": (2.0, data.name), "train/knn_top1": (0.5, data.name), "evaluate/test/accuracy": (0.25, test.name)
    }  # fmt: skip
    outputs = store.client.get_run(run.address.run_id).outputs.model_outputs
    assert [(one.model_id, one.step) for one in outputs] == [(listed.model_id, 44)]


def test_a_model_that_was_cut_off_on_its_way_is_gone_on_with(saved, store):
    run = saved()
    begun = store.client.create_logged_model(
        run.address.experiment_id, "best", run.address.run_id, {"quorum.checkpoint": "step-000000044.pt"}
    )
    tracker = Tracker(run.local_folder, run.address)
    tracker.model(write_model(str(run.location), "best", store.folder / "models"))
    tracker.close()
    (listed,) = store.client.search_logged_models([run.address.experiment_id])
    assert (listed.model_id, str(listed.status)) == (begun.model_id, "READY")


@pytest.mark.job
def test_an_export_registers_a_version_with_an_alias_and_uploads_a_checkpoint_once(saved, some_digits, store):
    run = saved()
    place = str(run.location / "checkpoints" / "best")
    said = export(place, "mlflow", register="digits", alias="champion")
    assert f"MLFLOW_TRACKING_URI={store.uri} set, mlflow.pyfunc.load_model('models:/digits@champion') loads it" in said
    assert "version 2 of digits" in export(place, "mlflow", register="digits", alias="champion")
    (listed,) = store.client.search_logged_models([run.address.experiment_id])
    version = store.client.get_model_version_by_alias("digits", "champion")
    assert (int(version.version), version.run_id, version.source) == (2, run.address.run_id, listed.artifact_location)
    (image,) = read_images(some_digits, "train", [3]).values()
    assert predicted("models:/digits@champion", [image], MLFLOW_TRACKING_URI=store.uri)["rows"]["clusters"]


def test_what_cannot_go_together_is_refused(tmp_path):
    for keys, said in (
        ({"alias": "champion", "to": "mlflow"}, "give --register NAME too"),
        ({"register": "", "to": "mlflow"}, "register is ''; give a name in one line"),
        ({"register": "a/b", "to": "mlflow"}, "register is 'a/b'; give a name in one line, without /, : and @"),
        ({"register": "digits", "alias": "", "to": "mlflow"}, "alias is ''; give letters"),
        ({"register": "digits", "alias": "v1", "to": "mlflow"}, "alias is 'v1'; .* neither latest nor a version"),
        ({"register": "digits", "to": "net.safetensors"}, "give --to mlflow"),
        ({"classifier": True, "to": "mlflow"}, "leave out --classifier"),
    ):
        with pytest.raises(UserError, match=said):
            export(str(tmp_path), **keys)


def loaded(saved, folder: Path) -> tuple[ImageModel, SimpleNamespace]:
    """A model in this process, with its context."""
    files = Path(write_model(str(saved("semisup").location), "best", folder).path) / "artifacts"
    model, context = ImageModel(), SimpleNamespace(artifacts={file.stem: str(file) for file in files.iterdir()})
    model.load_context(context)
    return model, context


def test_an_image_is_the_same_however_its_bytes_come(saved, some_digits, tmp_path):
    model, context = loaded(saved, tmp_path)
    (image,) = read_images(some_digits, "train", [3]).values()
    text = base64.b64encode(image)
    of_address, of_browser = base64.urlsafe_b64encode(image), b"data:image/png;base64," + text
    forms = [image, bytearray(image), memoryview(image), np.void(image), text.decode(), text, base64.encodebytes(image).decode()]
    forms += [of_address, of_address.rstrip(b"="), of_browser.decode()]
    assert of_address != text
    found = model.predict(context, pd.DataFrame({"image": forms}))
    assert all(np.array_equal(row, found["embedding"][0]) for row in found["embedding"])
    for wrong in ("https://example.com/a.png", "AAAABBBBCCCCDDDD", text.decode()[: len(text) // 2]):
        with pytest.raises(MlflowException, match="the image of row 0 cannot be decoded"):
            model.predict(context, pd.DataFrame({"image": [wrong]}))


def test_no_images_have_all_columns_and_what_is_no_file_is_said(saved, tmp_path):
    model, context = loaded(saved, tmp_path)
    found = model.predict(context, pd.DataFrame({"image": pd.Series([], dtype=object)}))
    assert (len(found), list(found)) == (0, ["embedding", "clusters", "probabilities", "class"])
    assert {*found.dtypes} == {np.dtype(object)}  # and no numbers, which the signature does not have
    pixels = np.zeros((8, 8), np.uint8)
    for image, given in ((None, "nothing"), (float("nan"), "nothing"), (pixels, "of type ndarray")):
        with pytest.raises(MlflowException, match=f"the image of row 0 is {given}; give the bytes of its file"):
            model.predict(context, pd.DataFrame({"image": [image]}))


@pytest.mark.slow
def test_mlflow_serves_a_model_that_answers_an_image_and_refuses_what_is_none_in_words(saved, some_digits, tmp_path):
    model = write_model(str(saved().location), "best", tmp_path)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = ["models", "serve", "--env-manager", "local", "--model-uri", model.path, "--port", str(port)]
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    with (tmp_path / "serve.log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *words],
            cwd=tmp_path,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _wait_for(f"http://127.0.0.1:{port}/ping", server)
        (image,) = read_images(some_digits, "train", [3]).values()
        status, answer = _ask(port, image)
        assert status == 200, answer
        (row,) = answer["predictions"]
        assert (len(row["embedding"]), len(row["clusters"])) == (64, 2)
        status, answer = _ask(port, b"no image")
        assert (status, "the image of row 0 cannot be decoded" in answer["message"]) == (400, True)
    finally:
        os.killpg(server.pid, 15)
        server.wait()


def _wait_for(address: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=10).close()
        except OSError:
            time.sleep(0.5)
        else:
            return
    pytest.fail("the server does not answer")


def _ask(port: int, image: bytes) -> tuple[int, dict]:
    payload = {"dataframe_split": {"columns": ["image"], "data": [[base64.b64encode(image).decode()]]}}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations", json.dumps(payload).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)
