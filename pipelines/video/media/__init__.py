"""Video files: checked, read frame by frame, written in parts and joined."""
