// An OrtValue that stays native, wherever it lives, as an object of JavaScript.
#pragma once
#include <napi.h>

#include <cstdint>

#include "tensor_data.h"

namespace ort_dora {

class NativeTensor : public Napi::ObjectWrap<NativeTensor> {
 public:
  static Napi::Function Define(Napi::Env env);
  static Napi::Object Wrap(Napi::Env env, SharedValue value);
  // The caller's share of the value. Throws unless `value` is a NativeTensor that is not disposed.
  static SharedValue ValueOf(Napi::Env env, Napi::Value value, const char* name);

  explicit NativeTensor(const Napi::CallbackInfo& info);
  void Finalize(Napi::BasicEnv env) override;

 private:
  static Napi::Value FromData(const Napi::CallbackInfo& info);
  static Napi::Value Allocate(const Napi::CallbackInfo& info);
  Napi::Value View(const Napi::CallbackInfo& info);
  Napi::Value CopyFrom(const Napi::CallbackInfo& info);
  void CopyFromSync(const Napi::CallbackInfo& info);
  Napi::Value Read(const Napi::CallbackInfo& info);
  Napi::Value ReadSync(const Napi::CallbackInfo& info);
  Napi::Value Type(const Napi::CallbackInfo& info);
  Napi::Value Dims(const Napi::CallbackInfo& info);
  Napi::Value Device(const Napi::CallbackInfo& info);
  Napi::Value Data(const Napi::CallbackInfo& info);
  Napi::Value IsDisposed(const Napi::CallbackInfo& info);
  void Dispose(const Napi::CallbackInfo& info);

  SharedValue ReadSource(const Napi::CallbackInfo& info, Lending lending);
  const Ort::Value& Live(Napi::Env env) const;
  void Account(Napi::BasicEnv env, int64_t bytes);

  // Shared with the runs that use it and with the ArrayBuffers over it: the memory goes with the last of them.
  SharedValue value_;
  int64_t accounted_ = 0;  // bytes reported to V8, whose collector cannot see this memory
  Napi::Reference<Napi::Value> buffer_;  // weak: the one ArrayBuffer over this memory
};

}  // namespace ort_dora
