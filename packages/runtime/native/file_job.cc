#include "file_job.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "cuda_runtime.h"
#include "errors.h"
#include "native_tensor.h"
#include "placement.h"

namespace ort_dora {
namespace {

class File {
 public:
  explicit File(const std::string& path) : path_(path), descriptor_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (descriptor_ < 0) throw std::runtime_error(path + ": " + std::strerror(errno));
  }
  ~File() { close(descriptor_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  void Read(uint64_t offset, char* to, size_t bytes) const {
    while (bytes != 0) {
      const ssize_t got = pread(descriptor_, to, bytes, static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) throw std::runtime_error(path_ + ": " + std::strerror(errno));
      if (got == 0) throw std::runtime_error(path_ + " ends at byte " + std::to_string(offset) + ", inside of a tensor");
      offset += static_cast<uint64_t>(got);
      to += got;
      bytes -= static_cast<size_t>(got);
    }
  }

 private:
  const std::string path_;
  const int descriptor_;
};

}  // namespace

FileJob::FileJob(Napi::Env env, std::string path, Napi::Array parts) : path_(std::move(path)) {
  for (uint32_t i = 0; i + 1 < parts.Length(); i += 2) {
    const Napi::Value offset = parts.Get(i);
    const double at = offset.IsNumber() ? offset.As<Napi::Number>().DoubleValue() : -1;
    if (!(at >= 0 && at <= 9007199254740991.0)) throw InvalidArgument(env, "an offset must be a non-negative integer");
    parts_.push_back({static_cast<uint64_t>(at), NativeTensor::ValueOf(env, parts.Get(i + 1), "tensor")});
  }
}

void FileJob::Work() {
  const File file(path_);
  std::vector<cuda::Target> targets;
  for (const auto& [offset, tensor] : parts_) targets.push_back({tensor->GetTensorMutableRawData(), ByteLength(*tensor)});
  if (parts_.empty()) return;
  if (IsOnCuda(*parts_.front().tensor)) {
    cuda::Fill(DeviceOf(*parts_.front().tensor), targets,
               [&](size_t part, size_t offset, char* to, size_t bytes) { file.Read(parts_[part].offset + offset, to, bytes); });
  } else {
    for (size_t i = 0; i < parts_.size(); ++i) file.Read(parts_[i].offset, static_cast<char*>(targets[i].memory), targets[i].bytes);
  }
}

}  // namespace ort_dora
