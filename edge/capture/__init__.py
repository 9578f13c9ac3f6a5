"""Cameras to stamped frames."""
