"""What commands do with a saved stack: read it, adapt, test and explain it.

In: options that name a stack, clips or predictions. Out: scores, pictures, an adapted
stack. Start in ``stacks.py``, which finds and reads the stack.
"""
