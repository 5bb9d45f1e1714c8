// The dependency arrows of docs/architecture.md: which package may import which.

/** Package folder → the package folders that it may import. What is not listed is forbidden. */
export const arrows = {
  'packages/onnx': [],
  'custom-ops': [],
  'packages/adapters': [],
  'packages/rewriter': ['packages/onnx', 'packages/adapters'],
  'packages/runtime': ['custom-ops'],
  'packages/verify': ['packages/runtime', 'packages/onnx'],
  'packages/vlm': ['packages/runtime', 'packages/adapters'],
  'packages/server': ['packages/vlm', 'packages/runtime', 'packages/adapters'],
  'packages/evaluate': ['packages/vlm', 'packages/runtime', 'packages/adapters'],
  'packages/cli': [
    'packages/onnx',
    'packages/adapters',
    'packages/rewriter',
    'packages/runtime',
    'packages/verify',
    'packages/vlm',
    'packages/server',
    'packages/evaluate',
    'custom-ops',
  ],
};
