"""Raw counts to linear light."""
