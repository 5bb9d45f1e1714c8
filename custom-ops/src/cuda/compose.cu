#include "ort_dora/cuda/compose.cuh"

#include "ort_dora/cuda/kernels.h"

namespace ort_dora::cuda {

size_t ComposeWorkspace(const CudaComposeProblem&) { return 0; }

cudaError_t Compose(const CudaComposeProblem& p, void*, size_t, cudaStream_t stream) { return LaunchCompose(p, stream); }

}  // namespace ort_dora::cuda
