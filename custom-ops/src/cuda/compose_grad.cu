#include "ort_dora/cuda/compose_grad.cuh"

#include "ort_dora/cuda/kernels.h"

namespace ort_dora::cuda {

size_t ComposeGradWorkspace(const CudaComposeGradProblem& p) { return ComposeGradBytes(p); }

cudaError_t ComposeGrad(const CudaComposeGradProblem& p, void* workspace, size_t workspace_bytes, cudaStream_t stream) {
  return LaunchComposeGrad(p, workspace, workspace_bytes, stream);
}

}  // namespace ort_dora::cuda
