"""The configuration in force, for the stages that can follow a change while they work."""

from __future__ import annotations

from collections.abc import Callable

from edge.config.schema import Config


class Running:
    """The configuration in force, and who follows its changes. Any thread may read ``config``."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._followers: list[Callable[[Config], None]] = []

    @property
    def config(self) -> Config:
        return self._config

    def follow(self, changed: Callable[[Config], None]) -> None:
        """Call ``changed`` with each new configuration, in the thread that replaces it; it must be quick."""
        self._followers.append(changed)

    def replace(self, config: Config) -> None:
        """Let ``config`` hold from now on. One thread."""
        self._config = config
        for changed in self._followers:
            changed(config)
