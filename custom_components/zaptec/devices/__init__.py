"""Which devices an account shows, and their entries in the device registry."""
