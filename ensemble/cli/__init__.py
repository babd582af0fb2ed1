"""The commands, one file each: what a user types comes in, files and tables go out.

Each reads its options, calls one library function, writes, and says where the result
is. Read `check_clips`, the shortest, then `shared.exit_codes`, which runs them all.
"""
