"""Faces: find them, align them, know who it is and how old, and put a changed face back."""
