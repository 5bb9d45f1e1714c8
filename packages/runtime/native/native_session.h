// A loaded model as an object of JavaScript.
#pragma once
#include <napi.h>

#include <memory>

#include "model.h"

namespace ort_dora {

class NativeSession : public Napi::ObjectWrap<NativeSession> {
 public:
  static Napi::Function Define(Napi::Env env);
  static Napi::Object Wrap(Napi::Env env, std::shared_ptr<Model> model);

  explicit NativeSession(const Napi::CallbackInfo& info);
  ~NativeSession() override;

 private:
  static Napi::Value Create(const Napi::CallbackInfo& info);
  Napi::Value Inputs(const Napi::CallbackInfo& info);
  Napi::Value Outputs(const Napi::CallbackInfo& info);
  Napi::Value Run(const Napi::CallbackInfo& info);
  Napi::Value RunSync(const Napi::CallbackInfo& info);
  Napi::Value Bind(const Napi::CallbackInfo& info);
  Napi::Value EndProfiling(const Napi::CallbackInfo& info);
  Napi::Value Dispose(const Napi::CallbackInfo& info);

  const std::shared_ptr<Model>& Live(Napi::Env env) const;

  std::shared_ptr<Model> model_;
};

}  // namespace ort_dora
