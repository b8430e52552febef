"""The services' routes, one blueprint each."""
