"""Training EAFNet: brackets with ground truth, the recipe, one or many workers, what is kept."""
