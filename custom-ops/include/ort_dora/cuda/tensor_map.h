// Descriptions of matrices for Hopper's bulk tensor copies. The driver encodes them; its function is found at run time, so that
// nothing links against libcuda.
#pragma once

#include <cuda.h>
#include <cuda_runtime.h>

#include <cstdint>

#include "ort_dora/tensor.h"

namespace ort_dora::cuda {

// The extents of the row-major array that holds a matrix.
inline int64_t StoredRows(const Matrix& m) { return m.transposed ? m.cols : m.rows; }
inline int64_t StoredColumns(const Matrix& m) { return m.transposed ? m.rows : m.cols; }

// A row-major matrix of 16-bit elements and the boxes it is copied in. Elements outside read as zero and are not written.
// `data` and the bytes of a row are multiples of 16.
struct BoxedMatrix {
  const void* data = nullptr;
  int64_t rows = 0, columns = 0;
  int box_rows = 0, box_columns = 0;  // at most 256; a row of a box is 64 or 128 bytes, and swizzled by as much
};

inline bool CanCopyBoxes(const void* data, int64_t rows, int64_t columns) {
  constexpr int64_t kMost = int64_t{1} << 31;
  return reinterpret_cast<uintptr_t>(data) % 16 == 0 && columns % 8 == 0 && rows > 0 && columns > 0 && rows < kMost && columns < kMost;
}
inline bool CanCopyBoxes(const Matrix& m) { return CanCopyBoxes(m.data, StoredRows(m), StoredColumns(m)); }

inline cudaError_t EncodeMap(const BoxedMatrix& m, CUtensorMap* map) {
  using Encode = CUresult (*)(CUtensorMap*, CUtensorMapDataType, cuuint32_t, void*, const cuuint64_t*, const cuuint64_t*,
                              const cuuint32_t*, const cuuint32_t*, CUtensorMapInterleave, CUtensorMapSwizzle, CUtensorMapL2promotion,
                              CUtensorMapFloatOOBfill);
  static const Encode encode = [] {
    void* function = nullptr;
    cudaDriverEntryPointQueryResult found;
    const cudaError_t error =
        cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &found);
    return error == cudaSuccess && found == cudaDriverEntryPointSuccess ? reinterpret_cast<Encode>(function) : nullptr;
  }();
  if (encode == nullptr) return cudaErrorNotSupported;
  const cuuint64_t sizes[] = {static_cast<cuuint64_t>(m.columns), static_cast<cuuint64_t>(m.rows)};
  const cuuint64_t row_bytes[] = {static_cast<cuuint64_t>(m.columns) * 2};
  const cuuint32_t box[] = {static_cast<cuuint32_t>(m.box_columns), static_cast<cuuint32_t>(m.box_rows)}, steps[] = {1, 1};
  // The type only matters for fills other than zero: bfloat16 serves both.
  const CUresult result = encode(map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2, const_cast<void*>(m.data), sizes, row_bytes, box, steps,
                                 CU_TENSOR_MAP_INTERLEAVE_NONE,
                                 m.box_columns == 64 ? CU_TENSOR_MAP_SWIZZLE_128B : CU_TENSOR_MAP_SWIZZLE_64B,
                                 CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return result == CUDA_SUCCESS ? cudaSuccess : cudaErrorInvalidValue;
}

}  // namespace ort_dora::cuda
