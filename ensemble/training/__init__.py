"""Train base models: the work behind ``fit_base``.

In: a listening test. Out: one sealed folder per base model, named by what decides it.
Read `train_base_models` first, then `base_model_run`.
"""
