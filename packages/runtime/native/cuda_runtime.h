// The CUDA runtime and driver, opened when they are first needed: the addon is linked to neither, and is the same without a GPU.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace ort_dora {

struct CudaDevice {
  std::string name;
  uint64_t memory;  // bytes
  int compute_capability_major, compute_capability_minor;
};

// How a library of CUDA tells its version.
enum class VersionQuery {
  kNone,
  kNumber,    // status f(int*), 1000 · major + 10 · minor
  kProperty,  // status f(int which, int*), which being 0, 1, 2 for major, minor, patch level
};

struct OpenedLibrary {
  std::string path;     // symlinks resolved
  std::string version;  // empty if it was not asked for or has no such symbol
};

namespace cuda {

// All of these throw std::runtime_error, with the library that is missing or with what CUDA says.

OpenedLibrary OpenLibrary(const std::string& soname, VersionQuery query, const std::string& symbol);
std::vector<CudaDevice> Devices();  // by the driver alone

void* Allocate(int device, size_t bytes);
void* AllocatePinned(size_t bytes);  // host memory that devices copy from and to at full speed
void Free(int device, void* memory) noexcept;
void FreePinned(void* memory) noexcept;

struct Memory {
  uint64_t free, total;  // bytes
};
Memory MemoryOf(int device);

// Between any two memories, ordered after the runs and copies that have ended; returns when it is done.
void Copy(int device, void* to, const void* from, size_t bytes);

void Clear(int device, void* memory, size_t bytes);

// Fills memory of a device through pinned buffers, so that what `source` does and the copies overlap.
struct Target {
  void* memory;
  size_t bytes;
};
using Source = std::function<void(size_t target, size_t offset, char* to, size_t bytes)>;
void Fill(int device, const std::vector<Target>& targets, const Source& source);

}  // namespace cuda
}  // namespace ort_dora
