#include "cuda_runtime.h"

#include <dlfcn.h>
#include <link.h>

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <map>
#include <mutex>
#include <stdexcept>

namespace ort_dora::cuda {
namespace {

// What is used of cuda_runtime_api.h and cuda.h. Their ABI is stable within and across the major versions in the table of Open().
using Error = int;
using Stream = void*;
using Event = void*;
constexpr int kMemcpyDefault = 4;             // by the pointers
constexpr unsigned kStreamNonBlocking = 1;    // does not wait for the default stream
constexpr unsigned kHostAllocPortable = 1;    // pinned for every device
constexpr unsigned kEventDisableTiming = 2;
constexpr int kCapabilityMajor = 75, kCapabilityMinor = 76;  // of CUdevice_attribute

template <typename Function>
Function* Symbol(void* library, const char* name) {
  void* symbol = dlsym(library, name);
  if (symbol == nullptr) throw std::runtime_error(std::string(dlerror()));
  return reinterpret_cast<Function*>(symbol);
}

void* Open(std::initializer_list<const char*> names) {
  for (const char* name : names) {  // what the provider has loaded comes first
    if (void* library = dlopen(name, RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD)) return library;
  }
  std::string reason;
  for (const char* name : names) {
    if (void* library = dlopen(name, RTLD_NOW | RTLD_LOCAL)) return library;
    if (reason.empty()) reason = dlerror();
  }
  throw std::runtime_error(reason);
}

struct Runtime {
  void* library = Open({"libcudart.so.13", "libcudart.so.12"});
  Error (*set_device)(int) = Symbol<Error(int)>(library, "cudaSetDevice");
  Error (*get_device)(int*) = Symbol<Error(int*)>(library, "cudaGetDevice");
  Error (*malloc)(void**, size_t) = Symbol<Error(void**, size_t)>(library, "cudaMalloc");
  Error (*free)(void*) = Symbol<Error(void*)>(library, "cudaFree");
  Error (*host_alloc)(void**, size_t, unsigned) = Symbol<Error(void**, size_t, unsigned)>(library, "cudaHostAlloc");
  Error (*free_host)(void*) = Symbol<Error(void*)>(library, "cudaFreeHost");
  Error (*memory_info)(size_t*, size_t*) = Symbol<Error(size_t*, size_t*)>(library, "cudaMemGetInfo");
  Error (*copy)(void*, const void*, size_t, int, Stream) = Symbol<Error(void*, const void*, size_t, int, Stream)>(library, "cudaMemcpyAsync");
  Error (*set)(void*, int, size_t, Stream) = Symbol<Error(void*, int, size_t, Stream)>(library, "cudaMemsetAsync");
  Error (*create_stream)(Stream*, unsigned) = Symbol<Error(Stream*, unsigned)>(library, "cudaStreamCreateWithFlags");
  Error (*synchronize)(Stream) = Symbol<Error(Stream)>(library, "cudaStreamSynchronize");
  Error (*create_event)(Event*, unsigned) = Symbol<Error(Event*, unsigned)>(library, "cudaEventCreateWithFlags");
  Error (*record)(Event, Stream) = Symbol<Error(Event, Stream)>(library, "cudaEventRecord");
  Error (*wait)(Event) = Symbol<Error(Event)>(library, "cudaEventSynchronize");
  Error (*destroy_event)(Event) = Symbol<Error(Event)>(library, "cudaEventDestroy");
  Error (*last_error)() = Symbol<Error()>(library, "cudaGetLastError");
  const char* (*error_string)(Error) = Symbol<const char*(Error)>(library, "cudaGetErrorString");

