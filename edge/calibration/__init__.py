"""Calibration: how the two cameras see the same thing, measured once and kept in a file.

``model`` and ``file`` say what a calibration is; ``maps`` turns it into pixels. ``board``, ``views``,
``guide``, ``gather`` and ``solve`` measure it with a printed board, ``features`` and ``selfcal`` without one.
``drift`` says whether it still holds, ``photometry`` and ``light`` match the light, ``report`` tells a
person, ``run`` does what the command asks.
"""
