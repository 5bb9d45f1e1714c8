// Loads a model off the JavaScript thread.
#pragma once
#include <napi.h>

#include <memory>
#include <string>

#include "job.h"
#include "model.h"
#include "session_config.h"

namespace ort_dora {

class CreateJob final : public Job {
 public:
  // model: a path, or a Uint8Array that stays alive and unchanged until the job has settled.
  CreateJob(Napi::Env env, Napi::Value model, SessionConfig config);

 private:
  void Work() override;
  Napi::Value Result(Napi::Env env) override;
  void OnCancel() noexcept override;
  const char* CodeOf(OrtErrorCode ort_code) const noexcept override;
  void Configure();

  const SessionConfig config_;
  std::string path_;
  Napi::ObjectReference pinned_;
  const void* bytes_ = nullptr;
  size_t length_ = 0;
  Ort::SessionOptions options_;
  std::shared_ptr<Model> model_;
  const char* stage_ = "MODEL_LOAD_FAILED";
};

}  // namespace ort_dora
