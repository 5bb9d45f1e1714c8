"""The demo VLM: drawn pictures, questions about them, a small SmolVLM and two DoRA adapters."""
