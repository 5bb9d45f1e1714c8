#include "bound_job.h"

#include <string>

#include "run_options.h"

namespace ort_dora {

BoundJob::BoundJob(Napi::Env env, std::shared_ptr<Bound> bound, Napi::Value options) : bound_(std::move(bound)) {
  if (options.IsObject()) ReadRunOptions(env, options.As<Napi::Object>(), [this]() -> Ort::RunOptions& { return options_; });
  if (bound_->model->lane) options_.AddConfigEntry(kGraphEntry, bound_->graph != 0 ? std::to_string(bound_->graph).c_str() : kNoGraph);
}

void BoundJob::Work() { bound_->model->session.Run(options_, bound_->binding); }

void BoundJob::OnCancel() noexcept { const Ort::Status ignored(Ort::GetApi().RunOptionsSetTerminate(options_)); }

const char* BoundJob::CodeOf(OrtErrorCode ort_code) const noexcept { return ort_code == ORT_INVALID_ARGUMENT ? "INVALID_ARGUMENT" : "RUN_FAILED"; }

}  // namespace ort_dora
