// DoraScale: the choice among its kernels.
#include "ort_dora/cuda/kernels.h"
#include "ort_dora/cuda/scale_any.cuh"
#include "ort_dora/cuda/scale_hopper.cuh"

namespace ort_dora::cuda {

size_t ScaleWorkspace(const CudaScaleProblem& p) { return HopperScaleSupports(p) ? HopperScaleBytes(p) : AnyScaleBytes(p); }

cudaError_t Scale(const CudaScaleProblem& p, void* workspace, size_t workspace_bytes, cudaStream_t stream) {
  if (HopperScaleSupports(p)) return LaunchHopperScale(p, workspace, workspace_bytes, stream);
  return LaunchAnyScale(p, workspace, workspace_bytes, stream);
}

}  // namespace ort_dora::cuda
