"""Learning how one person ages from a collection of their photos (MyTimeMachine)."""

from .options import PRESETS, PersonalizeOptions
from .personalizer import Personalizer, TrainingView
from .store import PersonalModel

__all__ = ["PRESETS", "PersonalModel", "PersonalizeOptions", "Personalizer", "TrainingView"]
