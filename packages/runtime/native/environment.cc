#include "environment.h"

#include <algorithm>

#include "errors.h"

namespace ort_dora {

Environment::Environment(Napi::Env env) : env_(env) {
  const napi_status status = napi_create_threadsafe_function(
      env, nullptr, nullptr, Napi::String::New(env, "ort-dora"), 0, 1, nullptr, nullptr, nullptr,
      [](napi_env env, napi_value, void*, void* data) {
        if (env == nullptr) return;  // closing: Close() frees the entry
        auto* entry = static_cast<Entry*>(data);
        entry->owner->Settle(entry);
      },
      &settle_);
  if (status != napi_ok) throw Napi::Error::New(env, "the completion queue cannot be created");
  napi_unref_threadsafe_function(env_, settle_);
  // Hooks run last in, first out: ours, added after the queue's own, runs while the queue is still there.
  napi_add_env_cleanup_hook(env_, [](void* self) { static_cast<Environment*>(self)->Close(); }, this);
  worker_pool::Register(this);
}

Environment::~Environment() { Close(); }

uint32_t Environment::Submit(std::unique_ptr<Job> job, worker_pool::Lane* lane) {
  Entry* entry;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (closing_) throw Napi::Error::New(env_, "the environment is shutting down");
    const uint32_t id = ++next_id_;
    entry = entries_.emplace(id, std::make_unique<Entry>(Entry{std::move(job), this, id})).first->second.get();
  }
  const uint32_t id = entry->id;
  const worker_pool::Task task{[](void* data) {
                                 auto* entry = static_cast<Entry*>(data);
                                 entry->owner->Run(entry);
                               },
                               entry};
  try {
    if (lane != nullptr) {
      lane->Post(task);
    } else {
      worker_pool::Post(task);
    }
  } catch (const std::exception& e) {
    std::lock_guard<std::mutex> lock(mutex_);
    entries_.erase(id);
    throw Napi::Error::New(env_, std::string("no thread can be started: ") + e.what());
  }
  if (unsettled_++ == 0) napi_ref_threadsafe_function(env_, settle_);
  return id;
}

void Environment::Run(Entry* entry) {
  entry->job->Execute();
  std::lock_guard<std::mutex> lock(mutex_);  // Close() cannot free the entry before this is left
  entry->executed = true;
  if (closing_) {
    executed_.notify_all();
  } else {
    napi_call_threadsafe_function(settle_, entry, napi_tsfn_nonblocking);
  }
}

void Environment::Settle(Entry* entry) {
  std::unique_ptr<Entry> owned;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    auto found = entries_.find(entry->id);
    owned = std::move(found->second);
    entries_.erase(found);
  }
  if (--unsettled_ == 0) napi_unref_threadsafe_function(env_, settle_);
  Napi::HandleScope scope(env_);
  try {
    owned->job->Settle(env_);
  } catch (const Napi::Error&) {
    // The environment is being torn down and runs no JavaScript any more: nobody awaits this promise.
  }
}

bool Environment::Cancel(uint32_t id) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = entries_.find(id);
  if (found == entries_.end()) return false;
  found->second->job->Cancel();
  return true;
}

void Environment::CancelAll() {
  std::lock_guard<std::mutex> lock(mutex_);
  for (auto& [id, entry] : entries_) entry->job->Cancel();
}

// The environment ends: cancel what runs, wait for it, free everything while its handles are still valid.
void Environment::Close() {
  worker_pool::Unregister(this);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (closing_) return;
    closing_ = true;
    for (auto& [id, entry] : entries_) entry->job->Cancel();
  }
  // What no thread has taken yet needs no waiting for.
  worker_pool::Drop([this](const worker_pool::Task& task) {
    std::lock_guard<std::mutex> lock(mutex_);
    const auto mine = std::find_if(entries_.begin(), entries_.end(), [&](auto& item) { return item.second.get() == task.data; });
    return mine != entries_.end() && (mine->second->executed = true);
  });
  std::unique_lock<std::mutex> lock(mutex_);
  executed_.wait(lock, [this] { return std::all_of(entries_.begin(), entries_.end(), [](auto& item) { return item.second->executed; }); });
  Napi::HandleScope scope(env_);
  entries_.clear();
  napi_release_threadsafe_function(settle_, napi_tsfn_abort);
}

}  // namespace ort_dora
