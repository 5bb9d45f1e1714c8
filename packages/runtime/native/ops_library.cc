#include "ops_library.h"

#include <algorithm>
#include <set>

namespace ort_dora {
namespace {

// Leaked: sessions may be under construction on detached threads when static destructors run.
struct State {
  std::shared_mutex mutex;
  std::set<std::string> known;
};

State& state() {
  static State* instance = new State;
  return *instance;
}

}  // namespace

OpsLibraryLock::OpsLibraryLock(const std::vector<std::string>& libraries) : libraries_(libraries), together_(state().mutex) {
  const auto& known = state().known;
  if (std::all_of(libraries.begin(), libraries.end(), [&](const auto& path) { return known.count(path) != 0; })) return;
  together_.unlock();
  alone_ = std::unique_lock(state().mutex);
}

void OpsLibraryLock::Succeeded() {
  if (alone_) state().known.insert(libraries_.begin(), libraries_.end());
}

void RegisterOpsLibrary(Ort::SessionOptions& options, const std::string& path) { options.RegisterCustomOpsLibrary(path.c_str()); }

}  // namespace ort_dora
