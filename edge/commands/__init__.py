"""Commands that are one module each; larger ones have a folder of their own."""
