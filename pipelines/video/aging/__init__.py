"""Aging people through a video, the same in every frame."""

from .ager import VideoAger

__all__ = ["VideoAger"]
