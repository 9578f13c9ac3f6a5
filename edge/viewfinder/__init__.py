"""What a person behind a camera needs besides the picture: what clips, how it is exposed, if it is sharp."""
