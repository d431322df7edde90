"""Orders that leave: the list of them, the client that sends them, and the account's own events."""