  void Check(Error error, const std::string& what) const {
    if (error == 0) return;
    last_error();  // or the next call of somebody else would return it
    throw std::runtime_error(what + ": CUDA: " + error_string(error));
  }
};

// Leaked: tensors may still be freed while the process ends. A failure is tried again, since it may have been for the want of a path.
const Runtime& Get() {
  static std::mutex mutex;
  static const Runtime* runtime = nullptr;
  const std::lock_guard<std::mutex> lock(mutex);
  if (runtime == nullptr) runtime = new Runtime;
  return *runtime;
}

// The calling thread's device, put back at the end: ONNX Runtime's and other code's threads come through here.
class OnDevice {
 public:
  OnDevice(const Runtime& runtime, int device) : runtime_(runtime) {
    runtime.Check(runtime.get_device(&before_), "the CUDA device cannot be asked for");
    runtime.Check(runtime.set_device(device), "cuda:" + std::to_string(device) + " cannot be used");
  }
  ~OnDevice() { runtime_.set_device(before_); }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;

 private:
  const Runtime& runtime_;
  int before_ = 0;
};

// One stream a device for copies, which are synchronised before they return.
Stream CopyStream(const Runtime& runtime, int device) {
  static std::mutex mutex;
  static auto* streams = new std::map<int, Stream>;
  const std::lock_guard<std::mutex> lock(mutex);
  const auto found = streams->find(device);
  if (found != streams->end()) return found->second;
  Stream stream = nullptr;
  runtime.Check(runtime.create_stream(&stream, kStreamNonBlocking), "a stream cannot be made");
  return (*streams)[device] = stream;
}

std::string Megabytes(size_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

std::string PathOf(void* library) {
  link_map* map = nullptr;
  if (dlinfo(library, RTLD_DI_LINKMAP, &map) != 0 || map == nullptr) return {};
  char resolved[PATH_MAX];
  return realpath(map->l_name, resolved) != nullptr ? resolved : map->l_name;
}

std::string VersionOf(void* library, VersionQuery query, const char* symbol) {
  void* function = query == VersionQuery::kNone ? nullptr : dlsym(library, symbol);
  if (function == nullptr) return {};
  if (query == VersionQuery::kNumber) {
    int number = 0;
    if (reinterpret_cast<int (*)(int*)>(function)(&number) != 0) return {};
    return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10);
  }
  std::string version;
  for (int which = 0; which < 3; ++which) {
    int part = 0;
    if (reinterpret_cast<int (*)(int, int*)>(function)(which, &part) != 0) return {};
    version += (which == 0 ? "" : ".") + std::to_string(part);
  }
  return version;
}

// A pinned buffer on its way to the device, and the event that says when it can be filled again.
class Staging {
 public:
  static constexpr size_t kBytes = 32 << 20;

  explicit Staging(const Runtime& runtime) : runtime_(runtime), memory_(static_cast<char*>(AllocatePinned(kBytes))) {
    const Error error = runtime.create_event(&free_, kEventDisableTiming);
    if (error != 0) FreePinned(memory_);
    runtime.Check(error, "an event cannot be made");
  }
  ~Staging() {
    runtime_.wait(free_);
    runtime_.destroy_event(free_);
    FreePinned(memory_);
  }
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  char* WhenFree() {
    runtime_.Check(runtime_.wait(free_), "a copy failed");
    return memory_;
  }
  void Send(void* to, size_t bytes, Stream stream) {
    runtime_.Check(runtime_.copy(to, memory_, bytes, kMemcpyDefault, stream), "a copy failed");
    runtime_.Check(runtime_.record(free_, stream), "a copy failed");
  }

