"""What several commands share: options in, messages and exit codes out.

Read `exit_codes` first: every command runs inside it; then `options`. By topic:
`clip_tables` (tables that are read), `saved_stacks` (what is done with a stack) and
`output` (where results go).
"""
