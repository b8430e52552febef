"""Ground stones shared with the L1 wing: moments, validity, columns, private servers."""
