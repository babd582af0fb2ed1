"""What has to be said with every score of a stack of the demo corpus."""

DEMO_NOTE = (
    "demo corpus: this stack learnt synthetic music and simulated raters; its scores "
    "say nothing about real music"
)
