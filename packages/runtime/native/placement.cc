#include "placement.h"

#include <cstdlib>
#include <cstring>
#include <utility>

#include "errors.h"
#include "session_config.h"

namespace ort_dora {
namespace {

size_t CountOf(const std::vector<int64_t>& dims) {
  size_t count = 1;
  for (const int64_t dim : dims) count *= static_cast<size_t>(dim);
  return count;
}

// A tensor over memory that `release` gives back when the last share of the tensor goes.
template <typename Release>
SharedValue Over(void* memory, size_t bytes, const Ort::MemoryInfo& info, ElementType type, const std::vector<int64_t>& dims, Release release) {
  auto value = Ort::Value::CreateTensor(info, memory, bytes, dims.data(), dims.size(), type);
  return SharedValue(new Ort::Value(std::move(value)), [release = std::move(release)](Ort::Value* value) {
    delete value;
    release();
  });
}

template <typename Release>
SharedValue Owning(void* memory, size_t bytes, const Ort::MemoryInfo& info, ElementType type, const std::vector<int64_t>& dims, Release release) {
  try {
    return Over(memory, bytes, info, type, dims, release);
  } catch (...) {
    release();
    throw;
  }
}

}  // namespace

Placement ReadPlacement(Napi::Env env, Napi::Value value) {
  const std::string text = ReadString(env, value, "device");
  if (text == "cpu") return {Placement::Kind::kCpu, 0};
  if (text == "cpu-pinned") return {Placement::Kind::kPinned, 0};
  if (text.rfind("cuda", 0) != 0) throw InvalidArgument(env, "device must be 'cpu', 'cpu-pinned' or 'cuda:N', got '" + text + "'");
  const size_t colon = text.find(':');
  return {Placement::Kind::kCuda, colon == std::string::npos ? 0 : std::atoi(text.c_str() + colon + 1)};
}

std::string PlacementName(const Ort::Value& value) {
  if (IsOnCpu(value)) return "cpu";
  const auto memory = value.GetTensorMemoryInfo();
  const std::string name = memory.GetAllocatorName();
  return (name == "Cuda" ? "cuda" : name) + ":" + std::to_string(memory.GetDeviceId());
}

Ort::MemoryInfo MemoryInfoOf(const Placement& placement) {
  const bool cuda = placement.kind == Placement::Kind::kCuda;
  return Ort::MemoryInfo(cuda ? "Cuda" : "Cpu", OrtDeviceAllocator, placement.device, OrtMemTypeDefault);
}

SharedValue AllocateTensor(const Placement& placement, ElementType type, const std::vector<int64_t>& dims) {
  if (placement.kind == Placement::Kind::kCpu) {
    Ort::AllocatorWithDefaultOptions allocator;
    return std::make_shared<Ort::Value>(Ort::Value::CreateTensor(allocator, dims.data(), dims.size(), type));
  }
  const size_t bytes = LayoutOf(type).Bytes(CountOf(dims));
  const Ort::MemoryInfo info = MemoryInfoOf(placement);
  if (placement.kind == Placement::Kind::kPinned) {
    void* memory = cuda::AllocatePinned(bytes);
    return Owning(memory, bytes, info, type, dims, [memory] { cuda::FreePinned(memory); });
  }
  void* memory = cuda::Allocate(placement.device, bytes);
  return Owning(memory, bytes, info, type, dims, [device = placement.device, memory] { cuda::Free(device, memory); });
}

SharedValue ViewOf(const SharedValue& base, size_t byte_offset, ElementType type, const std::vector<int64_t>& dims) {
  auto* memory = static_cast<char*>(base->GetTensorMutableRawData()) + byte_offset;
  const Ort::MemoryInfo info = MemoryInfoOf({IsOnCuda(*base) ? Placement::Kind::kCuda : Placement::Kind::kCpu, DeviceOf(*base)});
  return Over(memory, LayoutOf(type).Bytes(CountOf(dims)), info, type, dims, [base] {});
}

bool IsOnCuda(const Ort::Value& value) { return value.GetTensorMemoryInfo().GetDeviceType() == OrtMemoryInfoDeviceType_GPU; }

int DeviceOf(const Ort::Value& value) { return value.GetTensorMemoryInfo().GetDeviceId(); }

void ClearTensor(const Ort::Value& value) {
  const size_t bytes = ByteLength(value);
  void* memory = const_cast<Ort::Value&>(value).GetTensorMutableRawData();
  if (IsOnCuda(value)) {
    cuda::Clear(DeviceOf(value), memory, bytes);
  } else if (bytes != 0) {
    std::memset(memory, 0, bytes);
  }
}

void CopyTensor(const Ort::Value& to, const Ort::Value& from) {
  const size_t bytes = ByteLength(to);
  void* target = const_cast<Ort::Value&>(to).GetTensorMutableRawData();
  const void* source = from.GetTensorRawData();
  if (IsOnCuda(to) || IsOnCuda(from)) {
    const Ort::Value& there = IsOnCuda(to) ? to : from;
    cuda::Copy(DeviceOf(there), target, source, bytes);
  } else if (bytes != 0) {
    std::memmove(target, source, bytes);
  }
}

}  // namespace ort_dora
