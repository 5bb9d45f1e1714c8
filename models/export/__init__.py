"""Exports PEFT models to ONNX in the folder layout of transformers.js, adapters unmerged."""
