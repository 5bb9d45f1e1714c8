// What one Node.js environment (the main thread, or one worker) holds: its classes and its jobs in flight.
#pragma once
#include <napi.h>

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "job.h"
#include "worker_pool.h"

namespace ort_dora {

class Environment {
 public:
  explicit Environment(Napi::Env env);
  ~Environment();
  static Environment& Of(Napi::Env env) { return *env.GetInstanceData<Environment>(); }

  // Takes the job; returns an id for Cancel(). Keeps the event loop alive until the job has settled. It runs on any thread, or on that of
  // a lane, which the job must keep.
  uint32_t Submit(std::unique_ptr<Job> job, worker_pool::Lane* lane = nullptr);
  // False if no such job is in flight.
  bool Cancel(uint32_t id);
  void CancelAll();

  Napi::FunctionReference tensor_constructor;
  Napi::FunctionReference session_constructor;
  Napi::FunctionReference bound_run_constructor;

 private:
  struct Entry {
    std::unique_ptr<Job> job;
    Environment* owner;
    uint32_t id;
    bool executed = false;
  };
  void Run(Entry* entry);
  void Settle(Entry* entry);
  void Close();

  napi_env env_;
  napi_threadsafe_function settle_ = nullptr;
  std::mutex mutex_;
  std::condition_variable executed_;
  std::unordered_map<uint32_t, std::unique_ptr<Entry>> entries_;
  uint32_t next_id_ = 0;
  size_t unsettled_ = 0;
  bool closing_ = false;
};

}  // namespace ort_dora
