"""The trigger board and its stand-ins: both cameras start in the same instant. See docs/trigger.md."""
