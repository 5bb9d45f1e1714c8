// Reads parts of a file into native tensors, off the JavaScript thread.
#pragma once
#include <napi.h>

#include <cstdint>
#include <string>
#include <vector>

#include "job.h"
#include "tensor_data.h"

namespace ort_dora {

class FileJob final : public Job {
 public:
  // parts: [offset in bytes, NativeTensor, …], all in the memory of one device
  FileJob(Napi::Env env, std::string path, Napi::Array parts);

 private:
  struct Part {
    uint64_t offset;
    SharedValue tensor;
  };
  void Work() override;
  Napi::Value Result(Napi::Env env) override { return env.Undefined(); }
  const char* CodeOf(OrtErrorCode) const noexcept override { return "MODEL_LOAD_FAILED"; }

  const std::string path_;
  std::vector<Part> parts_;
};

}  // namespace ort_dora
