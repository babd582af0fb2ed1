"""What is said and refused of clips before anything is trained on them.

In: a clip table, and the models to train. Out: advice, a learning curve, or an error in
one line. Read `advice` first.
"""
