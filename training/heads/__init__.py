"""Made-up people at every age: a batched renderer of heads, and the sampler of people and photo situations."""

from training.heads.people import Person, View, draw_person, draw_view

__all__ = ["Person", "View", "draw_person", "draw_view"]
