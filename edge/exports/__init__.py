"""A recording turned into what other programs open: plain MP4, stills, EXR sequences, contact pictures.

Nothing here runs while the cameras do, but for the contact picture, which is gathered by the viewer's thread.
"""
