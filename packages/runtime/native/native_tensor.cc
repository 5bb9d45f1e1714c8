#include "native_tensor.h"

#include <cstring>
#include <string>
#include <utility>

#include "environment.h"
#include "errors.h"

namespace ort_dora {
namespace {

constexpr napi_type_tag kTag = {0x6f72742d646f7261ULL, 0x74656e736f720001ULL};

thread_local SharedValue handed_over;  // to the constructor, which JavaScript cannot call with a value

}  // namespace

Napi::Function NativeTensor::Define(Napi::Env env) {
  return DefineClass(env, "NativeTensorHandle",
                     {StaticMethod<&NativeTensor::FromData>("fromData"), InstanceAccessor<&NativeTensor::Type>("type"),
                      InstanceAccessor<&NativeTensor::Dims>("dims"), InstanceAccessor<&NativeTensor::Device>("device"),
                      InstanceAccessor<&NativeTensor::IsDisposed>("disposed"), InstanceMethod<&NativeTensor::Data>("data"),
                      InstanceMethod<&NativeTensor::Dispose>("dispose")});
}

Napi::Object NativeTensor::Wrap(Napi::Env env, SharedValue value) {
  handed_over = std::move(value);
  return Environment::Of(env).tensor_constructor.New({});
}

NativeTensor::NativeTensor(const Napi::CallbackInfo& info) : ObjectWrap(info), value_(std::exchange(handed_over, nullptr)) {
  if (!value_) throw InvalidArgument(info.Env(), "NativeTensorHandle cannot be constructed");
  Check(info.Env(), napi_type_tag_object(info.Env(), info.This(), &kTag));
  if (IsOnCpu(*value_)) Account(info.Env(), static_cast<int64_t>(ByteLength(*value_)));
}

void NativeTensor::Account(Napi::BasicEnv env, int64_t bytes) {
  Napi::MemoryManagement::AdjustExternalMemory(env, bytes - accounted_);
  accounted_ = bytes;
}

void NativeTensor::Finalize(Napi::BasicEnv env) { Account(env, 0); }

SharedValue NativeTensor::ValueOf(Napi::Env env, Napi::Value value, const char* name) {
  bool ours = false;
  if (value.IsObject()) Check(env, napi_check_object_type_tag(env, value, &kTag, &ours));
  if (!ours) throw InvalidArgument(env, std::string("'") + name + "': not a NativeTensor");
  NativeTensor* self = Unwrap(value.As<Napi::Object>());
  self->Live(env);
  return self->value_;
}

// fromData(type, data, dims): copies into memory of ONNX Runtime's own CPU allocator.
Napi::Value NativeTensor::FromData(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!OrtLibraryLoaded()) throw Napi::Error::New(env, "ONNX Runtime is not loaded");
  if (!info[0].IsNumber()) throw InvalidArgument(env, "type must be a number");
  const int type = info[0].As<Napi::Number>().Int32Value();
  SharedValue given = ReadTensor(env, type, info[1], info[2], "data", Lending::kBlocking);
  if (type == ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING) return Wrap(env, std::move(given));
  const auto shape = given->GetTensorTypeAndShapeInfo();
  const auto dims = shape.GetShape();
  Ort::AllocatorWithDefaultOptions allocator;
  auto value = std::make_shared<Ort::Value>(Ort::Value::CreateTensor(allocator, dims.data(), dims.size(), shape.GetElementType()));
  const size_t bytes = ByteLength(*given);
  if (bytes != 0) std::memcpy(value->GetTensorMutableRawData(), given->GetTensorRawData(), bytes);
  return Wrap(env, std::move(value));
}

const Ort::Value& NativeTensor::Live(Napi::Env env) const {
  if (!value_) throw Disposed(env, "NativeTensor");
  return *value_;
}

Napi::Value NativeTensor::Type(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), Live(info.Env()).GetTensorTypeAndShapeInfo().GetElementType());
}

Napi::Value NativeTensor::Dims(const Napi::CallbackInfo& info) {
  return DimsOf(info.Env(), Live(info.Env()).GetTensorTypeAndShapeInfo().GetShape());
}

// "cpu", or the device's allocator and number, such as "cuda:0".
Napi::Value NativeTensor::Device(const Napi::CallbackInfo& info) {
  const auto memory = Live(info.Env()).GetTensorMemoryInfo();
  if (IsOnCpu(*value_)) return Napi::String::New(info.Env(), "cpu");
  const std::string name = memory.GetAllocatorName();
  return Napi::String::New(info.Env(), (name == "Cuda" ? "cuda" : name) + ":" + std::to_string(memory.GetDeviceId()));
}

// A view, not a copy. V8 must not see one memory under two live ArrayBuffers, so all views share one.
Napi::Value NativeTensor::Data(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const ElementType type = Live(env).GetTensorTypeAndShapeInfo().GetElementType();
  if (!IsOnCpu(*value_)) throw Fail(env, "NOT_SUPPORTED", "the NativeTensor is in device memory");
  if (type == ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING) return StringsOf(env, *value_);
  const ElementLayout layout = LayoutOf(type);
  if (layout.bits == 0) throw Fail(env, "NOT_SUPPORTED", "no typed array carries element type " + std::to_string(type));
  const size_t bytes = ByteLength(*value_);
  if (buffer_.IsEmpty() || buffer_.Value().IsEmpty()) buffer_ = Napi::Weak(BufferOf(env, value_, bytes, 1));
  return TypedArrayOver(env, layout, bytes, buffer_.Value());
}

Napi::Value NativeTensor::IsDisposed(const Napi::CallbackInfo& info) { return Napi::Boolean::New(info.Env(), !value_); }

void NativeTensor::Dispose(const Napi::CallbackInfo& info) {
  value_.reset();
  buffer_.Reset();
  Account(info.Env(), 0);
}

}  // namespace ort_dora
