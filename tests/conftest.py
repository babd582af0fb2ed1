"""One thread for torch in tests: small networks, and numbers that do not depend on the machine's cores."""

import os

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session")
def tiny_encoders(tmp_path_factory):
    """Folders of weights of a tiny random MuQ and RoBERTa, by encoder name."""
    from tiny_encoders import write_muq, write_roberta

    root = tmp_path_factory.mktemp("weights")
    write_muq(root / "muq")
    write_roberta(root / "roberta")
    return {"muq": root / "muq", "roberta": root / "roberta"}
