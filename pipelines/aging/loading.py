"""Which networks age a face: the embedded ones, or those of an added model, loaded through the runtime's pool."""

from __future__ import annotations

from pathlib import Path

from models.aging import Sam, load_encoder, load_mytm, load_sam
from models.assets import asset_path
from models.assets import read_card as asset_card
from models.errors import InputError
from models.faces.age import load_age_net, load_gender_net
from models.faces.identity import load_identity_net
from models.faces.person import load_person_net
from models.foreign.record import SAM
from models.perceptual import PerceptualLoss, load_perceptual
from models.stylegan2 import load_generator
from pipelines.models import ModelStore, StoredModel
from pipelines.runtime import Runtime

from .nets import AgingNets, HeadsNets, SamNets, reading_of
from .options import EMBEDDED
from .personal import PersonalNets, load_personal, personal_folder, read_card
from .subject import Readers

GENERATOR, ENCODER = "heads/generator.safetensors", "heads/encoder.safetensors"
# Tuning a 1024 px generator takes a GPU a fraction of a second a step, and a CPU half a minute.
SAM_STEPS = 120


def load_readers(runtime: Runtime) -> Readers:
    """The networks that read faces, from the runtime's pool."""
    device = runtime.device
    return runtime.pool.get(
        "faces/readers",
        lambda: Readers(
            load_age_net(device), load_gender_net(device), load_identity_net(device), load_person_net(device)
        ),
    )


class AgingModels:
    """Finds and loads networks by the model's id. One set of networks in the pool serves every caller."""

    def __init__(self, runtime: Runtime, data: Path):
        self.runtime, self.data = runtime, Path(data)
        self.store = ModelStore(data, runtime.settings)

    def nets(self, model: str = EMBEDDED, official: bool = False, person: str = "") -> AgingNets:
        """Raises InputError for a model that is not here, or that does not age faces, or a person without a model."""
        base = self._heads() if model == EMBEDDED else self._sam(self._stored(model), official)
        return self._own(person, base) if person else base

    def _own(self, person: str, base: AgingNets) -> PersonalNets:
        """Read anew only when the person was learnt anew."""
        folder = personal_folder(self.data, person)
        made = (read_card(folder) or {}).get("made")
        return self.runtime.pool.get((str(folder), made), lambda: load_personal(folder, base))

    def choices(self) -> list[tuple[str, str]]:
        """Title and id of each model that can age a face here; the embedded one comes first."""
        return [("Embedded, 128 px", EMBEDDED), *((stored.title, stored.id) for stored in self._added())]

    def _added(self) -> list[StoredModel]:
        """SAM models, then people's own; an adapter alone counts where the SAM is there that it stands on."""
        everybodys = [stored for stored in self.store.ready(SAM) if stored.task == "aging"]
        persons = [stored for stored in self.store.ready("personal") if stored.kind == SAM or everybodys]
        return everybodys + persons

    def _stored(self, model: str) -> StoredModel:
        self.store.path(model)  # says how to add a model that is not here
        stored = next((stored for stored in self._added() if stored.id == model), None)
        if stored is not None:
            return stored
        if any(stored.id == model for stored in self.store.ready("personal")):
            raise InputError(f"{model} is an adapter alone; add the SAM model that it belongs to first.")
        raise InputError(f"The model {model} does not age faces; choose one of {self._names()}.")

    def _names(self) -> str:
        return ", ".join(id for _, id in self.choices())

    def _perceptual(self) -> PerceptualLoss:
        device = self.runtime.device
        return self.runtime.pool.get("faces/stlpips", lambda: load_perceptual(device))

    def _heads(self) -> HeadsNets:
        device, pool = self.runtime.device, self.runtime.pool
        card = asset_card(ENCODER)
        return HeadsNets(
            pool.get(GENERATOR, lambda: load_generator(asset_path(GENERATOR), device)),
            pool.get(ENCODER, lambda: load_encoder(asset_path(ENCODER), device)),
            self._perceptual(),
            asset_card(GENERATOR)["sha256"][:16] + card["sha256"][:16],
            reading_of(card),
        )

    def _sam(self, stored: StoredModel, official: bool) -> SamNets:
        personal = stored.task == "personal"
        key = (str(stored.path), official) if personal else str(stored.path)
        sam = self.runtime.pool.get(key, lambda: self._personal(stored, official) if personal else self._plain(stored))
        steps = 0 if self.runtime.device.type == "cpu" else SAM_STEPS
        fingerprint = "+".join(file.sha256[:16] for file in stored.files) + ("-official" if official else "")
        return SamNets(sam, self._perceptual(), fingerprint, steps)

    def _plain(self, stored: StoredModel) -> Sam:
        return load_sam(stored.path, self.runtime.device)

    def _personal(self, stored: StoredModel, official: bool) -> Sam:
        """A person's model stands on the same SAM as everybody's: its weights are read and held once."""
        found = next((other for other in self._added() if other.task == "aging"), None)
        base = self.runtime.pool.get(str(found.path), lambda: self._plain(found)) if found else None
        return load_mytm(stored.path, base, self.runtime.device, official=official)
