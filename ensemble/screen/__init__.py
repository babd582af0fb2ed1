"""What is printed: how much of it, where it goes, and how it fits the terminal.

In: texts and tables of any content. Out: lines that show them as they are. Read
`streams` first, then `screen`.
"""
