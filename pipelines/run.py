"""A run's folder: what identifies it, its configuration and its checkpoints."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipelines.checkpoint import CheckpointStore
from pipelines.errors import UserError
from pipelines.storage import Location
from pipelines.tracking import RunAddress

FORMAT = 1
RUN_FILE, CONFIG_FILE = "run.json", "config.yaml"


@dataclass(frozen=True)
class Run:
    """A run's folder and what identifies it.

    `kind` is the command that made it.
    """

    location: Location
    kind: str
    address: RunAddress
    identity: dict[str, str]

    @classmethod
    def create(cls, location: Location, kind: str, address: RunAddress, identity: dict[str, str]) -> Run:
        """Make the folder a run, whose identity names its MLflow run too."""
        identity = identity | {"mlflow_run": address.run_id}
        content = {"format": FORMAT, "kind": kind, "mlflow": vars(address), "identity": identity}
        (location / RUN_FILE).write_json(content)
        return cls(location, kind, address, identity)

    @classmethod
    def open(cls, place: str, *, kind: str | None = None) -> Run:
        """The run in a folder, made by the command `kind` where that is given.

        Raises:
            UserError: for a folder that holds no run, or one of another format or command.
        """
        location = Location.of(place)
        if not (location / RUN_FILE).exists():
            raise UserError(
                f"{place} holds no {RUN_FILE}, so it is no run; give the folder that a training printed, for example outputs/NAME"
            )
        content = (location / RUN_FILE).read_json()
        if content.get("format") != FORMAT:
            raise UserError(f"{location / RUN_FILE} has format {content.get('format')}, this version reads {FORMAT}")
        if kind not in (None, content["kind"]):
            made = content["kind"]
            raise UserError(f"{place} is a run of quorum {made}; go on with it: quorum {made} --resume {place}")
        return cls(location, content["kind"], RunAddress(**content["mlflow"]), content["identity"])

    @property
    def local_folder(self) -> Path:
        """Where journal and pictures are: the run's folder, or one of its name here where that is remote."""
        return Path(self.location.path) if self.location.is_local else Path("outputs").absolute() / self.location.name

    def config_file(self) -> str:
        """Path of the run's configuration, copied here where the run is remote."""
        source = self.location / CONFIG_FILE
        if source.is_local:
            return source.path
        copy = self.local_folder / CONFIG_FILE
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(source.read_bytes())
        return str(copy)

    @property
    def checkpoints(self) -> CheckpointStore:
        """The run's checkpoints."""
        return CheckpointStore(self.location / "checkpoints")
