"""What a fused picture or film is worth: metrics, comparisons on cases and sessions, flicker, robustness."""
