"""Recordings fused again, cut into tasks that know all they need: one file of video each.

What makes a frame depend on the frames before it, pairing and the unit of brightness, is settled in the plan,
from time stamps and exposures alone. A task then needs its own frames and nothing else, so that it gives
the same bytes whoever runs it, in whatever order, and a second time.
"""
