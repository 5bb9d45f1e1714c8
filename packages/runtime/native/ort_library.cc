#include "ort_library.h"

#include <dlfcn.h>
#include <link.h>

#include <climits>
#include <cstdlib>
#include <iterator>
#include <mutex>
#include <stdexcept>

namespace ort_dora {
namespace {

std::mutex mutex;
OrtLibrary library;
bool loaded = false;
Ort::Env* environment = nullptr;

std::string RealPath(const std::string& path) {
  char resolved[PATH_MAX];
  return realpath(path.c_str(), resolved) != nullptr ? std::string(resolved) : path;
}

// The file of the ONNX Runtime that is in the process already, as onnxruntime-node's binding asks for it: by soname. Empty if none is.
std::string MappedLibrary() {
  void* handle = dlopen("libonnxruntime.so.1", RTLD_NOW | RTLD_NOLOAD);
  if (handle == nullptr) return {};
  link_map* map = nullptr;
  const std::string path = dlinfo(handle, RTLD_DI_LINKMAP, &map) == 0 && map != nullptr ? RealPath(map->l_name) : "unknown";
  dlclose(handle);
  return path;
}

}  // namespace

OrtLibrary LoadOrtLibrary(const std::string& path, const std::string& as) {
  std::lock_guard<std::mutex> lock(mutex);
  const std::string wanted = RealPath(path);
  if (loaded) {
    if (wanted != library.path) throw std::runtime_error("ONNX Runtime is already loaded from " + library.path + "; " + wanted + " cannot be loaded beside it");
    return library;
  }
  const std::string mapped = MappedLibrary();
  if (!mapped.empty() && mapped != wanted) throw std::runtime_error("another ONNX Runtime is in this process: " + mapped + ", not " + wanted);
  // From 1.30 on the library starts a telemetry client, with a thread of its own and uploads, unless this is set; a value
  // that is there already stays.
  setenv("ORT_DISABLE_TELEMETRY", "1", 0);
  void* handle = dlopen((as.empty() ? wanted : as).c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (handle == nullptr) throw std::runtime_error(std::string("ONNX Runtime cannot be loaded: ") + dlerror());
  auto get_base = reinterpret_cast<const OrtApiBase* (*)()>(dlsym(handle, "OrtGetApiBase"));
  if (get_base == nullptr) throw std::runtime_error(wanted + " is not ONNX Runtime: it has no OrtGetApiBase");
  const OrtApiBase* base = get_base();
  const OrtApi* api = base->GetApi(kOrtApiVersion);
  if (api == nullptr) {
    throw std::runtime_error(wanted + " is ONNX Runtime " + base->GetVersionString() + ", which lacks C API version " + std::to_string(kOrtApiVersion));
  }
  Ort::InitApi(api);
  library = {wanted, base->GetVersionString(), !mapped.empty()};
  loaded = true;
  return library;
}

bool OrtLibraryLoaded() {
  std::lock_guard<std::mutex> lock(mutex);
  return loaded;
}

Ort::Env& OrtEnvironment() {
  std::lock_guard<std::mutex> lock(mutex);
  if (environment == nullptr) environment = new Ort::Env(ORT_LOGGING_LEVEL_WARNING, "ort-dora");
  return *environment;
}

std::vector<std::string> AvailableProviders() { return Ort::GetAvailableProviders(); }

const char* OrtCodeName(OrtErrorCode code) {
  static const char* const kNames[] = {"OK", "FAIL", "INVALID_ARGUMENT", "NO_SUCHFILE", "NO_MODEL", "ENGINE_ERROR", "RUNTIME_EXCEPTION", "INVALID_PROTOBUF",
                                       "MODEL_LOADED", "NOT_IMPLEMENTED", "INVALID_GRAPH", "EP_FAIL", "MODEL_LOAD_CANCELED", "MODEL_REQUIRES_COMPILATION", "NOT_FOUND"};
  const auto index = static_cast<size_t>(code);
  return index < std::size(kNames) ? kNames[index] : "FAIL";
}

}  // namespace ort_dora
