// Inputs and outputs bound to a session once, for runs that follow one another in the same buffers, as an object of JavaScript.
#pragma once
#include <napi.h>

#include <memory>

#include "bound_job.h"
#include "model.h"

namespace ort_dora {

class NativeBoundRun : public Napi::ObjectWrap<NativeBoundRun> {
 public:
  static Napi::Function Define(Napi::Env env);
  // feeds: a NativeTensor for each input; fetches: for each output a NativeTensor or null
  // graph: whether runs are captured in a CUDA graph and replayed
  static Napi::Object Bind(Napi::Env env, const std::shared_ptr<Model>& model, Napi::Array feeds, Napi::Array fetches, bool graph);

  explicit NativeBoundRun(const Napi::CallbackInfo& info);
  ~NativeBoundRun() override;

 private:
  Napi::Value Run(const Napi::CallbackInfo& info);
  void RunSync(const Napi::CallbackInfo& info);
  void Dispose(const Napi::CallbackInfo& info);
  void Release();

  const std::shared_ptr<Bound>& Live(Napi::Env env) const;

  std::shared_ptr<Bound> bound_;
};

}  // namespace ort_dora