 private:
  const Runtime& runtime_;
  char* const memory_;
  Event free_ = nullptr;
};

}  // namespace

OpenedLibrary OpenLibrary(const std::string& soname, VersionQuery query, const std::string& symbol) {
  void* library = dlopen(soname.c_str(), RTLD_LAZY | RTLD_LOCAL);
  if (library == nullptr) throw std::runtime_error(dlerror());
  return {PathOf(library), VersionOf(library, query, symbol.c_str())};
}

std::vector<CudaDevice> Devices() {
  void* driver = Open({"libcuda.so.1"});
  const auto check = [&](Error error, const char* what) {
    if (error == 0) return;
    const char* text = nullptr;
    Symbol<Error(Error, const char**)>(driver, "cuGetErrorString")(error, &text);
    throw std::runtime_error(std::string(what) + ": " + (text != nullptr ? text : "error " + std::to_string(error)));
  };
  check(Symbol<Error(unsigned)>(driver, "cuInit")(0), "the CUDA driver does not start");
  int count = 0;
  check(Symbol<Error(int*)>(driver, "cuDeviceGetCount")(&count), "the CUDA driver does not count its devices");
  std::vector<CudaDevice> devices;
  for (int device = 0; device < count; ++device) {
    char name[256] = "";
    size_t memory = 0;
    int major = 0, minor = 0;
    check(Symbol<Error(char*, int, int)>(driver, "cuDeviceGetName")(name, sizeof name, device), "cuDeviceGetName");
    check(Symbol<Error(size_t*, int)>(driver, "cuDeviceTotalMem_v2")(&memory, device), "cuDeviceTotalMem");
    const auto attribute = Symbol<Error(int*, int, int)>(driver, "cuDeviceGetAttribute");
    check(attribute(&major, kCapabilityMajor, device), "cuDeviceGetAttribute");
    check(attribute(&minor, kCapabilityMinor, device), "cuDeviceGetAttribute");
    devices.push_back({name, memory, major, minor});
  }
  return devices;
}

void* Allocate(int device, size_t bytes) {
  const Runtime& runtime = Get();
  const OnDevice scope(runtime, device);
  void* memory = nullptr;
  const Error error = runtime.malloc(&memory, std::max<size_t>(bytes, 1));
  runtime.Check(error, Megabytes(bytes) + " on cuda:" + std::to_string(device) + " cannot be allocated");
  return memory;
}

void* AllocatePinned(size_t bytes) {
  const Runtime& runtime = Get();
  void* memory = nullptr;
  runtime.Check(runtime.host_alloc(&memory, std::max<size_t>(bytes, 1), kHostAllocPortable), Megabytes(bytes) + " of pinned memory cannot be allocated");
  return memory;
}

void Free(int device, void* memory) noexcept {
  try {
    const Runtime& runtime = Get();
    const OnDevice scope(runtime, device);
    runtime.free(memory);
  } catch (const std::exception&) {
    // The process ends and CUDA has gone before: its memory went with it.
  }
}

void FreePinned(void* memory) noexcept { Get().free_host(memory); }

Memory MemoryOf(int device) {
  const Runtime& runtime = Get();
  const OnDevice scope(runtime, device);
  size_t free = 0, total = 0;
  runtime.Check(runtime.memory_info(&free, &total), "the memory of cuda:" + std::to_string(device) + " cannot be asked for");
  return {free, total};
}

void Copy(int device, void* to, const void* from, size_t bytes) {
  if (bytes == 0) return;
  const Runtime& runtime = Get();
  const OnDevice scope(runtime, device);
  const Stream stream = CopyStream(runtime, device);
  runtime.Check(runtime.copy(to, from, bytes, kMemcpyDefault, stream), "a copy failed");
  runtime.Check(runtime.synchronize(stream), "a copy failed");
}

void Clear(int device, void* memory, size_t bytes) {
  if (bytes == 0) return;
  const Runtime& runtime = Get();
  const OnDevice scope(runtime, device);
  const Stream stream = CopyStream(runtime, device);
  runtime.Check(runtime.set(memory, 0, bytes, stream), "memory cannot be cleared");
  runtime.Check(runtime.synchronize(stream), "memory cannot be cleared");
}

void Fill(int device, const std::vector<Target>& targets, const Source& source) {
  const Runtime& runtime = Get();
  const OnDevice scope(runtime, device);
  const Stream stream = CopyStream(runtime, device);
  Staging buffers[] = {Staging(runtime), Staging(runtime)};
  size_t turn = 0;
  for (size_t i = 0; i < targets.size(); ++i) {
    for (size_t done = 0; done < targets[i].bytes;) {
      const size_t bytes = std::min(Staging::kBytes, targets[i].bytes - done);
      Staging& buffer = buffers[turn++ % 2];
      source(i, done, buffer.WhenFree(), bytes);
      buffer.Send(static_cast<char*>(targets[i].memory) + done, bytes, stream);
      done += bytes;
    }
  }
  runtime.Check(runtime.synchronize(stream), "a copy failed");
}

}  // namespace ort_dora::cuda
