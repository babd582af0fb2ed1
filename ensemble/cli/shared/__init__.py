"""What several commands share: options in, messages and exit codes out.

Read `exit_codes` first: every command runs inside it.
"""
