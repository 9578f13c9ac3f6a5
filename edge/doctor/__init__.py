"""``twinhdr doctor``: facts about this machine, each with what to do about it."""
