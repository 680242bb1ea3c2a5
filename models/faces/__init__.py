"""Faces: find them, align them, know who it is and how old, and put a changed face back."""

from models.faces.age import AgeNet, GenderNet, age_chip, load_age_net, load_gender_net
from models.faces.align import (
    align_crop,
    canonical_landmarks,
    crop_to_photo_matrix,
    ffhq_quad,
    paste_back,
    paste_mask,
)
from models.faces.checks import check_face, face_warnings, require_face
from models.faces.detect import Face, FaceDetector, detect_faces, load_detector
from models.faces.identity import SAME_PERSON, IdentityNet, identity_chip, load_identity_net
from models.faces.mask import face_mask
from models.faces.parse import FaceParser, parser_weights
from models.faces.recognition import SAME_DISTANCE, RecognitionNet, load_recognition_net, recognition_chip

__all__ = [
    "SAME_DISTANCE",
    "SAME_PERSON",
    "AgeNet",
    "Face",
    "FaceDetector",
    "FaceParser",
    "GenderNet",
    "IdentityNet",
    "RecognitionNet",
    "age_chip",
    "align_crop",
    "canonical_landmarks",
    "check_face",
    "crop_to_photo_matrix",
    "detect_faces",
    "face_mask",
    "face_warnings",
    "ffhq_quad",
    "identity_chip",
    "load_age_net",
    "load_detector",
    "load_gender_net",
    "load_identity_net",
    "load_recognition_net",
    "parser_weights",
    "paste_back",
    "paste_mask",
    "recognition_chip",
    "require_face",
]
