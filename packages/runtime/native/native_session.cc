#include "native_session.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include <string>
#include <utility>

#include "create_job.h"
#include "environment.h"
#include "errors.h"
#include "native_bound_run.h"
#include "run_job.h"
#include "worker_pool.h"

namespace ort_dora {
namespace {

thread_local std::shared_ptr<Model> handed_over;  // to the constructor, which JavaScript cannot call with a model

// Drops a share of a model. Models are made on one thread and freed on another, so that glibc's arenas keep what they held and
// processes that swap models grow (measured: 4 KB a cycle without an end in sight, of which 3 % in use): hand it back.
void Free(std::shared_ptr<Model> model) {
  if (model.use_count() > 1) return;
  model.reset();
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

// Frees a model off the JavaScript thread: that can take long.
class DisposeJob final : public Job {
 public:
  explicit DisposeJob(std::shared_ptr<Model> model) : model_(std::move(model)) {}

 private:
  void Work() override { Free(std::move(model_)); }
  Napi::Value Result(Napi::Env env) override { return env.Undefined(); }
  const char* CodeOf(OrtErrorCode) const noexcept override { return "RUN_FAILED"; }

  std::shared_ptr<Model> model_;
};

Napi::Array DescribeValues(Napi::Env env, const std::vector<ValueInfo>& values) {
  Napi::Array out = Napi::Array::New(env, values.size());
  for (uint32_t i = 0; i < values.size(); ++i) {
    const ValueInfo& value = values[i];
    Napi::Object item = Napi::Object::New(env);
    item.Set("name", value.name);
    item.Set("isTensor", value.is_tensor);
    if (value.is_tensor) {
      item.Set("type", static_cast<int>(value.type));
      Napi::Array shape = Napi::Array::New(env, value.dims.size());
      for (uint32_t d = 0; d < value.dims.size(); ++d) {
        if (value.dims[d] >= 0) {
          shape.Set(d, static_cast<double>(value.dims[d]));
        } else {
          shape.Set(d, value.symbols[d]);
        }
      }
      item.Set("shape", shape);
    }
    out.Set(i, item);
  }
  return out;
}

std::unique_ptr<RunJob> MakeRun(const Napi::CallbackInfo& info, const std::shared_ptr<Model>& model, bool blocking) {
  if (!info[0].IsArray() || !info[1].IsArray()) throw InvalidArgument(info.Env(), "feeds and fetches must be arrays");
  return std::make_unique<RunJob>(info.Env(), model, info[0].As<Napi::Array>(), info[1].As<Napi::Array>(), info[2], blocking);
}

}  // namespace

Napi::Function NativeSession::Define(Napi::Env env) {
  return DefineClass(env, "NativeSessionHandle",
                     {StaticMethod<&NativeSession::Create>("create"), InstanceAccessor<&NativeSession::Inputs>("inputs"),
                      InstanceAccessor<&NativeSession::Outputs>("outputs"), InstanceMethod<&NativeSession::Run>("run"),
                      InstanceMethod<&NativeSession::RunSync>("runSync"), InstanceMethod<&NativeSession::EndProfiling>("endProfiling"),
                      InstanceMethod<&NativeSession::Bind>("bind"), InstanceMethod<&NativeSession::Dispose>("dispose")});
}

Napi::Object NativeSession::Wrap(Napi::Env env, std::shared_ptr<Model> model) {
  handed_over = std::move(model);
  return Environment::Of(env).session_constructor.New({});
}

NativeSession::NativeSession(const Napi::CallbackInfo& info) : ObjectWrap(info), model_(std::exchange(handed_over, nullptr)) {
  if (!model_) throw InvalidArgument(info.Env(), "NativeSessionHandle cannot be constructed");
}

NativeSession::~NativeSession() {
  if (!model_) return;
  // Collected without dispose(): still free the model off this thread.
  worker_pool::Post({[](void* data) {
                       const std::unique_ptr<std::shared_ptr<Model>> model(static_cast<std::shared_ptr<Model>*>(data));
                       Free(std::move(*model));
                     },
                     new std::shared_ptr<Model>(std::move(model_))});
}

const std::shared_ptr<Model>& NativeSession::Live(Napi::Env env) const {
  if (!model_) throw Disposed(env, "session");
  return model_;
}

// create(path | Uint8Array, config) -> {promise, id}
Napi::Value NativeSession::Create(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!OrtLibraryLoaded()) throw Napi::Error::New(env, "ONNX Runtime is not loaded");
  if (!info[1].IsObject()) throw InvalidArgument(env, "the configuration must be an object");
  auto job = std::make_unique<CreateJob>(env, info[0], ReadSessionConfig(env, info[1].As<Napi::Object>()));
  Napi::Object out = Napi::Object::New(env);
  out.Set("promise", job->Promise(env));
  out.Set("id", Environment::Of(env).Submit(std::move(job)));
  return out;
}

Napi::Value NativeSession::Inputs(const Napi::CallbackInfo& info) { return DescribeValues(info.Env(), Live(info.Env())->inputs); }
Napi::Value NativeSession::Outputs(const Napi::CallbackInfo& info) { return DescribeValues(info.Env(), Live(info.Env())->outputs); }

// run(feeds, fetches, options, idOut) -> promise; idOut[0] receives the id for cancel()
Napi::Value NativeSession::Run(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto job = MakeRun(info, Live(env), false);
  const Napi::Promise promise = job->Promise(env);
  const uint32_t id = Environment::Of(env).Submit(std::move(job), model_->lane.get());
  if (info[3].IsArray()) info[3].As<Napi::Array>().Set(0u, Napi::Number::New(env, id));
  return promise;
}

// runSync(feeds, fetches, options) -> cells
Napi::Value NativeSession::RunSync(const Napi::CallbackInfo& info) {
  const auto job = MakeRun(info, Live(info.Env()), true);
  ExecuteNow(*job, *model_);
  return job->Take(info.Env());
}

// bind(feeds, fetches, graph) -> NativeBoundRun
Napi::Value NativeSession::Bind(const Napi::CallbackInfo& info) {
  if (!info[0].IsArray() || !info[1].IsArray()) throw InvalidArgument(info.Env(), "feeds and fetches must be arrays");
  return NativeBoundRun::Bind(info.Env(), Live(info.Env()), info[0].As<Napi::Array>(), info[1].As<Napi::Array>(), info[2].ToBoolean());
}

// Writes the profile and returns its path.
Napi::Value NativeSession::EndProfiling(const Napi::CallbackInfo& info) {
  Ort::AllocatorWithDefaultOptions allocator;
  return Napi::String::New(info.Env(), Live(info.Env())->session.EndProfilingAllocated(allocator).get());
}

// Idempotent. Runs in flight finish; the model goes with the last of them.
Napi::Value NativeSession::Dispose(const Napi::CallbackInfo& info) {
  auto job = std::make_unique<DisposeJob>(std::move(model_));
  const Napi::Promise promise = job->Promise(info.Env());
  Environment::Of(info.Env()).Submit(std::move(job));
  return promise;
}

}  // namespace ort_dora
