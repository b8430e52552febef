"""Every statement the engine sends to PostgreSQL: live databases, frozen databases, the ledger."""
