"""How good a picture is, and how steady a film."""
