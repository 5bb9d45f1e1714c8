#include "ort_dora/cuda/compose_bank.cuh"
#include "ort_dora/cuda/kernels.h"

namespace ort_dora::cuda {

size_t ComposeBankWorkspace(const CudaComposeBankProblem& p) { return ComposeBankBytes(p); }

cudaError_t ComposeBank(const CudaComposeBankProblem& p, void* workspace, size_t workspace_bytes, cudaStream_t stream) {
  return LaunchComposeBank(p, workspace, workspace_bytes, stream);
}

}  // namespace ort_dora::cuda
