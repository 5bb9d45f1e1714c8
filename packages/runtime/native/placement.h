// Tensors of this package's own allocation, outside of any session: where they live, views of them, copies between them.
#pragma once
#include <napi.h>

#include <cstdint>
#include <string>
#include <vector>

#include "cuda_runtime.h"
#include "tensor_data.h"

namespace ort_dora {

struct Placement {
  enum class Kind { kCpu, kPinned, kCuda } kind;
  int device;  // of kCuda
};

// "cpu", "cpu-pinned", "cuda" or "cuda:1".
Placement ReadPlacement(Napi::Env env, Napi::Value value);
std::string PlacementName(const Ort::Value& value);  // "cpu" or "cuda:0"
Ort::MemoryInfo MemoryInfoOf(const Placement& placement);

// Uninitialised memory. Throws std::runtime_error or Ort::Exception when there is not enough, or no CUDA.
SharedValue AllocateTensor(const Placement& placement, ElementType type, const std::vector<int64_t>& dims);

bool IsOnCuda(const Ort::Value& value);
int DeviceOf(const Ort::Value& value);  // of a tensor on CUDA

// A tensor over a part of another one's memory, which it keeps.
SharedValue ViewOf(const SharedValue& base, size_t byte_offset, ElementType type, const std::vector<int64_t>& dims);

void ClearTensor(const Ort::Value& value);

// Copies the bytes of a tensor to one of the same size, on the CPU or on devices; returns when it is done.
void CopyTensor(const Ort::Value& to, const Ort::Value& from);

}  // namespace ort_dora
