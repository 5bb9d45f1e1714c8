// One run of a bound set of buffers.
#pragma once
#include <napi.h>

#include <memory>
#include <utility>
#include <vector>

#include "job.h"
#include "model.h"
#include "tensor_data.h"

namespace ort_dora {

// Shared by the NativeBoundRun object and by its runs in flight.
struct Bound {
  Bound(std::shared_ptr<Model> of, int number) : model(std::move(of)), binding(model->session), graph(number) {}

  const std::shared_ptr<Model> model;
  std::vector<SharedValue> values;
  Ort::IoBinding binding;
  const int graph;  // 0: none
};

class BoundJob final : public Job {
 public:
  BoundJob(Napi::Env env, std::shared_ptr<Bound> bound, Napi::Value options);

 private:
  void Work() override;
  Napi::Value Result(Napi::Env env) override { return env.Undefined(); }
  void OnCancel() noexcept override;
  const char* CodeOf(OrtErrorCode ort_code) const noexcept override;

  const std::shared_ptr<Bound> bound_;
  Ort::RunOptions options_;
};

}  // namespace ort_dora
