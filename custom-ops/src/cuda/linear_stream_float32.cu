#include "ort_dora/cuda/linear_stream.cuh"
#include "ort_dora/cuda/linear_stream_transposed.cuh"

namespace ort_dora::cuda {

template cudaError_t LaunchStreamLinear<float>(const CudaLinearProblem&, void*, size_t, cudaStream_t);
template cudaError_t transposed::Launch<float>(const CudaLinearProblem&, void*, size_t, cudaStream_t);

}  // namespace ort_dora::cuda
