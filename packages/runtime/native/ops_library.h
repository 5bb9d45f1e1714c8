// Libraries of custom operators: registering one with a session's options, and the order in which sessions may do so.
#pragma once
#include <mutex>
#include <shared_mutex>
#include <string>
#include <vector>

#include "ort_library.h"

namespace ort_dora {

// While a session is built, ONNX Runtime 1.30 adds the domains of its op libraries to a global map without a lock, and loads
// that race fail with "domain is already exist". So the first session of a library is built alone, all others together.
class OpsLibraryLock {
 public:
  explicit OpsLibraryLock(const std::vector<std::string>& libraries);
  // The session is built: from now on these libraries need no lock of their own.
  void Succeeded();

 private:
  const std::vector<std::string>& libraries_;
  std::shared_lock<std::shared_mutex> together_;
  std::unique_lock<std::shared_mutex> alone_;
};

// Throws Ort::Exception with ONNX Runtime's or the loader's reason.
void RegisterOpsLibrary(Ort::SessionOptions& options, const std::string& path);

}  // namespace ort_dora
