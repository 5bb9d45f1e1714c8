// One run of a model, on a worker thread or, for runSync, on the JavaScript thread.
#pragma once
#include <napi.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "job.h"
#include "model.h"
#include "tensor_data.h"

namespace ort_dora {

// What a fetch cell asks for where it names no tensor to write into.
enum class Fetch : int { kSkip = 0, kData = 1, kNative = 2 };

class RunJob final : public Job {
 public:
  // feeds: three cells an input, in the model's order
  // fetches: three cells an output, in the model's order: [Fetch, null, null], or a tensor to write into
  // options: undefined, or {config, tag, logSeverityLevel, device}
  RunJob(Napi::Env env, std::shared_ptr<Model> model, Napi::Array feeds, Napi::Array fetches, Napi::Value options, bool blocking);

 private:
  struct Output {
    uint32_t index;  // among the model's outputs
    Fetch fetch;
    bool given;  // the caller's own memory
    SharedValue value;
  };

  void Work() override;
  void RunBound();
  Napi::Value Result(Napi::Env env) override;
  void OnCancel() noexcept override;
  const char* CodeOf(OrtErrorCode ort_code) const noexcept override;
  void ReadFeeds(Napi::Env env, Napi::Array feeds);
  void ReadFetches(Napi::Env env, Napi::Array fetches);
  Ort::RunOptions& Options();

  const std::shared_ptr<Model> model_;
  const bool blocking_;
  std::optional<Ort::RunOptions> options_;
  std::optional<Ort::MemoryInfo> device_;  // where native outputs are wanted
  std::vector<const char*> input_names_, output_names_;
  std::vector<SharedValue> inputs_;
  std::vector<Output> outputs_;
  // Keep what JavaScript lent alive.
  Napi::ObjectReference feeds_, fetches_;
};

}  // namespace ort_dora
