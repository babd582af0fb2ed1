"""Stacks to share: what is inside one, its model card, and its way to a hub and back.

In: the folder of a stack, or its name on a hub. Out: `StackContents`, a card in
Markdown, or the folder of a verified copy. Read `stack_contents` first.
"""
