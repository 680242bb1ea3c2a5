"""Video files: checked, read frame by frame, written in parts and joined."""

from .change import lay_change
from .facts import FrameIndex, VideoFacts
from .frames import read_frames, scan_frames
from .index import Indexer, index_frames
from .join import check_video_path, join
from .opening import Limits, open_video
from .part import PartWriter
from .pictures import crop_rgb, small_rgb, stored, to_stored, to_upright, upright, whole_rgb
from .quality import Quality
from .tags import MARK, read_recipe

__all__ = [
    "MARK",
    "FrameIndex",
    "Indexer",
    "Limits",
    "PartWriter",
    "Quality",
    "VideoFacts",
    "check_video_path",
    "crop_rgb",
    "index_frames",
    "join",
    "lay_change",
    "open_video",
    "read_frames",
    "read_recipe",
    "scan_frames",
    "small_rgb",
    "stored",
    "to_stored",
    "to_upright",
    "upright",
    "whole_rgb",
]
