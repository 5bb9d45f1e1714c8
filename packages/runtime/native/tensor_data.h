// Between OrtValues and the data of JavaScript: typed arrays, and arrays of strings.
#pragma once
#include <napi.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "element_type.h"
#include "ort_library.h"

namespace ort_dora {

using SharedValue = std::shared_ptr<Ort::Value>;

// A value crosses the boundary as three cells of a flat array: [type code, data, dims], or [kHandleCell, NativeTensor, null].
constexpr int kHandleCell = -1;

// Smaller buffers are copied, larger ones shared: below this, a copy costs less than an external ArrayBuffer does.
constexpr size_t kShareFrom = 16 * 1024;  // bytes

// What happens to memory that JavaScript owns between the call and the end of the run.
enum class Lending {
  kBlocking,   // JavaScript waits: use the memory in place
  kCopySmall,  // JavaScript goes on: copy below kShareFrom, else use it in place
  kInPlace,    // JavaScript goes on, and the run writes into the memory
};

// An OrtValue over the given data, which the caller keeps alive, or over a copy. `name` is for messages. Throws on any mismatch
// between type, array and dims, and on resizable buffers that would be used in place while JavaScript goes on.
SharedValue ReadTensor(Napi::Env env, int type, Napi::Value data, Napi::Value dims, const char* name, Lending lending);

// The dims of an array of JavaScript, and how many elements they are of. Throws unless that number is exact and fits in memory.
std::vector<int64_t> ReadDims(Napi::Env env, Napi::Value value, const char* name, size_t* count);

// Writes the three cells of a CPU tensor at `at`. Large data stays where it is, owned by its ArrayBuffer.
void WriteTensor(Napi::Env env, const SharedValue& value, const char* name, Napi::Array out, uint32_t at);

// The memory of a CPU tensor as an ArrayBuffer that keeps the value alive, or, below `share_from` bytes, as a copy.
Napi::Value BufferOf(Napi::Env env, const SharedValue& value, size_t bytes, size_t share_from);
Napi::Value TypedArrayOver(Napi::Env env, const ElementLayout& layout, size_t bytes, Napi::Value buffer);
Napi::Array StringsOf(Napi::Env env, const Ort::Value& value);
Napi::Array DimsOf(Napi::Env env, const std::vector<int64_t>& dims);

size_t ByteLength(const Ort::Value& value);  // 0 for strings
const Ort::MemoryInfo& CpuMemory();
bool IsOnCpu(const Ort::Value& value);

}  // namespace ort_dora
