"""Automatic exposure: what both cameras are set to next, why, and how the video stays steady meanwhile.

Decisions are pure functions of measurements, time and configuration; ``control`` is the thin loop that acts
on them. docs/exposure.md tells the reasons.
"""
