"""Migrations of live databases, run by `storage.live_database.migrate`."""
