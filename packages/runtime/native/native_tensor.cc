#include "native_tensor.h"

#include <cmath>
#include <cstring>
#include <string>
#include <utility>

#include "copy_job.h"
#include "environment.h"
#include "errors.h"
#include "placement.h"
#include "session_config.h"

namespace ort_dora {
namespace {

constexpr napi_type_tag kTag = {0x6f72742d646f7261ULL, 0x74656e736f720001ULL};

thread_local SharedValue handed_over;  // to the constructor, which JavaScript cannot call with a value

}  // namespace

Napi::Function NativeTensor::Define(Napi::Env env) {
  return DefineClass(env, "NativeTensorHandle",
                     {StaticMethod<&NativeTensor::FromData>("fromData"), StaticMethod<&NativeTensor::Allocate>("allocate"),
                      InstanceMethod<&NativeTensor::View>("view"), InstanceMethod<&NativeTensor::CopyFrom>("copyFrom"),
                      InstanceMethod<&NativeTensor::CopyFromSync>("copyFromSync"), InstanceMethod<&NativeTensor::Read>("read"),
                      InstanceMethod<&NativeTensor::ReadSync>("readSync"), InstanceAccessor<&NativeTensor::Type>("type"),
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

// allocate(type, dims, device): zeros
Napi::Value NativeTensor::Allocate(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!OrtLibraryLoaded()) throw Napi::Error::New(env, "ONNX Runtime is not loaded");
  const auto type = static_cast<ElementType>(ReadInteger(env, info[0], "type"));
  if (LayoutOf(type).bits == 0) throw InvalidArgument(env, "tensors of this element type cannot be allocated");
  size_t count = 0;
  const auto dims = ReadDims(env, info[1], "dims", &count);
  const Placement placement = ReadPlacement(env, info[2]);
  try {
    SharedValue value = AllocateTensor(placement, type, dims);
    ClearTensor(*value);
    return Wrap(env, std::move(value));
  } catch (const Napi::Error&) {
    throw;
  } catch (const std::exception& e) {
    throw Fail(env, placement.kind == Placement::Kind::kCpu ? "RUN_FAILED" : "PROVIDER_UNAVAILABLE", e.what());
  }
}

// view(offset in bytes, type, dims)
Napi::Value NativeTensor::View(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const ElementLayout own = LayoutOf(Live(env).GetTensorTypeAndShapeInfo().GetElementType());
  const auto type = static_cast<ElementType>(ReadInteger(env, info[1], "type"));
  const ElementLayout layout = LayoutOf(type);
  if (own.bits == 0 || layout.bits == 0) throw Fail(env, "NOT_SUPPORTED", "tensors of this element type have no views");
  const double offset = info[0].IsNumber() ? info[0].As<Napi::Number>().DoubleValue() : -1;
  size_t count = 0;
  const auto dims = ReadDims(env, info[2], "dims", &count);
  const size_t all = ByteLength(*value_);
  if (!(offset >= 0 && offset <= static_cast<double>(all)) || offset != std::floor(offset) || layout.Bytes(count) > all - static_cast<size_t>(offset)) {
    throw InvalidArgument(env, "the view is not inside the tensor of " + std::to_string(all) + " bytes");
  }
  return Wrap(env, ViewOf(value_, static_cast<size_t>(offset), type, dims));
}

// copyFrom(cells) -> promise
Napi::Value NativeTensor::CopyFrom(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Live(env);
  auto job = std::make_unique<CopyJob>(env, value_, ReadSource(info, Lending::kCopySmall), info[1]);
  const Napi::Promise promise = job->Promise(env);
  Environment::Of(env).Submit(std::move(job));
  return promise;
}

// copyFromSync(cells)
void NativeTensor::CopyFromSync(const Napi::CallbackInfo& info) {
  Live(info.Env());
  CopyJob job(info.Env(), value_, ReadSource(info, Lending::kBlocking), info[1]);
  job.Execute();
  job.Take(info.Env());
}

// The value of the cells type, data or handle, dims; its type and size must be this tensor's.
SharedValue NativeTensor::ReadSource(const Napi::CallbackInfo& info, Lending lending) {
  const Napi::Env env = info.Env();
  const int type = info[0].IsNumber() ? info[0].As<Napi::Number>().Int32Value() : 0;
  SharedValue source = type == kHandleCell ? ValueOf(env, info[1], "source") : ReadTensor(env, type, info[1], info[2], "source", lending);
  const auto here = value_->GetTensorTypeAndShapeInfo(), there = source->GetTensorTypeAndShapeInfo();
  if (here.GetElementType() != there.GetElementType()) throw InvalidArgument(env, "'source': its element type is not this tensor's");
  if (here.GetElementType() == ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING) throw Fail(env, "NOT_SUPPORTED", "strings cannot be copied between tensors");
  if (here.GetElementCount() != there.GetElementCount()) {
    throw InvalidArgument(env, "'source': it has " + std::to_string(there.GetElementCount()) + " elements, this tensor " + std::to_string(here.GetElementCount()));
  }
  return source;
}

// read() -> promise of a typed array
Napi::Value NativeTensor::Read(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Live(env);
  auto job = std::make_unique<ReadJob>(env, value_);
  const Napi::Promise promise = job->Promise(env);
  Environment::Of(env).Submit(std::move(job));
  return promise;
}

Napi::Value NativeTensor::ReadSync(const Napi::CallbackInfo& info) {
  Live(info.Env());
  ReadJob job(info.Env(), value_);
  job.Execute();
  return job.Take(info.Env());
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

Napi::Value NativeTensor::Device(const Napi::CallbackInfo& info) { return Napi::String::New(info.Env(), PlacementName(Live(info.Env()))); }

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
