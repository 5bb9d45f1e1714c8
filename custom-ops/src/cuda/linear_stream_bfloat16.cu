#include "ort_dora/cuda/linear_stream.cuh"

namespace ort_dora::cuda {

template cudaError_t LaunchStreamLinear<__nv_bfloat16>(const CudaLinearProblem&, void*, size_t, cudaStream_t);

}  // namespace ort_dora::cuda
