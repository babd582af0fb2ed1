"""The meta floor: from the distributions of several base models to one score and one distribution per clip and aspect.

It imports the ground of ``base_models`` (bins, clips, splits, predictions, metrics) and never torch. Nothing is
imported here, so that ``import meta`` stays light.
"""
