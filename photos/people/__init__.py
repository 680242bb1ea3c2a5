"""Who is who in the collection, how old in which photo, and which photos train. Imported lazily: it loads SQL."""

from .people import People
from .views import FaceView, Group, PersonView, Question, Selection, Timeline, TrainingPhoto, Year

__all__ = [
    "FaceView",
    "Group",
    "People",
    "PersonView",
    "Question",
    "Selection",
    "Timeline",
    "TrainingPhoto",
    "Year",
]
