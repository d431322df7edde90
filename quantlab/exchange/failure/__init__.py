"""What the exchange or the network did wrong, of which kind it is, and what may be done about it."""
