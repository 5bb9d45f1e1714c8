"""One tiny random model of every family, with a DoRA adapter: exported, and recorded for tests that have no PyTorch."""
