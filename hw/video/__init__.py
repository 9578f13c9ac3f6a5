"""Cameras that give ready pictures: CSI and V4L2 through jetson-utils, V4L2 through OpenCV, video files."""
