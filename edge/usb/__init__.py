"""A USB stick in the field: a configuration tried on probation, recordings and logs taken home, a report."""
