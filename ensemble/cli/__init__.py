"""The commands: each reads, calls one library function, writes, and says where the result is."""
