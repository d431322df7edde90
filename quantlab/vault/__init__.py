"""Keys at rest: the vault in the ledger's database, its inventory, rotation, and the rules for permissions."""
